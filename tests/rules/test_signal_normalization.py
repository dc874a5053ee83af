"""WA206 on real models: kernels that the statistics behind them do not know are found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import weightaudit
from weightaudit.checkpoint import open_checkpoint
from weightaudit.identity.topology import Node, Topology
from weightaudit.policy import Policy
from weightaudit.rule import Finding, Measured
from weightaudit.statistics import AxisSum, Stats
from weightaudit.tensor import TensorInfo
from weightaudit.testing import findings_of, measure
from weightaudit_rules._feeding import fed, sources_of
from weightaudit_rules.normalization_mismatch import NormalizationMismatch

RULE = NormalizationMismatch()
ONLY = Policy(select=("WA206",), plugins=("weightaudit_rules",))
Arrays = dict[str, NDArray[Any]]


class Lab:
    """A model whose tensors can be changed before it is judged."""

    def __init__(self, path: Path) -> None:
        with open_checkpoint(path) as checkpoint:
            topology = checkpoint.topology
            self.model = Measured(checkpoint.tensors, {}, (), trace=lambda: topology)
            self.needs = RULE.needs_of_model(self.model)
            self.arrays = {name: checkpoint.read(name) for name in self.needs}
        self.infos = {info.name: info for info in self.model.tensors}
        self.stats = {name: self._measured(name, values) for name, values in self.arrays.items()}

    @property
    def kernels(self) -> list[TensorInfo]:
        """The kernels that are judged by correlation."""
        places = [place.kernel for place in fed(self.model)]
        return [info for info in places if np.prod([info.shape[axis] for axis in info.output_axes]) >= 16]

    def judge(self, changes: Arrays) -> list[Finding]:
        """Return what is found with other values for some tensors."""
        stats = self.stats | {name: self._measured(name, values) for name, values in changes.items()}
        return list(
            RULE.check_model(Measured(self.model.tensors, stats, (), trace=lambda: self.model.topology))
        )

    def _measured(self, name: str, values: NDArray[Any]) -> Stats:
        return measure(values, self.needs[name], self.infos[name])


@pytest.fixture(scope="module")
def labs(corpus: Path) -> list[Lab]:
    """Models of the collection with many batch normalizations and a saved configuration."""
    names = (
        "mlperf-vww-h5/vww_96.h5",
        "mlperf-resnet-h5/pretrainedResnet.h5",
        "mlperf-kws-sm",
        "mlperf-ad01-h5/ad01.h5",
    )
    return [Lab(corpus / name) for name in names]


def recall(labs: list[Lab], fault: Callable[[Lab, TensorInfo], Arrays | None]) -> float:
    """Return the share of kernels in which a fault is found, by a finding that names what was changed."""
    hits = tried = 0
    for lab in labs:
        for info in lab.kernels:
            changes = fault(lab, info)
            if changes is not None:
                tried += 1
                hits += any(one.tensor in changes for one in lab.judge(changes))
    assert tried >= 20
    return hits / tried


def test_healthy_models_fit_their_normalizations(corpus: Path) -> None:
    """No model of the collection has a finding, trained for an hour or for weeks."""
    reports = weightaudit.audit(corpus, policy=ONLY).models
    assert {one.path for one in reports if one.findings} == set()


def test_reinitialized_kernels_are_found(labs: list[Lab]) -> None:
    """Nine in ten kernels that were drawn again from their initializer are found."""
    rng = np.random.default_rng(1)

    def fault(_: Lab, info: TensorInfo) -> Arrays:
        limit = np.sqrt(6 / ((info.fan_in or 1) + (info.fan_out or 1)))
        return {info.name: rng.uniform(-limit, limit, info.shape).astype(np.float32)}

    assert recall(labs, fault) >= 0.9


def test_swapped_kernels_are_found(labs: list[Lab]) -> None:
    """Nine in ten kernels that changed places with another of their shape are found."""

    def fault(lab: Lab, info: TensorInfo) -> Arrays | None:
        same = [other.name for other in lab.kernels if other.shape == info.shape and other is not info]
        if not same:
            return None
        return {info.name: lab.arrays[same[0]], same[0]: lab.arrays[info.name]}

    assert recall(labs, fault) >= 0.9


def test_permuted_channels_are_found(labs: list[Lab]) -> None:
    """Nine in ten kernels whose output channels were put in another order are found."""
    rng = np.random.default_rng(1)

    def fault(lab: Lab, info: TensorInfo) -> Arrays | None:
        if len(info.output_axes) != 1:
            return None
        order = rng.permutation(info.shape[-1])
        return {info.name: lab.arrays[info.name][..., order]}

    assert recall(labs, fault) >= 0.9


@pytest.mark.parametrize(("factor", "share"), [(10, 0.6), (0.1, 0.5), (100, 0.95), (0.01, 0.95)])
def test_scaled_kernels_are_found(labs: list[Lab], factor: float, share: float) -> None:
    """A factor of 100 is found nearly always, one of 10 more often than not."""
    assert recall(labs, lambda lab, info: {info.name: lab.arrays[info.name] * factor}) >= share


def test_only_kernels_before_normalizations_are_summed(corpus: Path) -> None:
    """Of a whole model, the statistic that costs a pass is measured for no other kernel."""
    path = corpus / "mlperf-resnet-h5" / "pretrainedResnet.h5"
    (report,) = weightaudit.audit(path, policy=ONLY).models
    summed = {name for name, stats in report.stats.items() for one in stats if isinstance(one, AxisSum)}
    with open_checkpoint(path) as checkpoint:
        model = Measured(checkpoint.tensors, {}, (), trace=lambda: checkpoint.topology)
        kernels = {place.kernel.name for place in fed(model)}
    assert {name for name in summed if name.endswith("kernel")} == kernels
    assert "dense/kernel" not in kernels


def test_models_without_a_configuration_are_not_judged(corpus: Path) -> None:
    """Weights alone do not tell which layer feeds which, so nothing is measured and nothing found."""
    with open_checkpoint(corpus / "deepsalience-melody1" / "melody1.h5") as checkpoint:
        model = Measured(checkpoint.tensors, {}, (), trace=lambda: checkpoint.topology)
        assert RULE.needs_of_model(model) == {}


def test_a_model_without_normalizations_is_not_asked_for_its_topology() -> None:
    """Reading the configuration again costs time, so it is left where nothing could be found."""

    def refuse() -> Any:
        raise AssertionError("the topology was asked for")

    assert list(fed(Measured((), {}, (), trace=refuse))) == []


def test_a_layer_behind_very_many_others_is_not_followed() -> None:
    """Of what feeds a layer through a wide sum, only so much is looked at, however many layers it feeds."""
    wide = Node("add", "Add", "linear", keeps_scale=True, predecessors=tuple(f"n{k}" for k in range(1000)))
    looked: set[str] = set()

    class Watched(dict[str, Node]):
        def __getitem__(self, path: str) -> Node:
            looked.add(path)
            return wide if path == "add" else Node(path, "ReLU", "relu", keeps_scale=True)

    feeder = Node("dense", "Dense", "linear", keeps_scale=False, predecessors=("add",))
    assert sources_of(feeder, Topology(Watched()), {}) == ()
    assert looked == {"add"}


@pytest.mark.parametrize(
    ("center", "deviation", "is_found"), [(0.9, 0.01, False), (0.9, 0.5, True), (9, 0.01, True)]
)
def test_variances_that_were_hardly_measured_accuse_no_kernel(
    center: float, deviation: float, *, is_found: bool
) -> None:
    """After a few steps variances are what is left of 1 in every channel, whatever the outputs were."""
    example = NormalizationMismatch.examples[0]
    variances = (center * np.random.default_rng(1).normal(1, deviation, 64) ** 2).astype(np.float32)
    early = [
        dataclasses.replace(one, values=variances.copy)
        if one.title == "normalization_2/moving_variance"
        else one
        for one in example.beside
    ]
    small = dataclasses.replace(
        example, values=lambda: example.values() * np.float32(0.05), beside=tuple(early)
    )
    assert bool(findings_of(RULE, small)) is is_found


@pytest.mark.parametrize(("middle", "is_found"), [(True, False), (False, True)])
def test_on_maps_of_one_place_the_middle_of_a_kernel_counts(*, middle: bool, is_found: bool) -> None:
    """Padding leaves the middle of a field alone: means that belong to it accuse no kernel, others do."""
    example = NormalizationMismatch.examples[0]
    kernel = np.random.default_rng(9).normal(0, 1.5, (3, 3, *example.values().shape)).astype(np.float32)
    kernel[(1, 1) if middle else (0, 2)] = example.values()
    assert example.config is not None
    text = json.dumps(example.config).replace(
        '"Dense", "config": {"name": "dense_2"', '"Conv2D", "config": {"name": "dense_2"'
    )
    wide = dataclasses.replace(example, values=lambda: kernel, config=json.loads(text))
    found = findings_of(NormalizationMismatch(ratio=1e3), wide)
    assert bool(found) is is_found
    assert all("correlate" in one.message for one in found)
