"""The norm rules mean what Keras' constraints mean, and tell rounding from violation."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from weightaudit.rule import Finding, Severity
from weightaudit.tensor import Role
from weightaudit.testing import measure, tensor_info
from weightaudit_rules.min_max_norm import MinMaxNorm
from weightaudit_rules.norm_bound import NormBound
from weightaudit_rules.unit_norm import UnitNorm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit_rules._norms import NormRule


def judge(rule: NormRule, values: NDArray[Any], **differences: Any) -> list[Finding]:
    """Run a rule on an array."""
    info = tensor_info(values, **differences)
    assert rule.applies(info)
    return list(rule.check(info, measure(values, rule.needs(info), info)))


def kernel(*shape: int) -> NDArray[np.float32]:
    """Return weights far above any bound used here."""
    return np.random.default_rng(1).normal(0, 3, shape).astype(np.float32)


@pytest.mark.parametrize(("shape", "axis"), [((512, 256), 0), ((3, 3, 16, 32), (0, 1, 2)), ((64, 48), 1)])
def test_what_keras_projects_complies(shape: tuple[int, ...], axis: int | tuple[int, ...]) -> None:
    """Weights that Keras itself has constrained pass, although its formula leaves some above the bound."""
    constraints = pytest.importorskip("keras").constraints
    axes = list(axis) if isinstance(axis, tuple) else axis
    weights = kernel(*shape)
    for constraint, rule in (
        (constraints.MaxNorm(2.0, axis=axes), NormBound(max=2.0, axis=axis)),
        (constraints.UnitNorm(axis=axes), UnitNorm(roles=(Role.KERNEL,), axis=axis)),
        (constraints.MinMaxNorm(0.5, 1.5, axis=axes), MinMaxNorm(min=0.5, max=1.5, axis=axis)),
    ):
        assert judge(rule, weights)
        assert judge(rule, np.asarray(constraint(weights))) == []


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rounding_to_the_storage_type_complies(dtype: str) -> None:
    """Columns of norm 1 that were rounded to a narrower type are still on the sphere; 2 % off is not."""
    exact = kernel(64, 32).astype(np.float64)
    exact /= np.linalg.norm(exact, axis=0)
    rule = UnitNorm(roles=(Role.KERNEL,), axis=0)
    assert judge(rule, exact.astype(dtype)) == []
    assert len(judge(rule, (1.02 * exact).astype(dtype))) == 1


@pytest.mark.parametrize("order", [1.0, 2.0, inf])
def test_every_order_is_numpys(order: float) -> None:
    """The bound is met just below numpy's norm of that order and broken just above."""
    weights = kernel(40, 30)
    largest = float(np.linalg.norm(weights.astype(np.float64), order, axis=0).max())
    assert judge(NormBound(max=largest, order=order, axis=0), weights) == []
    assert judge(NormBound(max=largest * 0.999, order=order, axis=0), weights)


def test_the_worst_group_is_named() -> None:
    """A user sees how many groups break the bound, which is worst, and how far it is."""
    weights = np.full((4, 3, 2), 0.1, np.float32)
    weights[:, 2, 1] = 5
    (finding,) = judge(NormBound(max=1.0, axis=(0,)), weights)
    assert finding.values == {"count": 1, "groups": 6, "worst": 10.0, "minimum": 0.0, "maximum": 1.0}
    assert "(2, 1) is 10, above 1" in finding.message


def test_a_stated_tolerance_counts() -> None:
    """Who states a tolerance gets that one, also if it is zero."""
    weights = np.full((1, 4), 1.000001, np.float32)
    assert judge(NormBound(max=1.0, axis=0), weights) == []
    assert judge(NormBound(max=1.0, axis=0, tolerance=0.0), weights)


def test_an_axis_that_a_tensor_lacks_is_said() -> None:
    """A bound that cannot be judged is a warning, never silence."""
    (finding,) = judge(NormBound(max=1.0, axis=(0, 1, 2)), kernel(8, 8))
    assert finding.severity is Severity.WARNING
    assert "not judged" in finding.message


def test_an_order_that_nobody_means_is_refused() -> None:
    """Order 3 is a mistake in the policy."""
    with pytest.raises(ValueError, match="order must be 1, 2 or inf"):
        NormBound(max=1.0, order=3.0)
