"""A comparison in words: plain text for pipes and logs, and what every renderer of it says alike.

Every line reads ``status: tensor: facts``, worst change first, so that grep, sort and cut work on
them; tensors that are equal are only counted. The last line is the verdict.
"""

from __future__ import annotations

from collections import Counter
from math import inf, isnan
from typing import TYPE_CHECKING

from weightaudit.comparison.result import Match, Status
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.report import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.comparison.result import Comparison, Difference, TensorComparison
    from weightaudit.tensor import TensorInfo

VERDICTS = {
    ExitCode.PASSED: "equal",
    ExitCode.FINDINGS: "different",
    ExitCode.INCOMPLETE: "incomplete",
}

_ORDER = (
    (Status.UNREAD,),
    (Status.CHANGED, Status.RETYPED),
    (Status.RESHAPED,),
    (Status.REMOVED,),
    (Status.ADDED,),
    (Status.RENAMED,),
    (Status.EQUAL,),
)
_GUESSED = "the names differ, and only order, or numbers that correlate, says which tensor is which"
_RANKS = {status: rank for rank, statuses in enumerate(_ORDER) for status in statuses}


def render_diff_text(comparison: Comparison, *, verbose: bool = False, quiet: bool = False) -> str:
    """Return a comparison as plain text that ends with a line end.

    Args:
        comparison: The comparison.
        verbose: Add the tensors that are equal, and how each was paired.
        quiet: Leave out everything but the verdict, and what could not be read.
    """
    lines = [
        f"{one.status.value}: {tensor_name(one)}: {facts(one)}"
        for one in shown(comparison, verbose=verbose, quiet=quiet)
    ]
    lines += remarks(comparison, quiet=quiet)
    return "\n".join([*lines, f"verdict: {verdict(comparison)}"]) + "\n"


def shown(comparison: Comparison, *, verbose: bool, quiet: bool) -> list[TensorComparison]:
    """Return the tensors to show, worst first: unread, changed by how much, and so on to the harmless."""
    wanted = {Status.UNREAD} if quiet else set(Status) - (set() if verbose else {Status.EQUAL})
    return sorted((one for one in comparison.tensors if one.status in wanted), key=_badness)


def _badness(one: TensorComparison) -> tuple[int, bool, bool, float, float, str]:
    found = one.difference
    # What is within the tolerance comes after everything that counts.
    rank = _RANKS[Status.RENAMED] if one.within else _RANKS[one.status]
    if found is None:
        return rank, True, True, 0.0, 0.0, one.name
    relative = inf if isnan(found.relative) else found.relative
    return rank, not found.nonfinite_new, not found.touches_nonfinite, -relative, -found.largest, one.name


def remarks(comparison: Comparison, *, quiet: bool) -> Iterator[str]:
    """Yield what there is to say about the models themselves, and about how tensors were paired."""
    yield from (f"not compared: {printable(failure, MESSAGE_LIMIT)}" for failure in comparison.failures)
    if quiet:
        return
    counts = Counter(one.match for one in comparison.tensors if one.match is not None)
    if set(counts) - {Match.NAME}:
        ways = ", ".join(f"{counts[match]} by {match.value}" for match in Match if counts[match])
        yield f"info: paired {ways}"
    guesses = sum(count for match, count in counts.items() if match.is_guess)
    if guesses:
        yield f"info: {guesses} of the pairs {'is a guess' if guesses == 1 else 'are guesses'}: {_GUESSED}"
    yield from (f"info: {printable(note, MESSAGE_LIMIT)}" for note in comparison.notes)


def tensor_name(one: TensorComparison) -> str:
    """Return the tensor's name, or both if they differ."""
    if one.first is None or one.second is None or one.first.name == one.second.name:
        return printable(one.name)
    return f"{printable(one.first.name)} -> {printable(one.second.name)}"


def facts(one: TensorComparison) -> str:
    """Return what is known of a tensor beside its status and its name."""
    if one.status is Status.UNREAD:
        return printable(one.reason, MESSAGE_LIMIT)
    return " ".join(_facts(one))


def _facts(one: TensorComparison) -> Iterator[str]:
    first, second = one.first, one.second
    if first is None or second is None:
        info = first or second
        if info is not None:
            yield f"{shape_text(info)} {type_text(info)} {info.role.value}"
        return
    if one.status is Status.RESHAPED:
        yield f"{shape_text(first)} -> {shape_text(second)}"
    if type_text(first) != type_text(second):
        lossless = " lossless" if one.is_lossless else ""
        yield f"{type_text(first)} -> {type_text(second)}{lossless}"
    if one.difference is not None:
        yield from _figures(one.difference)
    elif one.status not in {Status.RESHAPED, Status.RETYPED}:
        yield f"{shape_text(first)} {type_text(first)}"
    if one.match not in {Match.NAME, None} or one.status is Status.EQUAL:
        yield f"paired-by={one.match.value if one.match else ''}"
    if one.within:
        yield "within-tolerance"


def _figures(found: Difference) -> Iterator[str]:
    yield f"relative={found.relative:.6g}"
    yield f"largest={found.largest:.6g}"
    if found.place is not None:
        yield f"at={','.join(map(str, found.place)) or 'scalar'}"
        yield f"values={found.before:.6g}->{found.after:.6g}"
    yield f"elements={found.elements}/{found.size}"
    yield f"sign_flips={found.sign_flips}"
    yield f"sparsity={found.zeros_before / found.size:.4f}->{found.zeros_after / found.size:.4f}"
    if found.nonfinite_before or found.nonfinite_after:
        yield f"nonfinite={found.nonfinite_before}->{found.nonfinite_after}"
    yield f"cosine={found.cosine:.9g}"


def shape_text(info: TensorInfo) -> str:
    """Return ``3x4``, or ``scalar``."""
    return "x".join(map(str, info.shape)) or "scalar"


def type_text(info: TensorInfo) -> str:
    """Return the storage type, or how a tensor is quantized."""
    return printable(info.dtype if info.quantization is None else f"quantized {info.quantization.mode}")


def verdict(comparison: Comparison) -> str:
    """Return the outcome, its exit code and what led to it, as one sentence without a full stop."""
    code = comparison.exit_code
    return f"{VERDICTS[code]} (exit {int(code)}): {_totals(comparison)}"


def _totals(comparison: Comparison) -> str:
    if not comparison.tensors:
        return "there is nothing to compare"
    counts = [(status, comparison.count(status)) for status in Status]
    text = ", ".join(f"{number} {status.value}" for status, number in counts if number)
    within = sum(one.within for one in comparison.tensors)
    return f"{text}; {within} within the tolerance of {comparison.tolerance:g}" if within else text
