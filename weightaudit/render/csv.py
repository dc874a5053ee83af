"""The statistics of every tensor as CSV (RFC 4180), for spreadsheets and data frames: one row per tensor."""

from __future__ import annotations

import csv
import re
from collections import Counter
from io import StringIO
from typing import TYPE_CHECKING, Any

from weightaudit.portrait import portrait
from weightaudit.render.escape import printable
from weightaudit.render.plain import plain
from weightaudit.render.summary import obstacle
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.render.view import View
    from weightaudit.report import ModelReport, Report
    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo

IDENTITY = (
    "model", "container", "status", "reason", "tensor", "key", "layer", "layer_class", "role", "evidence",
    "trainable", "shape", "dtype", "quantization", "elements", "bytes",
)  # fmt: skip
FIGURES = (
    "rms", "mean", "std", "l2", "minimum", "maximum", "peak", "zeros", "sparsity",
    "nan", "positive_inf", "negative_inf",
)  # fmt: skip
FINDINGS = ("errors", "warnings", "notes", "suppressed")
COLUMNS: tuple[str, ...] = (*IDENTITY, *FIGURES, *FINDINGS)
"""Columns, in order; new ones come last."""

# What begins like this is a formula to a spreadsheet, the wide forms to some of them. Where the comma is
# the sign for decimals, a spreadsheet takes the semicolon to separate cells, so one may begin behind it.
_FORMULA = re.compile(r"""(^|;['"]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")


def render(report: Report, view: View) -> str:  # noqa: ARG001  all formats are given a view
    """Return a report as CSV with a line of headings, lines that end in CR LF, and empty unknown cells."""
    text = StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, restval="")
    table.writeheader()
    for model in report.models:
        table.writerows(_rows(model))
    return text.getvalue()


def _rows(model: ModelReport) -> Iterator[dict[str, Any]]:
    head = {"model": cell(model.path), "container": cell(model.container)}
    failure = obstacle(model)
    if failure is not None:
        yield head | {"status": "failed", "reason": cell(failure)}
    skipped = {one.tensor: one.reason for one in model.skipped}
    counts = Counter((one.tensor, one.severity) for one in model.findings)
    hidden = Counter(one.finding.tensor for one in model.suppressed)
    known = {info.name for info in model.tensors}
    for name in sorted(skipped.keys() - known):
        yield head | {"status": "skipped", "reason": cell(skipped[name]), "tensor": cell(name)}
    for info in model.tensors:
        row = head | _status(info, skipped) | _identity(info)
        row |= _figures(info, model.stats.get(info.name))
        row |= {f"{level.label}s": counts[info.name, level] for level in Severity}
        yield row | {"suppressed": hidden[info.name]}


def _status(info: TensorInfo, skipped: dict[str, str]) -> dict[str, str]:
    if info.name in skipped:
        return {"status": "skipped", "reason": cell(skipped[info.name])}
    return {"status": "audited" if info.is_numeric else "without numbers", "reason": ""}


def _identity(info: TensorInfo) -> dict[str, Any]:
    return {
        "tensor": cell(info.name),
        "key": cell(info.key),
        "layer": cell(info.layer),
        "layer_class": cell(info.layer_class),
        "role": info.role.value,
        "evidence": info.evidence.value,
        "trainable": "" if info.trainable is None else str(info.trainable).lower(),
        "shape": "x".join(map(str, info.shape)) or "scalar",
        "dtype": cell(info.dtype),
        "quantization": "" if info.quantization is None else cell(info.quantization.mode),
        "elements": info.size,
        "bytes": info.nbytes,
    }


def _figures(info: TensorInfo, stats: Stats | None) -> dict[str, Any]:
    if stats is None:
        return {}
    try:
        found = portrait(info, stats)
    except KeyError:  # an audit by the library that was asked for the verdict alone
        return {}
    return {name: plain(getattr(found, name)) for name in FIGURES}


def cell(text: str) -> str:
    """Return a text on one line, whole, that no spreadsheet takes for a formula."""
    shown = printable(text, max(1, len(text)))
    return _FORMULA.sub(r"\1'", shown)
