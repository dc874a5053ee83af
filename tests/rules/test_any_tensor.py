"""No tensor makes a rule crash: files of strangers hold every shape, type and value."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightaudit.plugins import load_rules
from weightaudit.tensor import Role
from weightaudit.testing import measure, tensor_info

if TYPE_CHECKING:
    from weightaudit.rule import Rule

DTYPES: tuple[Any, ...] = (
    *(np.float16, np.float32, np.float64, np.complex64, np.int8, np.int64, np.uint8, np.bool_),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
)
FORMATS = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int8", "int8_per_tensor")
OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "WA212": ({"formats": FORMATS}, {"formats": FORMATS, "min_sqnr": 1000.0, "scaled": False}),
    "WA213": ({"accumulator": "float16", "input_scale": 1e30}, {"accumulator": "int32"}),
    "WA214": ({"max_share": 0.0},),
    "WA301": (
        {"max": 1.0, "axis": 0},
        {"max": 0.0, "order": inf, "tensors": ("*",)},
        {"max": 1.0, "axis": (0, -1)},
    ),
    "WA302": ({"tensors": ("*",)}, {"layer_classes": ("D*",), "axis": -2}),
    "WA303": ({"min": 0.5, "max": 2.0, "axis": (0, 1, 2)}, {"min": 1.0, "tensors": ("*",)}),
    "WA304": ({"min": -1.0, "max": 1.0, "tensors": ("*",)},),
    "WA305": ({"tensors": ("*",)},),
    "WA306": ({"max": 1.0, "tensors": ("*",)},),
    "WA307": ({"min": 2.0, "tensors": ("*",)},),
    "WA401": ({"min": 0.1, "max": 0.2, "tensors": ("*",)},),
    "WA510": ({"enabled": True},),
    "WA606": ({"min": 0.1, "max": 0.2},),
}


@pytest.mark.parametrize("rule", load_rules(("weightaudit_rules",)), ids=lambda rule: rule.code)
@settings(deadline=None, max_examples=60)
@given(
    shape=st.lists(st.integers(0, 5), max_size=4).map(tuple),
    dtype=st.sampled_from(DTYPES),
    role=st.sampled_from(Role),
    seed=st.integers(0, 2**32 - 1),
    zero=st.booleans(),
)
def test_rules_judge_any_tensor(
    rule: type[Rule], shape: tuple[int, ...], dtype: Any, role: Role, seed: int, *, zero: bool
) -> None:
    """Whatever the shape, type, role and bits, a rule answers with sentences that name no other code."""
    count = int(np.prod(shape, dtype=int))
    raw = np.random.default_rng(seed).bytes(count * np.dtype(dtype).itemsize)
    values = np.frombuffer(bytes(len(raw)) if zero else raw, dtype).reshape(shape)
    info = tensor_info(
        values, role=role, name="optimizer/dense/kernel/velocity", output_axes=(-1,)[: len(shape)]
    )
    for options in OPTIONS.get(rule.code, ({},)):
        judge = rule(**options)
        assert judge.is_active()
        if judge.applies(info):
            for finding in judge.check(info, measure(values, judge.needs(info), info)):
                assert finding.code == rule.code
                assert finding.message.endswith(".")
