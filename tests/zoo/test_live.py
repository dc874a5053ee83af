"""What files tell of each tensor, against the live models that they were saved from."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from tests.zoo.comparing import Tally
from tests.zoo.harness import GENERATIONS, build_and_save, cases, examine, is_buildable

if TYPE_CHECKING:
    from pathlib import Path

CUSTOM = {"custom", "subclassed"}
"""Models with classes of a user, of which configurations do not tell everything."""

TOLD_BY_CONFIG = {".keras", ".h5", "SavedModel", ".weights.h5 + config", "sharded + config"}
"""Containers that come with the configuration of every built-in layer, or were given it."""

CERTAIN = ("role", "layer class", "trainable", "constraint", "regularizer", "fans")
"""What the configuration of built-in layers tells without exception."""

WITHOUT_CONFIG = {".weights.h5": 0.95, "sharded": 0.95, "export": 0.99, "checkpoint": 0.95}
"""Least share of the roles that names and shapes alone tell."""

OPEN = {"normalizations", "only_keras3", "attention", "optimizer_adafactor"}
"""Models with variables whose shapes leave open what they are: gamma or beta, rows or columns."""

WITHOUT_ZERO_POINTS = {"quantized_gptq", "quantized_gptq_bytes", "quantized_awq"}
"""Models whose zero points Keras 3.15 does not store, except in HDF5 files of whole models."""

ALL = [(generation, case) for generation in GENERATIONS for case in cases(generation)]


@pytest.fixture(params=ALL, ids=["-".join(each) for each in ALL])
def tallies(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Tally]]:
    """A model of the zoo, and what was recovered from it by container."""
    pytest.importorskip("tensorflow", reason="live models need TensorFlow")
    generation, case = request.param
    if importlib.util.find_spec(generation) is None:
        pytest.skip(f"{generation} is not installed: its models cannot be built")
    if not is_buildable(generation, case):
        pytest.skip("tf_keras makes this layer only with TF_USE_LEGACY_KERAS=1 set before TensorFlow starts")
    return case, examine(build_and_save(generation, case, tmp_path))


def test_what_is_recovered(tallies: tuple[str, dict[str, Tally]]) -> None:
    """Nothing that is given as certain differs from the live model, and configurations tell all they can."""
    case, found = tallies
    for container, tally in found.items():
        assert tally.wrong == [], container
        assert tally.stored > 0
        # tf.train.Checkpoint leaves out the cells of stacked ones, Keras the zero points of some kernels.
        loses = (container, case) == ("checkpoint + config", "recurrent") and tally.stored < tally.live
        loses |= case in WITHOUT_ZERO_POINTS and container in TOLD_BY_CONFIG - {".h5"}
        assert bool(tally.defects) is loses, container
        if container in TOLD_BY_CONFIG and case not in CUSTOM:
            assert {each: tally.right[each] for each in CERTAIN} == {
                each: tally.asked[each] for each in CERTAIN
            }, (container, tally.missed)
        elif container in WITHOUT_CONFIG and case not in CUSTOM | OPEN:
            assert tally.right["role"] >= WITHOUT_CONFIG[container] * tally.asked["role"], tally.missed
        lost = {line.partition(": ")[2] for line in tally.missed if line.count(": ") == 1}
        keras_saved = "checkpoint" not in container and "export" not in container
        known = ("seed", "lora", *(("zero",) if case in WITHOUT_ZERO_POINTS else ()))
        assert not keras_saved or all(any(one in each for one in known) for each in lost)
