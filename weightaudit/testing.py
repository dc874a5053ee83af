"""The contract kit: what every rule must hold, checked the way the engine runs it.

A rule author's whole test is one line per rule::

    def test_my_rule() -> None:
        check_rule(MyRule)
"""

from __future__ import annotations

import inspect
import re
from math import prod
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.dtypes import components, decode, itemsize
from weightaudit.options import options_of
from weightaudit.rule import Measured, Severity
from weightaudit.statistics import Block, Stats
from weightaudit.statistics.block import Scratch
from weightaudit.tensor import Evidence, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from weightaudit.rule import Example, Finding, Rule
    from weightaudit.statistics import Statistic

BLOCK_ELEMENTS = 1 << 16
"""Elements in a block, unless a test asks for another size."""

_EVIDENCE = (float, int, str, bool, NoneType)
"""Exact types, since a numpy number is not what a JSON report can hold."""


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
    raw: NDArray[np.uint8], info: TensorInfo, size: int = BLOCK_ELEMENTS, first: int = 0
) -> Iterator[Block]:
    """Decode stored bytes block by block, in memory that is used again, as engines do.

    Args:
        raw: The tensor's bytes in row-major order, little-endian.
        info: The tensor that they belong to.
        size: Elements per block.
        first: Index of the first element, if the bytes are only a stretch of the tensor.

    Yields:
        Blocks that are valid until the next one is asked for.
    """
    scratch = Scratch()
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
    values = example.values()
    info = tensor_info(values, **example.info)
    applies = info.is_numeric and rule.applies(info)
    stats = measure(values, rule.needs(info) if applies else (), info)
    found = list(rule.check(info, stats)) if applies else []
    return found + list(rule.check_model(Measured([info], {info.name: stats}, example.defects)))


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
    yield from _identity_problems(rule)
    yield from _option_problems(rule)
    examples = getattr(rule, "examples", ())
    for what, wanted in (("good", True), ("bad", False)):
        if sum((example.severity is None) is wanted for example in examples) < 2:
            yield f"it has fewer than two {what} examples"
    for example in examples:
        yield from _example_problems(rule, example)


def _identity_problems(rule: type[Rule]) -> Iterator[str]:
    if not re.fullmatch(r"[A-Z]{2,8}[0-9]{3,4}", getattr(rule, "code", "")):
        yield "its code is not letters and digits, as WA101"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", getattr(rule, "name", "")):
        yield "its name is not kebab-case, as nan-values"
    if not isinstance(getattr(rule, "severity", None), Severity):
        yield "its severity is no Severity"
    text = inspect.cleandoc(rule.__dict__.get("__doc__") or "")
    summary, _, rest = text.partition("\n")
    if not summary.endswith(".") or not rest.strip():
        yield "its docstring is not a summary line, which ends with a full stop, and more below it"


def _option_problems(rule: type[Rule]) -> Iterator[str]:
    parameters: Any = vars(rule).get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        yield "it is not a frozen dataclass"
        return
    try:
        options = options_of(rule)
    except (TypeError, NameError) as error:
        yield f"a policy cannot configure it: {error}"
        return
    documented = inspect.getdoc(rule) or ""
    for option in options:
        if not re.search(rf"^\s+{option.name}:", documented, re.MULTILINE):
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
    for finding in found:
        yield from _finding_problems(rule, example, finding)


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
