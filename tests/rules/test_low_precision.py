"""The limits of the narrower formats, and what the rules say of them, equal real casts."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from weightaudit.testing import measure, tensor_info
from weightaudit_rules._floats import FORMATS, Target
from weightaudit_rules.low_precision_overflow import LowPrecisionOverflow
from weightaudit_rules.low_precision_underflow import LowPrecisionUnderflow

TYPES: dict[Target, Any] = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}


def cast(values: Any, target: Target) -> Any:
    """Cast float32 to the format and back, as a converter does."""
    with np.errstate(all="ignore"):
        return np.asarray(values, np.float32).astype(TYPES[target]).astype(np.float64)


@pytest.mark.parametrize("target", FORMATS)
def test_limits_are_those_of_real_casts(target: Target) -> None:
    """The smallest overflow, the largest finite value and the smallest normal are exact to the last bit."""
    limits = FORMATS[target]
    info: Any = ml_dtypes.finfo(TYPES[target])  # type: ignore[no-untyped-call] # its stubs have no types
    below = np.nextafter(np.float32(limits.overflow), np.float32(0))
    assert not np.isfinite(cast(limits.overflow, target))
    assert cast(below, target) == limits.largest == float(info.max)
    assert limits.normal == float(info.smallest_normal)
    assert limits.step == float(info.smallest_subnormal)
    assert cast(limits.flush, target) == 0
    assert cast(np.nextafter(np.float32(limits.flush), np.float32(1)), target) == limits.step


@pytest.mark.parametrize("target", FORMATS)
def test_overflow_counts_equal_real_casts(target: Target) -> None:
    """The number of values that a cast makes infinite or NaN is the number that is reported."""
    limits = FORMATS[target]
    spread = np.random.default_rng(1).uniform(0.5, 1.0, 4096) * limits.overflow * 1.2
    values = np.minimum(spread, float(np.finfo(np.float32).max)).astype(np.float32).reshape(64, 64)
    rule = LowPrecisionOverflow(dtype=target)
    info = tensor_info(values)
    (finding,) = rule.check(info, measure(values, rule.needs(info), info))
    assert finding.values["count"] == int((~np.isfinite(cast(values, target))).sum())


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("scale", [0.02, 1.0, 50.0])
def test_underflow_loss_equals_real_casts(target: Target, scale: float) -> None:
    """The share of energy lost is that of a real cast within 10 percent, and the counts are exact."""
    limits = FORMATS[target]
    values = np.random.default_rng(2).normal(0, scale * limits.normal, (512, 512)).astype(np.float32)
    rule = LowPrecisionUnderflow(dtype=target, max_loss=0.0)
    info = tensor_info(values)
    (finding,) = rule.check(info, measure(values, rule.needs(info), info))
    wide = values.astype(np.float64)
    tiny = np.abs(wide) < limits.normal
    error = np.where(tiny, cast(values, target) - wide, 0)
    assert finding.values["flushed"] == int(((cast(values, target) == 0) & (wide != 0)).sum())
    assert finding.values["loss"] == pytest.approx((error**2).sum() / (wide**2).sum(), rel=0.1)


def test_a_type_that_loses_nothing_is_not_judged() -> None:
    """A tensor that is float16 already cannot overflow on its way to float16; a bfloat16 one can."""
    rule = LowPrecisionOverflow()
    assert not rule.applies(tensor_info(np.zeros((2, 2), np.float16)))
    assert rule.applies(tensor_info(np.zeros((2, 2), ml_dtypes.bfloat16)))
    assert not LowPrecisionUnderflow().applies(tensor_info(np.zeros((2, 2), np.int32)))


def test_a_margin_below_one_is_refused() -> None:
    """A margin of 0.5 would hide real overflows."""
    with pytest.raises(ValueError, match="margin must be at least 1"):
        LowPrecisionOverflow(margin=0.5)
