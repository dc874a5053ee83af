"""Layers that were renamed and trained on find each other by their numbers, and others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.comparison.conftest import Models, normal
from weightaudit.catalog import Layout
from weightaudit.comparison import Match, Status, compare_checkpoints
from weightaudit.render.diff_text import render_diff_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]


def network(*, prefix: str = "", seed: int = 0) -> Arrays:
    """Return three Dense layers of one width, each with kernel and bias and a normalization behind it."""
    arrays: Arrays = {}
    for place, name in enumerate("abc"):
        start = 100 * seed + 10 * place
        arrays[f"{prefix}{name}/kernel"] = normal(16, 16, seed=start)
        arrays[f"{prefix}{name}/bias"] = normal(16, seed=start + 1)
        arrays[f"{prefix}{name}_norm/gamma"] = normal(16, seed=start + 2)
        arrays[f"{prefix}{name}_norm/beta"] = normal(16, seed=start + 3)
    return arrays


def trained_on(arrays: Arrays, prefix: str = "") -> Arrays:
    """Return weights after more training: each has moved by about a tenth of its size."""
    rng = np.random.default_rng(9)
    return {
        prefix + name: (values * (1 + 0.1 * rng.standard_normal(values.shape))).astype(np.float32)
        for name, values in arrays.items()
    }


def pairs(first: Any, second: Any) -> dict[str, tuple[str, Match | None]]:
    """Return name in the second model and way of pairing, by name in the first."""
    return {
        one.first.name: (one.second.name, one.match)
        for one in compare_checkpoints(first, second).tensors
        if one.first is not None and one.second is not None
    }


def test_renamed_layers_that_were_trained_on(model: Models) -> None:
    """Every tensor finds its counterpart under another name, and each pair says that it is a guess."""
    base = network()
    found = pairs(model(base), model(trained_on(base, "my_")))
    assert found == {name: (f"my_{name}", Match.LIKENESS) for name in base}
    assert Match.LIKENESS.is_guess
    assert not Match.CONTENT.is_guess


def test_a_model_that_was_initialized_apart_is_another(model: Models) -> None:
    """Nothing is paired of two models of one architecture that have no number in common."""
    assert pairs(model(network()), model(network(prefix="my_", seed=1))) == {}


def test_a_layer_more_has_no_counterpart(model: Models) -> None:
    """Of kernels of one shape, four beside three, the new one alone is left, wherever it is."""
    base = network()
    for name in ("my_a0", "my_z"):
        more = trained_on(base, "my_") | {f"{name}/kernel": normal(16, 16, seed=77)}
        found = pairs(model(base), model(dict(sorted(more.items()))))
        assert found == {name: (f"my_{name}", Match.LIKENESS) for name in base}


def test_a_layer_that_is_new_in_its_place_is_no_counterpart(model: Models) -> None:
    """A head of the same shape under another name, with other numbers, is gone and new."""
    base = network()
    head = {"c/kernel": "head/kernel", "c/bias": "head/bias"}
    after = trained_on({head.get(name, name): values for name, values in base.items()})
    after |= {"head/kernel": normal(16, 16, seed=50), "head/bias": normal(16, seed=51)}
    comparison = compare_checkpoints(model(base), model(after))
    assert {one.name for one in comparison.tensors if one.status is Status.REMOVED} == set(head)
    assert {one.name for one in comparison.tensors if one.status is Status.ADDED} == set(head.values())


def test_copies_that_were_trained_on_stay_alone(model: Models) -> None:
    """Of two layers that resemble one equally, neither is its counterpart."""
    kernel = normal(16, 16)
    after = trained_on({"x/kernel": kernel}) | trained_on({"y/kernel": kernel * 1.01})
    assert pairs(model({"a/kernel": kernel}), model(after)) == {}


@pytest.mark.parametrize("change", ["zeros", "nan", "few"])
def test_what_tells_nothing_pairs_nothing(model: Models, change: str) -> None:
    """Tensors of one value, with nothing finite, or with a handful of numbers resemble none."""
    arrays = {
        "zeros": (np.zeros((8, 8), np.float32), np.full((8, 8), 1e-9, np.float32)),
        "nan": (np.full((8, 8), np.nan, np.float32), normal(8, 8)),
        "few": (normal(3, 3), normal(3, 3) * np.float32(1.01)),
    }[change]
    assert pairs(model({"a/kernel": arrays[0]}), model({"b/kernel": arrays[1]})) == {}


def test_zeros_at_the_same_places_are_no_likeness(model: Models) -> None:
    """Zeros of two pruned kernels have one rank, whatever their order, and are no likeness."""
    first, second = (
        np.where(np.arange(1024).reshape(32, 32) % 16 == 0, normal(32, 32, seed=n), 0) for n in (1, 2)
    )
    there = pairs(model({"a/kernel": first}), model({"b/kernel": second.astype(np.float32)}))
    assert there == {}


def test_groups_of_a_file_without_names_shift(model: Models) -> None:
    """Where one of two numbered files has a layer more, numbers are no names, and likeness tells."""
    kernels = [normal(16, 16, seed=seed) for seed in range(3)]
    first = {f"layers/{group}/vars/0": kernels[n] for n, group in enumerate(("dense", "dense_1"))}
    changed = list(trained_on({str(n): kernel for n, kernel in enumerate(kernels[:2])}).values())
    second = {"layers/dense/vars/0": kernels[2]}
    second |= {f"layers/dense_{n + 1}/vars/0": values for n, values in enumerate(changed)}
    found = pairs(model(first, Layout.KERAS3), model(second, Layout.KERAS3))
    assert [name.split("/")[0] for name, _ in found.values()] == ["dense_1", "dense_2"]


def test_order_tells_nothing_of_two_models_that_share_little(model: Models) -> None:
    """Two models that share one shape among many are not joined by the order of that shape."""
    first = {f"dense_{n}/kernel": normal(4, n, seed=n) for n in range(5, 9)} | {"conv_1/kernel": normal(3, 3)}
    second = {f"dense_{n}/kernel": normal(7, n, seed=n) for n in range(15, 19)} | {
        "conv_8/kernel": normal(3, 3, seed=1)
    }
    assert pairs(model(first), model(second)) == {}


def test_a_diff_says_how_many_pairs_are_guesses(model: Models) -> None:
    """The text counts the pairs that nothing in the files says are one."""
    base = network()
    text = render_diff_text(compare_checkpoints(model(base), model(trained_on(base, "my_"))))
    assert "info: paired 12 by likeness\n" in text
    assert "info: 12 of the pairs are guesses: the names differ, and only order" in text
