"""WA205 and WA207 on real models: layers that were scaled are found, and healthy ones left alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weightaudit
from tests.identity.catalogs import functional, layer
from weightaudit.identity.topology import read_topology
from weightaudit.policy import Policy
from weightaudit.portrait import Detail
from weightaudit.rule import Finding, Measured, Severity
from weightaudit.statistics import Moments, MomentSums, Stats
from weightaudit.tensor import Declared, Role, TensorInfo
from weightaudit.testing import measure, tensor_info
from weightaudit_rules._initial import initial_rms
from weightaudit_rules._peers import KERNELS
from weightaudit_rules.cumulative_gain import CumulativeGain
from weightaudit_rules.exploding_scale import ExplodingScale
from weightaudit_rules.scale_among_peers import ScaleAmongPeers
from weightaudit_rules.vanishing_scale import VanishingScale

MOMENTS = Moments()
FACTORS = tuple(10.0**power for power in (-6, -4, -3, -2, 2, 3, 4, 6))


@pytest.fixture(scope="module")
def models(corpus: Path) -> dict[str, Measured]:
    """Every model of the collection with its moments, by its place there."""
    policy = Policy(select=("WA101",), plugins=("weightaudit_rules",))
    reports = weightaudit.audit(corpus, policy=policy, detail=Detail.FIGURES).models
    return {one.path: Measured(one.tensors, dict(one.stats), ()) for one in reports if not one.failure}


def kernels(model: Measured) -> list[TensorInfo]:
    """Return the kernels that are large enough, finite and not zero."""
    return [
        info
        for info in model.tensors
        if info.role in KERNELS
        and info.size >= 64
        and info.name in model.stats
        and 0 < model.stats[info.name][MOMENTS].rms < 1e30
    ]


def scaled(model: Measured, info: TensorInfo, factor: float) -> Measured:
    """Return the model as it is when one tensor was multiplied."""
    sums = model.stats[info.name][MOMENTS]
    moments = MomentSums(sums.count, sums.total * factor, sums.squares * factor**2)
    return dataclasses.replace(model, stats={**model.stats, info.name: Stats({MOMENTS: moments})})


def is_found(model: Measured, info: TensorInfo) -> bool:
    """Say whether one of the rules about scale names the tensor."""
    single = [rule for rule in (ExplodingScale(), VanishingScale()) if rule.applies(info)]
    found = [one for rule in single for one in rule.check(info, model.stats[info.name])]
    found += [one for one in ScaleAmongPeers().check_model(model) if one.tensor == info.name]
    return bool(found)


def test_healthy_models_have_peers_of_their_size(models: dict[str, Measured]) -> None:
    """No tensor of a trained model is far from its peers."""
    found = {
        path: [one.tensor for one in ScaleAmongPeers().check_model(model)] for path, model in models.items()
    }
    assert {path: names for path, names in found.items() if names} == {}


def test_scaled_kernels_of_real_models_are_found(models: dict[str, Measured]) -> None:
    """Of kernels that were multiplied by 10^k, k from 2 to 6 or -2 to -6, at least 95 % are found."""
    tried = found = 0
    for model in models.values():
        chosen = kernels(model)
        for info in chosen[:: max(1, len(chosen) // 4)]:
            for factor in FACTORS:
                tried += 1
                found += is_found(scaled(model, info, factor), info)
    assert tried > 1000
    assert found >= 0.95 * tried


def test_a_thousandfold_layer_is_an_error_and_told_as_exploded_or_vanished(
    models: dict[str, Measured],
) -> None:
    """Both directions are told apart, and the layer is named."""
    model = next(model for path, model in models.items() if "mlperf-vww-h5" in path)
    info = kernels(model)[4]
    for factor, word in ((1e4, "exploded"), (1e-4, "vanished")):
        (finding,) = ScaleAmongPeers().check_model(scaled(model, info, factor))
        assert finding.tensor == info.name
        assert finding.severity is Severity.ERROR
        assert word in finding.message


def vectors(role: Role, *scales: float, names: Sequence[str] = ()) -> list[Finding]:
    """Judge a model of vectors of one role, in layers of these names."""
    rng = np.random.default_rng(3)
    arrays = [rng.normal(0, scale, 32).astype(np.float32) for scale in scales]
    infos = [
        tensor_info(one, role=role, name=f"{layer}/{role}", layer=layer)
        for one, layer in zip(arrays, names or [f"layer{n}" for n in range(len(arrays))], strict=True)
    ]
    stats = {info.name: measure(one, [MOMENTS], info) for info, one in zip(infos, arrays, strict=True)}
    return list(ScaleAmongPeers().check_model(Measured(infos, stats, ())))


def test_scales_of_normalizations_are_compared_both_ways() -> None:
    """One gamma that is 200 times as large or as small as the others is named."""
    assert vectors(Role.NORM_SCALE, 1, 2, 0.5, 1) == []
    assert [one.tensor for one in vectors(Role.NORM_SCALE, 1, 1, 200, 1)] == ["layer2/norm_scale"]
    assert [one.tensor for one in vectors(Role.NORM_SCALE, 1, 5e-3, 1, 1)] == ["layer1/norm_scale"]
    # LayerScale begins with all at a millionth.
    assert vectors(Role.NORM_SCALE, *([1e-6] * 8)) == []


def test_scales_of_residual_branches_are_compared_with_each_other() -> None:
    """Small scales that are called alike are how they were made; one of them that differs is named."""
    names = [*(f"norm_{n}" for n in range(6)), "layer_scale", "layer_scale_1"]
    assert vectors(Role.NORM_SCALE, *([1] * 6), 1e-5, 1e-5, names=names) == []
    found = vectors(Role.NORM_SCALE, *([1] * 6), 1, 1e-3, names=names)
    assert [one.tensor for one in found] == ["layer_scale_1/norm_scale"]


def test_biases_are_only_found_where_they_exploded() -> None:
    """Biases begin at zero, so small ones say nothing; a large one says something if the others are small."""
    assert vectors(Role.BIAS, 1e-9, 0.1, 0.1) == []
    assert vectors(Role.BIAS, 1e-4, 1e-4, 4) == []
    assert [one.tensor for one in vectors(Role.BIAS, 0.1, 0.1, 50)] == ["layer2/bias"]
    assert [one.tensor for one in vectors(Role.NORM_OFFSET, 0.1, 0.1, 50)] == ["layer2/norm_offset"]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("GlorotUniform", {}),
        ("GlorotNormal", {}),
        ("HeUniform", {}),
        ("HeNormal", {}),
        ("LecunNormal", {}),
        ("VarianceScaling", {"scale": 3.0, "mode": "fan_out", "distribution": "untruncated_normal"}),
        ("RandomNormal", {"stddev": 0.3}),
        ("RandomUniform", {"minval": -0.2, "maxval": 0.2}),
        ("Orthogonal", {"gain": 0.5}),
    ],
)
def test_initial_size_is_what_keras_gives(name: str, config: dict[str, Any]) -> None:
    """The expected rms of each initializer is that of values which Keras draws with it."""
    import keras

    for shape in ((3, 3, 48, 96), (200, 120)):
        values = np.asarray(getattr(keras.initializers, name)(**config, seed=1)(shape).numpy())
        info = tensor_info(values, initializer=Declared(name, config))
        assert initial_rms(info) == pytest.approx(float(np.sqrt(np.mean(values**2))), rel=0.03)


def test_what_an_initializer_of_a_stranger_gives_is_not_known() -> None:
    """A class of the user's own counts as Keras' default, and so does nonsense in a configuration."""
    values = np.ones((8, 8), np.float32)
    assert initial_rms(tensor_info(values, initializer=Declared("Mine", builtin=False))) == pytest.approx(
        initial_rms(tensor_info(values))
    )
    assert initial_rms(tensor_info(values, initializer=Declared("Ones"))) == 0
    odd = tensor_info(values, initializer=Declared("RandomNormal", {"stddev": "large"}))
    assert initial_rms(odd) == initial_rms(tensor_info(values))


def dense_model(config: Any, **scales: float) -> Measured:
    """Return a model of dense kernels with so many times their initial size."""
    rng = np.random.default_rng(5)
    arrays = {
        name: rng.normal(0, 0.125 * scale, (64, 64)).astype(np.float32) for name, scale in scales.items()
    }
    infos = [tensor_info(one, name=f"{name}/kernel", key=name, layer=name) for name, one in arrays.items()]
    stats = {info.name: measure(arrays[info.layer], [MOMENTS], info) for info in infos}
    topology = read_topology(config)
    return Measured(infos, stats, (), trace=lambda: topology)


def called(item: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a layer that takes the outputs of others."""
    return {**item, "inbound_nodes": [[[name, 0, 0, {}] for name in names]]}


