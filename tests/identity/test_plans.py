"""Numbered slots of optimizers, in the order in which Keras makes them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.catalogs import by_name, functional, keras3, layer
from weightaudit.tensor import Evidence, Role

Shape = tuple[int, ...]

_WEIGHTS: dict[str, Shape] = {"layers/dense/vars/0": (3, 4), "layers/dense/vars/1": (4,)}
_HEAD: dict[str, Shape] = {"optimizer/vars/0@int64": (), "optimizer/vars/1": ()}


def slots(optimizer: str, shapes: list[Shape], **config: Any) -> dict[str, Evidence]:
    """Return the names after the variable, and the evidence, of what an optimizer of one layer keeps."""
    compiled = {"optimizer": {"class_name": optimizer, "config": {"name": "any", **config}}}
    stored = {**_WEIGHTS, **_HEAD, **{f"optimizer/vars/{2 + i}": shape for i, shape in enumerate(shapes)}}
    infos = by_name(keras3(stored, functional(layer("Dense", "fc"), compile_config=compiled)))
    found = [info for info in infos.values() if info.role is Role.OPTIMIZER_SLOT]
    found.sort(key=lambda info: int(info.key.rpartition("/")[2]))
    return {info.name.removeprefix("optimizer/fc/"): info.evidence for info in found}


_BOTH: list[Shape] = [(3, 4), (4,)]


@pytest.mark.parametrize(
    ("optimizer", "config", "expected"),
    [
        ("SGD", {"momentum": 0.9}, ["momentum"]),
        ("SGD", {"use_ema": True, "momentum": 0.0}, ["average"]),
        ("SGD", {"use_ema": True, "momentum": 0.9}, ["average", "momentum"]),
        ("RMSprop", {"centered": True}, ["velocity", "average_gradient"]),
        ("RMSprop", {"momentum": 0.5}, ["velocity", "momentum"]),
        ("Lion", {"gradient_accumulation_steps": 4}, ["gradient_accumulator", "momentum"]),
        ("Ftrl", {}, ["accumulator", "linear"]),
    ],
)
def test_options_decide_the_slots(optimizer: str, config: dict[str, Any], expected: list[str]) -> None:
    """Averages and accumulators stand before an optimizer's own slots, and optional slots only if chosen."""
    together = optimizer == "Ftrl"
    shapes = [(3, 4), (3, 4), (4,), (4,)] if together else _BOTH * len(expected)
    by_slot = [f"{variable}/{slot}" for slot in expected for variable in ("kernel", "bias")]
    by_variable = [f"{variable}/{slot}" for variable in ("kernel", "bias") for slot in expected]
    found = slots(optimizer, shapes, **config)
    assert list(found) == (by_variable if together else by_slot)
    assert set(found.values()) == {Evidence.CONFIG}


def test_factored_moments_have_shapes_of_their_own() -> None:
    """Adafactor keeps a vector for rows and one for columns of a matrix, and idle scalars for a bias."""
    found = slots("Adafactor", [(3,), (4,), (3, 4), (), (), (4,)])
    assert list(found) == [
        f"{variable}/{slot}"
        for variable in ("kernel", "bias")
        for slot in ("row_factor", "column_factor", "velocity")
    ]


def test_muon_leaves_vectors_to_adam() -> None:
    """Only what is no matrix has the second moment of Adam, too."""
    assert list(slots("Muon", [(3, 4), (4,), (4,)])) == ["kernel/momentum", "bias/momentum", "bias/velocity"]


def test_a_number_of_slots_that_options_leave_open_is_a_guess() -> None:
    """Three slots of Adam may be those of AMSGrad, or two and an average; without a config nobody knows."""
    stored = {**_WEIGHTS, **_HEAD}
    stored |= {f"optimizer/vars/{2 + i}": shape for i, shape in enumerate([(3, 4), (4,)] * 3)}
    names = {"layers/dense": "fc", "optimizer": "adam"}
    found = by_name(keras3(stored, None, names=names)).values()
    evidence = {info.evidence for info in found if info.role is Role.OPTIMIZER_SLOT}
    assert Evidence.CONFIG not in evidence


def test_a_loss_scaler_lists_the_optimizer_inside_it() -> None:
    """Its six scalars have names of their own, and the inner optimizer's slots follow."""
    inner = {"class_name": "SGD", "config": {"momentum": 0.9}}
    compiled = {"optimizer": {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": inner}}}
    stored: dict[str, Shape] = dict(_WEIGHTS)
    for index in range(6):
        stored[f"optimizer/vars/{index}" + ("" if index % 2 else "@int64")] = ()
    stored |= {"optimizer/vars/6": (3, 4), "optimizer/vars/7": (4,)}
    infos = by_name(keras3(stored, functional(layer("Dense", "fc"), compile_config=compiled)))
    assert infos["optimizer/step_counter"].role is Role.COUNTER
    assert infos["optimizer/dynamic_scale"].role is Role.HYPERPARAMETER
    assert infos["optimizer/inner_iteration"].key == "optimizer/vars/4"
    assert infos["optimizer/fc/bias/momentum"].evidence is Evidence.CONFIG


def test_a_pattern_of_a_stranger_is_not_run() -> None:
    """Names that a configuration excludes are words; anything else would be a program for the matcher."""
    packed = {"class_name": "__tuple__", "items": ["(a+)+$"]}
    assert "kernel/velocity" not in slots("Muon", [(3, 4), (4,), (4,)], exclude_layers=packed)
    assert "kernel/velocity" in slots("Muon", [(3, 4), (3, 4), (4,), (4,)], exclude_layers=["fc"])
