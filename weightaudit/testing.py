"""The contract kit: what every rule and projection must hold, checked the way the engine runs it.

A plugin author's whole test is one line per rule, or per projection::

    def test_my_rule() -> None:
        check_rule(MyRule)

    def test_my_projection() -> None:
        check_projection(MyProjection(0.5))
"""

from __future__ import annotations

import dataclasses
import inspect
from math import prod
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.comparison.arrays import compare_arrays
from weightaudit.dtypes import components, decode, itemsize
from weightaudit.errors import RuleError
from weightaudit.identity.topology import read_topology
from weightaudit.options import options_of
from weightaudit.plugins import validate
from weightaudit.projections.contract import check_projection, projection_problems
from weightaudit.rule import Measured, Severity
from weightaudit.statistics import Block, Stats
from weightaudit.statistics.block import Scratch
from weightaudit.tensor import Evidence, Role, TensorInfo
from weightaudit.upkeep import UpkeepRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from weightaudit.rule import Example, Finding, Rule
    from weightaudit.statistics import Statistic

__all__ = [
    "BLOCK_ELEMENTS",
    "blocks",
    "check_projection",
    "check_rule",
    "findings_of",
    "measure",
    "projection_problems",
    "rule_problems",
    "tensor_info",
]

BLOCK_ELEMENTS = 1 << 16
"""Elements in a block, unless a test asks for another size."""

_EVIDENCE = (float, int, str, bool, NoneType)
"""Exact types, since a numpy number is not what a JSON report can hold."""


_BEYOND_KIND = {"name", "key", "layer", "trainable", "constraint", "regularizer", "initializer", "policy"}
"""What tensors of one kind may differ in (`Rule.goes_by_kind`)."""


def tensor_info(values: NDArray[Any], **differences: Any) -> TensorInfo:
    """Describe an array as a Dense kernel of certain evidence, but for what `differences` say.

    Args:
        values: The tensor. Its dtype's name becomes the storage type (ml_dtypes' names work too).
        **differences: Fields of `TensorInfo` that differ. With another `role` than kernel,
            fans and output axes are left out unless they are given.

    Returns:
        The description, named ``layer/<role>``.
    """
    role = Role(differences.get("role", Role.KERNEL))
    known: dict[str, Any] = {
        "name": f"layer/{role}",
        "key": f"layer/{role}",
        "shape": values.shape,
        "dtype": values.dtype.name,
        "role": role,
        "evidence": Evidence.CONFIG,
        "layer": "layer",
        "layer_class": "Dense",
    }
    if role is Role.KERNEL and values.ndim >= 2:
        known |= {
            "fan_in": prod(values.shape[:-1]),
            "fan_out": values.shape[-1],
            "output_axes": (values.ndim - 1,),
        }
    known.update(differences, role=role)
    return TensorInfo(**known)


