"""What slots of one variable cannot be beside each other, and what they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from weightaudit.rule import Measured, Severity
from weightaudit.tensor import Evidence
from weightaudit.testing import measure, tensor_info
from weightaudit_rules._training import STATE_NEEDS
from weightaudit_rules.optimizer_state import OptimizerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from weightaudit.rule import Finding

SHAPE = (16, 8)


def found(slots: Mapping[str, NDArray[Any]], steps: int = 300, **known: Any) -> list[Finding]:
    """Return what the rule says of the slots of one variable."""
    values = {f"optimizer/dense/kernel/{kind}": array for kind, array in slots.items()}
    infos = [
        tensor_info(array, **{"name": name, "key": name, "role": "optimizer_slot", "layer": ""} | known)
        for name, array in values.items()
    ]
    counter = np.array(steps)
    infos.append(tensor_info(counter, name="optimizer/iteration", role="counter", layer=""))
    arrays = [*values.values(), counter]
    stats = {info.name: measure(array, STATE_NEEDS, info) for info, array in zip(infos, arrays, strict=True)}
    return [*OptimizerState(enabled=True).check_model(Measured(infos, stats, ()))]


def full(value: float) -> NDArray[Any]:
    """Return a slot around a value, of float32."""
    return (value * np.random.default_rng(1).uniform(0.9, 1.0, SHAPE)).astype(np.float32)


def half(value: float) -> NDArray[Any]:
    """Return the same of float16."""
    return full(value).astype(np.float16)


def lone(value: float, rest: float) -> NDArray[Any]:
    """Return a slot with one number above all others."""
    slot = full(rest)
    slot[3, 3] = value
    return slot


@pytest.mark.parametrize(
    ("slots", "tensor"),
    [
        ({"momentum": full(1e-3), "velocity": full(0)}, "velocity"),
        ({"m": full(-1e-3), "v": full(0)}, "v"),
        ({"momentum": lone(1e3, 1e-3), "velocity": lone(1e1, 1e0)}, "momentum"),
        ({"momentum": full(1e3), "norm": full(1)}, "momentum"),
        ({"velocity": full(1e-4), "momentum": full(1), "average_gradient": full(1)}, "average_gradient"),
        ({"momentum": full(1e-3), "velocity": full(1e-4), "velocity_hat": full(1e-5)}, "velocity"),
        ({"row_factor": full(1e-6), "column_factor": full(1e-2)}, "column_factor"),
    ],
)
def test_slots_that_no_gradients_give_are_told(slots: dict[str, NDArray[Any]], tensor: str) -> None:
    """Each law of an optimizer that two slots break is one warning, on the slot that is lost or too large."""
    (finding,) = found(slots)
    assert (finding.tensor, finding.severity) == (f"optimizer/dense/kernel/{tensor}", Severity.WARNING)


@pytest.mark.parametrize(
    "slots",
    [
        {"momentum": full(1e-20), "velocity": full(0)},
        {"momentum": half(1e-1), "velocity": half(0)},
        {"velocity": full(0), "momentum": full(1e-6)},
        {"average": full(1), "velocity": full(0), "momentum": full(1e-6)},
        {"iterate": full(1e3), "velocity": full(1e-9)},
        {"momentum": full(1e-3), "velocity": full(1e-5), "velocity_hat": np.zeros(1, np.float32)},
        {"row_factor": np.ones((), np.float32), "column_factor": np.zeros((), np.float32)},
        {"gradient_accumulator": full(0), "momentum": full(1e-3), "velocity": full(1e-5)},
    ],
)
def test_slots_that_gradients_may_give_are_not_warned_of(slots: dict[str, NDArray[Any]]) -> None:
    """Underflow, RMSprop's steps, weights among slots and numbers in the place of slots break no law."""
    assert [one for one in found(slots) if one.severity > Severity.NOTE] == []


def test_slots_that_rest_in_good_order_are_not_told() -> None:
    """Gradients that were just used and factors of vectors are zero after any number of steps."""
    scalar = np.zeros((), np.float32)
    slots = {"row_factor": scalar, "column_factor": scalar, "gradient_accumulator": full(0)}
    assert found(slots | {"velocity": full(1e-3)}) == []


def test_weights_among_slots_may_differ_before_the_first_step() -> None:
    """Averages of weights, and what ScheduleFreeAdamW steps with, begin as the weights."""
    assert found({"iterate": full(0.1), "average": full(0.1), "velocity": full(0)}, steps=0) == []


def test_names_that_are_a_guess_are_a_note() -> None:
    """Slots known by their places alone may be another optimizer's, so a broken law is no warning."""
    slots = {"momentum": full(1e-3), "velocity": full(0)}
    assert [one.severity for one in found(slots, evidence=Evidence.GUESS)] == [Severity.NOTE]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(5))
def test_laws_hold_for_gradients_of_any_size(seed: int, dtype: type[np.floating[Any]]) -> None:
    """Adam, Adamax, AMSGrad and centered RMSprop keep their laws while sizes and betas change by the step."""
    rng = np.random.default_rng(seed)
    m, v, u, top, mean, square = (np.zeros(SHAPE, dtype) for _ in range(6))
    for _ in range(400):
        g = (rng.normal(0, 1, SHAPE) * 10.0 ** rng.uniform(-12, 6, SHAPE)).astype(dtype)
        g *= rng.random(SHAPE) < 0.3
        first, second = dtype(rng.uniform(0, 0.95)), dtype(rng.choice([0.96, 0.999, 0.9999]))
        m, v = m + (g - m) * (1 - first), v + (g * g - v) * (1 - second)
        u, top = np.maximum(dtype(0.999) * u, np.abs(g)), np.maximum(top, v)
        mean, square = mean + (g - mean) * (1 - second), square + (g * g - square) * (1 - second)
    assert found({"momentum": m, "velocity": v, "velocity_hat": top}) == []
    assert found({"momentum": m, "norm": u}) == []
    assert found({"velocity": square, "average_gradient": mean}) == []
