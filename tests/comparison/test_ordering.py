"""Weights that only the order of their layers tells apart, in models as frameworks save them."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.comparison.conftest import Models, normal
from weightaudit.catalog import Layout
from weightaudit.comparison import Status, compare, compare_checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

keras = pytest.importorskip("tf_keras")
layers = keras.layers

# The old Keras calls what newer TensorFlow and numpy warn of.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

FILES = (".keras", ".h5", ".weights.h5")


def recurrent() -> Any:
    """Two bidirectional layers and two of the same cells, so that shapes and classes repeat."""
    return keras.Sequential(
        [
            layers.Input((5, 4)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.GRU(6, return_sequences=True),
            layers.GRU(6),
            layers.Dense(1),
        ]
    )


def attention() -> Any:
    """Two attention layers, whose query, key and value have one shape."""
    inputs = hidden = layers.Input((5, 8))
    for _ in range(2):
        hidden = layers.LayerNormalization()(hidden + layers.MultiHeadAttention(2, 4)(hidden, hidden))
    return keras.Model(inputs, layers.Dense(2)(hidden))


def nested() -> Any:
    """Inner models with normalizations of the same size as one outside of them."""

    def inner(name: str) -> Any:
        parts = [layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()]
        parts += [layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()]
        return keras.Sequential([layers.Input((6, 6, 4)), *parts], name=name)

    inputs = layers.Input((6, 6, 4))
    hidden = inner("second")(inner("first")(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.BatchNormalization()(hidden)))


def save(model: Any, directory: Path, containers: tuple[str, ...]) -> dict[str, Path]:
    """Save a model in some containers."""
    directory.mkdir()
    paths = {suffix: directory / f"model{suffix}" for suffix in containers}
    for suffix, path in paths.items():
        if suffix == ".weights.h5":
            model.save_weights(path)
        else:
            model.save(path, **({"save_format": "tf"} if suffix == "_saved" else {}))
    return paths


# TensorFlow takes a minute to trace a recurrent model.
@pytest.mark.parametrize(
    ("make", "containers"), [(recurrent, FILES), (attention, (*FILES, "_saved")), (nested, FILES)]
)
def test_another_container_of_a_model_that_was_trained_on(
    make: Callable[[], Any], containers: tuple[str, ...], tmp_path: Path
) -> None:
    """Every weight finds its own counterpart: none is gone or new, and each moved by the step taken."""
    model = make()
    before = save(model, tmp_path / "before", containers)
    rng = np.random.default_rng(1)
    # Far enough apart to be told, and so near that no other weight could pass for it.
    model.set_weights(
        [weights * 1.01 + 0.001 * rng.standard_normal(weights.shape) for weights in model.get_weights()]
    )
    after = save(model, tmp_path / "after", containers)
    for one, other in permutations(containers, 2):
        comparison = compare(before[one], after[other], weights_only=True)
        assert comparison.count(Status.REMOVED) == comparison.count(Status.ADDED) == 0, (one, other)
        weights = [info for each in comparison.tensors if (info := each.first) is not None]
        assert len(weights) == len(model.get_weights())
        steps = [each.difference for each in comparison.tensors if each.difference is not None]
        assert max(step.relative for step in steps if step.norm_before) < 0.1, (one, other)


def test_a_model_that_was_built_again_in_one_session(model: Models) -> None:
    """Numbers that Keras goes on counting are passed over, where everything else of a name is the same."""
    first = model({f"dense_{number}/kernel": normal(4, 4, seed=number) for number in (9, 10, 11)})
    second = model({f"dense_{number}/kernel": normal(4, 4, seed=number) for number in (12, 13, 14)})
    pairs = {
        (one.first.name, one.second.name)
        for one in compare_checkpoints(first, second).tensors
        if one.first is not None and one.second is not None
    }
    assert pairs == {(f"dense_{number}/kernel", f"dense_{number + 3}/kernel") for number in (9, 10, 11)}


def test_names_of_ones_own_have_no_order(model: Models) -> None:
    """Of layers that someone named, and no configuration orders, nothing is guessed."""
    named = model({"hidden/kernel": normal(4, 4), "out/kernel": normal(4, 4, seed=1)})
    groups = {f"layers/{group}/vars/0": normal(4, 4, seed=2) for group in ("dense", "dense_1")}
    comparison = compare_checkpoints(named, model(groups, Layout.KERAS3))
    assert comparison.count(Status.REMOVED) == comparison.count(Status.ADDED) == 2


def test_as_many_on_either_side_or_none(model: Models) -> None:
    """Where one model has a layer more, its numbers do not tell which, and none is paired."""
    first = model({f"dense_{number}/kernel": normal(4, 4, seed=number) for number in (1, 2)})
    second = model({f"dense_{number}/kernel": normal(4, 4, seed=number) for number in (5, 6, 7)})
    comparison = compare_checkpoints(first, second)
    assert (comparison.count(Status.REMOVED), comparison.count(Status.ADDED)) == (2, 3)


def test_a_layer_that_took_the_place_of_another_is_new(model: Models) -> None:
    """Where layers beside them kept their numbers, those that are gone and those that are new are no pair."""
    first = model({f"dense_{number}/kernel": normal(4, 4, seed=number) for number in (1, 2, 3)})
    second = model({f"dense_{number}/kernel": normal(4, 4, seed=number) for number in (1, 3, 4)})
    comparison = compare_checkpoints(first, second)
    assert (comparison.count(Status.REMOVED), comparison.count(Status.ADDED)) == (1, 1)