def blocks(
    raw: NDArray[np.uint8],
    info: TensorInfo,
    size: int = BLOCK_ELEMENTS,
    first: int = 0,
    *,
    compiled: bool = True,
) -> Iterator[Block]:
    """Decode stored bytes block by block, in memory that is used again, as engines do.

    Args:
        raw: The tensor's bytes in row-major order, little-endian.
        info: The tensor that they belong to.
        size: Elements per block.
        first: Index of the first element, if the bytes are only a stretch of the tensor.
        compiled: Whether compiled kernels sum the blocks up, if there are any.

    Yields:
        Blocks that are valid until the next one is asked for.
    """
    scratch = Scratch(compiled=compiled)
    step = size * itemsize(info.dtype)
    for offset in range(0, raw.size, step):
        start = (first + offset // itemsize(info.dtype)) * components(info.dtype)
        yield Block(decode(raw[offset : offset + step], info.dtype), start, scratch)


def measure(
    values: NDArray[Any],
    statistics: Iterable[Statistic[Any]],
    info: TensorInfo | None = None,
    *,
    size: int = BLOCK_ELEMENTS,
) -> Stats:
    """Measure an array through real blocks.

    Args:
        values: The tensor, of any type in `weightaudit.dtypes`.
        statistics: What to measure.
        info: Its description; a Dense kernel by default.
        size: Elements per block.

    Returns:
        The finished statistics.
    """
    info = info or tensor_info(values)
    folds = {statistic: statistic.start(info) for statistic in statistics}
    raw = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    # As in the engines: NaN and overflow are what is measured here, no reason for warnings.
    with np.errstate(all="ignore"):
        for block in blocks(raw, info, size):
            for fold in folds.values():
                fold.update(block)
    return Stats({statistic: fold.finish() for statistic, fold in folds.items()})


def findings_of(rule: Rule, example: Example) -> list[Finding]:
    """Run a rule on one of its examples as an audit of a one-tensor model would.

    Args:
        rule: The configured rule.
        example: The example.

    Returns:
        What `check` and `check_model` find; nothing if the rule is not active.

    Raises:
        KeyError: The rule looked up a statistic that its `needs` does not declare.
    """
    if not rule.is_active():
        return []
    tensors = [_made(one) for one in (example, *example.beside)]
    topology = read_topology(example.config)
    model = Measured([info for info, _ in tensors], {}, example.defects, trace=lambda: topology)
    wanted = rule.needs_of_model(model)
    found: list[Finding] = []
    stats: dict[str, Stats] = {}
    for info, values in tensors:
        applies = info.is_numeric and rule.applies(info)
        needs = (*(rule.needs(info) if applies else ()), *wanted.get(info.name, ()))
        stats[info.name] = measure(values, needs, info)
        found += rule.check(info, stats[info.name]) if applies else ()
    first, reference = tensors[0], example.reference
    compared = None if reference is None else compare_arrays(first[0], reference(), first[1])
    return found + list(rule.check_model(dataclasses.replace(model, stats=stats, reference=compared)))


def _made(example: Example) -> tuple[TensorInfo, NDArray[Any]]:
    values = example.values()
    return tensor_info(values, **example.info), values


def check_rule(rule: type[Rule]) -> None:
    """Check that a rule keeps the contract.

    Args:
        rule: The rule's class.

    Raises:
        AssertionError: It does not; the text lists every way in which.
    """
    problems = list(rule_problems(rule))
    if problems:
        raise AssertionError(f"{rule.__name__} breaks the contract of a rule:\n- " + "\n- ".join(problems))


def rule_problems(rule: type[Rule]) -> Iterator[str]:
    """Yield one sentence for every way in which a rule breaks the contract."""
    try:
        validate(rule)
    except RuleError as error:
        yield str(error)
        return
    yield from _documentation_problems(rule)
    if issubclass(rule, UpkeepRule):
        # Its examples would be whole runs with a policy of their own, not tensors.
        return
    examples = getattr(rule, "examples", ())
    for what, wanted in (("good", True), ("bad", False)):
        if sum((example.severity is None) is wanted for example in examples) < 2:
            yield f"it has fewer than two {what} examples"
    for example in examples:
        yield from _example_problems(rule, example)


def _documentation_problems(rule: type[Rule]) -> Iterator[str]:
    text = inspect.getdoc(rule) or ""
    summary, _, rest = text.partition("\n")
    if not summary.endswith(".") or not rest.strip():
        yield "its docstring is not a summary line, which ends with a full stop, and more below it"
    for option in options_of(rule):
        if f"{option.name}:" not in text:
            yield f"its option {option.name} is not in the docstring's Attributes"


def _example_problems(rule: type[Rule], example: Example) -> Iterator[str]:
    try:
        found = findings_of(rule(**example.options), example)
    except KeyError as error:
        yield f"example {example.title!r} looks up {error}, which needs() does not declare"
        return
    worst = max((finding.severity for finding in found), default=None)
    if worst != example.severity:
        yield f"example {example.title!r} gives {_label(worst)}, not {_label(example.severity)}"
    yield from _kind_problems(rule(**example.options), example)
    for finding in found:
        yield from _finding_problems(rule, example, finding)
    if found:
        yield from _projection_problems(rule(**example.options), example)


def _kind_problems(rule: Rule, example: Example) -> Iterator[str]:
    """Yield a sentence if a rule that goes by kind looks at what tensors of one kind may differ in.

    It is watched instead of being asked about other names: nobody knows which ones it listens to.
    """
    seen: set[str] = set()
    info = _watched(tensor_info(example.values(), **example.info), seen)
    if rule.is_active() and rule.goes_by_kind() and rule.applies(info):
        rule.needs(info)
    if seen:
        looked_at = ", ".join(sorted(seen))
        yield f"goes_by_kind() is True, but example {example.title!r} shows that it looks at {looked_at}"


def _watched(info: TensorInfo, seen: set[str]) -> TensorInfo:
    """Return the same description; what is read of it beyond its kind is added to `seen`."""

    class Watched(TensorInfo):
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            if name in _BEYOND_KIND:
                seen.add(name)
            return super().__getattribute__(name)

    return Watched(**{field.name: getattr(info, field.name) for field in dataclasses.fields(info)})


def _projection_problems(rule: Rule, example: Example) -> Iterator[str]:
    """Yield a sentence if what a rule proposes does not silence it.

    Where there is nothing that the projection can do, as for a column of zeros that is to have a
    norm of 1, it leaves the tensor alone, and the finding stands.
    """
    values = example.values()
    info = tensor_info(values, **example.info)
    projection = rule.projection(info)
    if projection is None:
        return
    numbers = values if values.dtype.name in {"float32", "float64"} else values.astype(np.float32)
    projected = projection.project(numbers, dtype=info.dtype)
    if projected is not numbers:
        mended = dataclasses.replace(example, values=lambda: projected.astype(values.dtype))
        if findings_of(rule, mended):
            yield f"example {example.title!r} is not mended by {projection}"


def _finding_problems(rule: type[Rule], example: Example, finding: Finding) -> Iterator[str]:
    if finding.code != rule.code:
        yield f"example {example.title!r} gives a finding with the code {finding.code}"
    if not finding.message.endswith(".") or "\n" in finding.message:
        yield f"example {example.title!r} gives a message that is not one sentence: {finding.message!r}"
    values: Mapping[str, object] = finding.values
    if any(type(value) not in _EVIDENCE for value in values.values()):
        yield f"example {example.title!r} gives values that a report cannot hold: {dict(values)!r}"


def _label(severity: Severity | None) -> str:
    return severity.label if severity else "nothing"
