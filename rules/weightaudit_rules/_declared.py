"""Constraints that a model declares for its tensors, as the rules that a policy would state for them."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from weightaudit.statistics.axis import fits
from weightaudit_rules._norms import NormRule
from weightaudit_rules._selection import SelectiveRule
from weightaudit_rules._tolerance import relative_tolerance
from weightaudit_rules.min_max_norm import MinMaxNorm
from weightaudit_rules.non_negativity import NonNegativity
from weightaudit_rules.norm_bound import NormBound
from weightaudit_rules.unit_norm import UnitNorm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weightaudit.tensor import Declared, TensorInfo

NORMS = frozenset({"MaxNorm", "MinMaxNorm", "UnitNorm"})
"""Constraints of ``keras.constraints`` that bound Euclidean norms along `axis`."""

KERAS_EPSILON = 1e-7
"""What Keras adds to a norm before it divides by it, so that a group ends that much below a bound."""

_QUANTIZED = {"int8": 2 / 127, "int4": 2 / 7, "gptq": 2 / 7, "awq": 2 / 7}
"""Twice the step of a quantized weight, as a share of its channel's largest magnitude."""

_ARGUMENTS = ("min_value", "max_value", "rate", "axis")
_ANY = ("*",)

_HALF_SUM = 1.6e-5
"""Share of a norm that a float16 sum of squares loses for each term: up to 1.5e-5 in TensorFlow on a CPU."""


def is_known(declared: Declared) -> bool:
    """Say whether it is a constraint whose meaning is known; what a custom class does is not."""
    return declared.builtin and (declared.name in NORMS or declared.name == "NonNeg")


class Demand(NamedTuple):
    """What a declared constraint demands of one tensor.

    Attributes:
        exact: The rule that a policy would state for it.
        judge: The same, with a lower bound that Keras' own rounding does not break.
        rate: Share of the way to its bounds that a MinMaxNorm goes at each step; 1 for other classes.
    """

    exact: SelectiveRule
    judge: SelectiveRule
    rate: float = 1.0


def demand_of(info: TensorInfo, declared: Declared) -> Demand:
    """Return what a constraint of a known class demands of a tensor.

    The tolerance is that of the storage type (see `relative_tolerance`), for weights that were quantized
    after training it is two steps of the quantization. Missing arguments have Keras' defaults:
    max_value 2 (MaxNorm) or 1 (MinMaxNorm), min_value 0, rate 1, axis 0.

    Raises:
        ValueError: The arguments make no sense, or the tensor lacks the axes; the text completes
            a sentence that begins with the constraint.
    """
    if declared.name == "NonNeg":
        return _same(NonNegativity(_ANY))
    axes = axes_of(info, declared)
    quantized = _QUANTIZED.get(info.quantization.mode, 0.0) if info.quantization else 0.0
    slack = max(relative_tolerance(info.dtype), quantized)
    if declared.name == "UnitNorm":
        return _same(UnitNorm(_ANY, axis=axes, tolerance=slack))
    upper = upper_bound(declared)
    if declared.name == "MaxNorm":
        return _same(NormBound(_ANY, axis=axes, tolerance=slack, max=upper))
    rate = number(declared.config, "rate", 1.0)
    if not 0 <= rate <= 1:
        raise ValueError("its rate does not lie between 0 and 1")
    lower = number(declared.config, "min_value", 0.0)
    exact = MinMaxNorm(_ANY, axis=axes, tolerance=slack, min=lower, max=upper)
    return Demand(exact, replace(exact, min=max(0.0, lower - KERAS_EPSILON)), rate)


def half_sum_error(info: TensorInfo, rule: NormRule) -> float:
    """Return by what share a norm may miss its bound where Keras adds up a group's squares in float16."""
    axes = (rule.axis,) if isinstance(rule.axis, int) else rule.axis
    return relative_tolerance(info.dtype) + _HALF_SUM * group_size(info, axes)


def upper_bound(declared: Declared) -> float:
    """Return the largest norm that a constraint of `NORMS` allows.

    Raises:
        ValueError: It is no number.
    """
    if declared.name == "UnitNorm":
        return 1.0
    return number(declared.config, "max_value", 2.0 if declared.name == "MaxNorm" else 1.0)


def axes_of(info: TensorInfo, declared: Declared) -> tuple[int, ...] | None:
    """Return the axes that a declared norm is taken over, None for all of them.

    Raises:
        ValueError: They are no axes, or the tensor does not have them once each.
    """
    stated = declared.config.get("axis", 0)
    if stated is None:
        return None
    items = cast("list[object]", stated) if isinstance(stated, list | tuple) else [stated]
    # The truth values of JSON are no axes, though they are numbers in Python.
    axes = tuple(item for item in items if isinstance(item, int) and not isinstance(item, bool))
    if len(axes) < len(items):
        raise ValueError("its axis is no list of whole numbers")
    rank = len(info.shape)
    if not fits(axes, rank):
        raise ValueError(f"the shape {info.shape} does not have its axes")
    if len({axis % rank for axis in axes}) < len(axes):
        raise ValueError("it names an axis twice")
    return axes


def group_size(info: TensorInfo, axes: tuple[int, ...] | None) -> int:
    """Return how many elements a norm over these axes sums up."""
    return info.size if axes is None else prod(info.shape[axis] for axis in axes)


def shown(declared: Declared) -> str:
    """Return the constraint as it is written in Python, with those arguments that matter."""
    stated = (f"{key}={_short(declared.config[key])}" for key in _ARGUMENTS if key in declared.config)
    return f"{declared.name[:80]}({', '.join(stated)})"


def _short(value: object) -> str:
    """Return a number or a list of few as it is, and no more of a stranger's value than its kind."""
    if isinstance(value, list | tuple):
        items = cast("list[object]", value)
        return f"[{', '.join(map(_plain, items[:8]))}{', ...' if len(items) > 8 else ''}]"
    return _plain(value)


def _plain(value: object) -> str:
    # Python refuses to write whole numbers of thousands of digits.
    is_plain = value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**18)
    return str(value) if is_plain else "..."


def number(config: Mapping[str, Any], key: str, default: float) -> float:
    """Return an argument of a constraint.

    Raises:
        ValueError: It is no number.
    """
    value = config.get(key, default)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    except OverflowError:
        raise ValueError(f"its {key} is beyond every number") from None
    raise ValueError(f"its {key} is no number")


def _same(rule: SelectiveRule) -> Demand:
    return Demand(rule, rule)