def test_growth_passes_through_branches_that_join() -> None:
    """Where branches join, the one that grew most goes on, and its layers are named, the worst first."""
    config = functional(
        called(layer("InputLayer", "in")),
        called(layer("Dense", "first"), "in"),
        called(layer("Dense", "large", activation="relu"), "first"),
        called(layer("Dense", "small"), "first"),
        called(layer("Add", "sum"), "large", "small"),
        called(layer("Dense", "last"), "sum"),
    )
    model = dense_model(config, first=100, large=2000, small=1, last=100)
    (finding,) = CumulativeGain().check_model(model)
    assert finding.tensor == "large/kernel"
    assert finding.values["layers"] == 3
    assert "small" not in finding.message


def test_normalizations_and_saturation_begin_a_path_anew() -> None:
    """Behind a normalization, a tanh or an unknown layer, what was before does not matter."""
    for between in (
        layer("LayerNormalization", "between"),
        layer("Activation", "between", activation="tanh"),
        layer("Mystery", "between"),
    ):
        config = functional(
            called(layer("Dense", "first")),
            called(layer("Dense", "second"), "first"),
            called(between, "second"),
            called(layer("Dense", "third"), "between"),
            called(layer("Dense", "fourth"), "third"),
        )
        scales = dict.fromkeys(("first", "second", "third", "fourth"), 100.0)
        assert list(CumulativeGain().check_model(dense_model(config, **scales))) == []


def test_cycles_and_unknown_topologies_are_left_out() -> None:
    """Layers that feed each other in a ring, and models without a configuration, give no finding."""
    ring = functional(called(layer("Dense", "a"), "b"), called(layer("Dense", "b"), "a"))
    for config in (ring, None):
        assert list(CumulativeGain().check_model(dense_model(config, a=1e6, b=1e6))) == []


def every_shape() -> Iterator[tuple[int, ...]]:
    """Yield shapes of kernels, the odd ones among them."""
    yield from ((64,), (0, 4), (8, 0), (3, 3, 1, 64), (1, 64), ())


def test_odd_tensors_do_not_hurt() -> None:
    """Kernels without elements or axes, with infinities or extreme values, are judged without an error."""
    arrays = [np.full(shape, value) for shape in every_shape() for value in (0.0, 1e-160, 1e150, np.inf)]
    infos = [
        tensor_info(one, name=f"l{index}/kernel", layer=f"l{index}", fan_in=3)
        for index, one in enumerate(arrays)
    ]
    stats = {info.name: measure(one, [MOMENTS], info) for info, one in zip(infos, arrays, strict=True)}
    for finding in ScaleAmongPeers().check_model(Measured(infos, stats, ())):
        assert finding.message.endswith(".")
