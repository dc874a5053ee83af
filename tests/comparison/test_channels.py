"""How far single output channels moved, beside what numpy says of the same arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from weightaudit.comparison import ChannelDrift, compare
from weightaudit.comparison.arrays import compare_arrays
from weightaudit.comparison.channels import tally_of
from weightaudit.testing import tensor_info

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def kernels(*shape: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a kernel before and after a step, with all of its last channel but one drawn anew."""
    rng = np.random.default_rng(1)
    before = rng.normal(0, 0.1, shape).astype(np.float32)
    after = before + rng.normal(0, 0.005, shape).astype(np.float32)
    after[..., -2] = rng.normal(0, 0.1, shape[:-1])
    return before, after


def drift_of(before: NDArray[np.float32], after: NDArray[np.float32], *axes: int) -> ChannelDrift:
    """Return what is told of the channels along these output axes."""
    known = {"output_axes": axes} if axes else {}
    difference = compare_arrays(tensor_info(after, **known), before, after).tensors[0].difference
    assert difference is not None
    assert difference.channels is not None
    return difference.channels


@pytest.mark.parametrize(("shape", "axes"), [((64, 24), (1,)), ((3, 5, 8, 12), (3,)), ((40, 3, 8), (1, 2))])
def test_channels_are_those_of_numpy(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """Relative change, cosine and ratio of the channel that moved furthest agree with naive float64."""
    before, after = kernels(*shape)
    drift = drift_of(before, after, *axes)
    first = drift.furthest[0]
    places = [slice(None)] * len(shape)
    for axis, index in zip(axes, first.index, strict=True):
        places[axis] = index  # type: ignore[call-overload]
    one, other = (values[tuple(places)].astype(np.float64).ravel() for values in (before, after))
    norms = np.linalg.norm(one), np.linalg.norm(other)
    assert first.relative == pytest.approx(np.linalg.norm(other - one) / norms[0], rel=1e-9)
    assert first.cosine == pytest.approx(one @ other / norms[0] / norms[1], abs=1e-9)
    assert first.gain_ratio == pytest.approx(norms[1] / norms[0], rel=1e-9)
    assert first.index[-1] == shape[-1] - 2
    assert drift.channels == np.prod([shape[axis] for axis in axes])
    assert len(drift.furthest) == 8


def test_a_channel_that_is_not_finite_spoils_no_other() -> None:
    """NaN and infinities are left out on both sides, so the others are as without them."""
    before, after = kernels(64, 24)
    broken = after.copy()
    broken[3, 5], broken[4, 6] = np.nan, np.inf
    assert drift_of(before, broken).furthest[0] == drift_of(before, after).furthest[0]


def test_faint_channels_are_not_judged() -> None:
    """The direction of a channel without a norm to speak of means nothing, whatever became of it."""
    before, after = kernels(64, 24)
    before[:, 4] *= 1e-3
    assert (4,) not in {one.index for one in drift_of(before, after).furthest}


def test_what_has_no_channels() -> None:
    """Biases, embeddings, short channels and tensors of another decoded shape are left out."""
    kernel = tensor_info(np.zeros((64, 24), np.float32))
    assert tally_of(kernel, (64, 24)) is not None
    assert tally_of(kernel, (32, 48)) is None
    for values, role in (
        (np.zeros((15, 24)), "kernel"),
        (np.zeros((64, 24)), "embedding"),
        (np.zeros(64), "bias"),
    ):
        assert tally_of(tensor_info(values.astype(np.float32), role=role), values.shape) is None


def test_stretches_and_threads_make_no_difference(tmp_path: Path) -> None:
    """A kernel of several stretches gives the channels of the array, whatever the number of threads."""
    before, after = kernels(9_000, 1000)
    paths = [tmp_path / "before.weights.h5", tmp_path / "after.weights.h5"]
    for path, values in zip(paths, (before, after), strict=True):
        with h5py.File(path, "w") as file:
            file["layers/dense/vars/0"] = values
    found = [compare(*paths, workers=workers).tensors[0].difference for workers in (1, 2)]
    assert found[0] == found[1]
    assert found[0] is not None
    assert found[0].channels is not None
    first, expected = found[0].channels.furthest[0], drift_of(before, after).furthest[0]
    assert first.index == expected.index == (998,)
    assert first.relative == pytest.approx(expected.relative, rel=1e-12)
