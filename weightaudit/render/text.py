"""Plain text for pipes and logs: one line per fact, never wrapped, in the same order every time.

Every line starts with the model's path, and findings read ``path: tensor: severity CODE name: message``,
so that grep, sort and cut work on them. The last line is the verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.policy import FILE_NAME
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.summary import coverage, figures, obstacle, shown, shown_of_policy, skips, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.render.view import View
    from weightaudit.report import ModelReport, Report, Suppressed
    from weightaudit.rule import Finding
    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo


def render(report: Report, view: View) -> str:
    """Return a report as the format ``text``; see `render_text`."""
    return render_text(
        report, verbose=view.verbose, quiet=view.quiet, suppressed=view.suppressed, names=view.names
    )


def render_text(
    report: Report,
    *,
    verbose: bool = False,
    quiet: bool = False,
    suppressed: bool = False,
    names: Mapping[str, str] | None = None,
) -> str:
    """Return a report as plain text that ends with a line end.

    Args:
        report: The report.
        verbose: Add one line of statistics per tensor.
        quiet: Leave out everything that does not decide the verdict.
        suppressed: Add a line for each finding that does not count, and why.
        names: Names of the rules by code, such as ``{"WA101": "nan-values"}``; without them findings
            show the code alone.
    """
    lines: list[str] = []
    for model in report.models:
        path = printable(model.path)
        lines += [f"{path}: {finding_text(one, names)}" for one in shown(report, model, quiet=quiet)]
        if suppressed:
            lines += [f"{path}: {suppressed_text(one, names)}" for one in model.suppressed]
        lines += [f"{path}: {line}" for line in _remarks(model, quiet=quiet)]
        if verbose and not quiet:
            lines += [f"{path}: {tensor_text(info, model.stats.get(info.name))}" for info in model.tensors]
        if not quiet and model.failure is None:
            lines.append(f"{path}: {coverage(model)}")
    lines += [
        f"{printable(report.policy or FILE_NAME)}: {finding_text(one, names)}"
        for one in shown_of_policy(report, quiet=quiet)
    ]
    lines.append(f"verdict: {verdict(report)}")
    return "\n".join(lines) + "\n"


def finding_text(finding: Finding, names: Mapping[str, str] | None) -> str:
    """Return a finding as ``tensor: severity CODE name: message``, the tensor only if there is one."""
    place = "" if finding.tensor is None else f"{printable(finding.tensor)}: "
    message = printable(finding.message, MESSAGE_LIMIT)
    return f"{place}{finding.severity.label} {rule_text(finding.code, names)}: {message}"


def suppressed_text(one: Suppressed, names: Mapping[str, str] | None) -> str:
    """Return a finding that does not count as ``suppressed: tensor: ...``, with why and who says so."""
    why = printable(f"{one.source}: {one.reason}", MESSAGE_LIMIT)
    return f"suppressed: {finding_text(one.finding, names)} ({why})"


def rule_text(code: str, names: Mapping[str, str] | None) -> str:
    """Return ``CODE name``, or the code alone if the name is not known."""
    name = (names or {}).get(code, "")
    return printable(f"{code} {name}".rstrip())


def _remarks(model: ModelReport, *, quiet: bool) -> Iterator[str]:
    failure = obstacle(model)
    if failure is not None:
        yield f"not audited: {printable(failure, MESSAGE_LIMIT)}"
    for name, reason in skips(model, quiet=quiet):
        place = f"{printable(name)}: " if name else ""
        yield f"{place}skipped: {printable(reason, MESSAGE_LIMIT)}"
    if not quiet:
        yield from (f"info: {printable(remark, MESSAGE_LIMIT)}" for remark in model.notes)


def tensor_text(info: TensorInfo, stats: Stats | None) -> str:
    """Return what a tensor is and what was measured as ``name: key=value key=value ...``."""
    facts = {
        "role": info.role.value,
        "evidence": info.evidence.value,
        "layer_class": info.layer_class or "-",
        "shape": "x".join(map(str, info.shape)) or "scalar",
        "dtype": info.dtype,
    }
    measured = {} if stats is None else figures(stats)
    facts |= {name: f"{value:.6g}" for name, value in measured.items()}
    return f"{printable(info.name)}: " + " ".join(f"{key}={printable(fact)}" for key, fact in facts.items())
