"""What projecting a stored tensor changes, and the account that is kept of it."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from weightaudit import open_checkpoint
from weightaudit.digests import tensor_digests
from weightaudit.errors import RepairError
from weightaudit.projections import Clip, MaxNorm, NonNeg, Phase, Projection, SoftThreshold
from weightaudit.repair import projecting
from weightaudit.repair.planning import measure_changes
from weightaudit.repair.projecting import batches, project
from weightaudit.repair.projectors import NumpyProjector
from weightaudit.repair.selection import Assignment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.change import Change

KEY = "layers/dense/vars/0"


def stored(folder: Path, values: NDArray[Any], **options: Any) -> Path:
    """Write a weights file with one tensor."""
    path = folder / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(KEY, data=values, **options)
    return path


def changed(path: Path, *projections: Projection) -> tuple[Change, bytes]:
    """Return the account of projecting the one tensor of a file, and its new bytes."""
    with open_checkpoint(path) as checkpoint:
        assignment = Assignment(checkpoint.tensors[0], projections)
        (change,) = measure_changes(checkpoint, (assignment,), NumpyProjector()).values()
        pieces = list(project(checkpoint, (assignment,), NumpyProjector()))
    return change, b"".join(piece.raw.tobytes() for piece in pieces)


def test_the_account_says_what_changes(tmp_path: Path) -> None:
    """Elements, norms and the largest difference are those of the arrays before and after."""
    values = np.array([[3, -4], [0, 12]], np.float32)
    change, raw = changed(stored(tmp_path, values), NonNeg())
    after = np.array([[3, 0], [0, 12]], np.float32)
    assert raw == after.tobytes()
    assert (change.elements, change.size, change.largest) == (1, 4, 4.0)
    assert change.relative == pytest.approx(4 / 13)
    assert change.extent == "30.8 % of its norm"
    assert (change.before.l2, change.before.minimum, change.before.zeros) == (13.0, -4.0, 1)
    assert (change.after.minimum, change.after.maximum, change.after.zeros) == (0.0, 12.0, 2)
    assert change.projections == ("non_neg()",)
    assert change.digest == hashlib.sha256(raw).hexdigest()


def test_a_compliant_tensor_keeps_every_bit(tmp_path: Path) -> None:
    """Nothing changes, and the digest is that of the stored bytes, NaN payloads included."""
    values = np.array([1.5, np.nan, 0.25], np.float32)
    values.view(np.uint32)[1] = 0x7FC12345
    path = stored(tmp_path, values)
    change, raw = changed(path, Clip(-2, 2))
    assert (change.elements, change.relative, change.largest) == (0, 0.0, 0.0)
    assert raw == values.tobytes()
    with open_checkpoint(path) as checkpoint:
        assert change.digest == next(iter(tensor_digests(checkpoint).values()))


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8", "<f2", ">f2"])
def test_every_stored_type_and_byte_order(tmp_path: Path, kind: str) -> None:
    """New bytes are in the stored order, and the digest does not depend on it."""
    values = np.array([[0.5, -7.25], [900.0, 0.125]]).astype(kind)
    change, raw = changed(stored(tmp_path, values), Clip(-1, 1))
    assert np.array_equal(np.frombuffer(raw, kind).reshape(2, 2), np.clip(values, -1, 1))
    little = np.clip(values, -1, 1).astype(kind.replace(">", "<"))
    assert change.digest == hashlib.sha256(little.tobytes()).hexdigest()


def test_stretches_give_what_the_whole_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that may be cut is projected in pieces, to the same bits and the same account."""
    values = np.random.default_rng(1).standard_normal((97, 33)).astype(np.float32)
    path = stored(tmp_path, values, chunks=(10, 7), compression="gzip")
    whole = changed(path, Clip(-0.5, 0.5), MaxNorm(1.5, axis=1))
    monkeypatch.setattr(projecting, "BLOCK_BYTES", 10 * 33 * 4)
    change, raw = changed(path, Clip(-0.5, 0.5), MaxNorm(1.5, axis=1))
    assert raw == whole[1]
    assert change.digest == whole[0].digest
    assert change.relative == pytest.approx(whole[0].relative)
    assert change.elements == whole[0].elements


def test_norms_over_the_first_axis_are_never_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column norm needs all rows, so however small the block, the tensor is taken whole."""
    values = np.ones((64, 4), np.float32)
    monkeypatch.setattr(projecting, "BLOCK_BYTES", 16)
    _, raw = changed(stored(tmp_path, values), MaxNorm(2, axis=0))
    norms = np.linalg.norm(np.frombuffer(raw, np.float32).reshape(64, 4), axis=0)
    assert norms == pytest.approx(2.0, rel=1e-5)
    assert (norms <= 2).all()


def test_projections_that_undo_each_other_are_repeated_until_all_comply(tmp_path: Path) -> None:
    """Signs, bounds and norms hold together, whatever each of them does to the others' work."""
    values = np.random.default_rng(2).standard_normal((40, 8)).astype(np.float32) * 3
    projections = (NonNeg(), Clip(-1, 1), MaxNorm(1.0, axis=0))
    _, raw = changed(stored(tmp_path, values), *projections)
    after = np.frombuffer(raw, np.float32).reshape(40, 8)
    assert all(projection.complies(after) for projection in projections)


def test_projections_that_contradict_each_other_are_an_error(tmp_path: Path) -> None:
    """Nothing is both at least 1 and at most 0; the message names the tensor and the projections."""
    path = stored(tmp_path, np.full((4, 4), 0.5, np.float32))
    with pytest.raises(RepairError, match=r"kernel.* does not come to rest in 4 rounds of clip\(minimum=1"):
        changed(path, Clip(1, 2), Clip(-1, 0))


def test_a_step_runs_once(tmp_path: Path) -> None:
    """Soft thresholding repeated until it rests would leave nothing but zeros."""
    values = np.array([[5.0, -3.0]], np.float32)
    _, raw = changed(stored(tmp_path, values), SoftThreshold(1.0), Clip(-10, 10))
    assert np.frombuffer(raw, np.float32).tolist() == [4.0, -2.0]


def test_an_axis_that_a_tensor_lacks_is_an_error(tmp_path: Path) -> None:
    """The message names the tensor, its shape and what is missing."""
    path = stored(tmp_path, np.ones(3, np.float32))
    with pytest.raises(RepairError, match=r"of shape \(3,\) cannot be projected"):
        changed(path, MaxNorm(1, axis=(0, 1)))


def test_an_axis_that_a_tensor_with_rows_lacks_is_an_error(tmp_path: Path) -> None:
    """Also where that turns up when the tensor is about to be cut into rows; as does one named twice."""
    path = stored(tmp_path, np.ones((3, 2), np.float32))
    with pytest.raises(RepairError, match=r"with max_norm.*: the shape \(3, 2\) has no axis 9\."):
        changed(path, MaxNorm(1, axis=9))
    with pytest.raises(RepairError, match="named twice"):
        changed(path, MaxNorm(1, axis=(0, -2)))


@dataclass(frozen=True)
class Careless(Projection):
    """A plugin's projection that crashes, or gives something else than it got."""

    result: str = ""

    name = "careless"
    phase = Phase.CLIP

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return {"type": values.astype(np.float64), "shape": values[:1]}[self.result]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("", r"careless\(result=''\) crashed \(KeyError"),
        ("type", r"makes float64 of shape \(3, 2\) of float32"),
        ("shape", r"makes float32 of shape \(1, 2\)"),
    ],
)
def test_a_careless_plugin_is_named(tmp_path: Path, result: str, message: str) -> None:
    """What a projection does wrong is an error that names it and the tensor."""
    with pytest.raises(RepairError, match=f"kernel.*{message}"):
        changed(stored(tmp_path, np.ones((3, 2), np.float32)), Careless(result))


def test_nan_is_left_where_it_is_and_kept_out_of_the_sums(tmp_path: Path) -> None:
    """A projection of the finite values does not launder the others, and the account stays a number."""
    values = np.array([[np.nan, 8.0, 0.5], [np.inf, 1.0, 1.0]], np.float32)
    change, raw = changed(stored(tmp_path, values), Clip(-2, 2))
    after = np.frombuffer(raw, np.float32).reshape(2, 3)
    assert np.isnan(after[0, 0])
    assert after[1, 0] == inf
    assert after[0, 1] == 2.0
    assert (change.elements, change.largest, change.after.nonfinite) == (1, 6.0, 2)
    assert change.relative == pytest.approx(6 / np.sqrt(64 + 0.25 + 2))


def test_growing_from_zero_is_a_change_beyond_every_bound(tmp_path: Path) -> None:
    """The norm before is zero, so no share of it is enough."""
    change, _ = changed(stored(tmp_path, np.zeros((2, 2), np.float32)), Clip(1, 2))
    assert change.relative == inf
    assert change.extent == "more than any share of its norm, which is 0"


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), ()])
def test_empty_tensors_and_scalars(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Shapes without elements or axes change nothing that is not there."""
    change, raw = changed(stored(tmp_path, np.full(shape, 3, np.float32)), Clip(-1, 1))
    assert len(raw) == 4 * int(np.prod(shape))
    assert change.elements == change.size == int(np.prod(shape))


@dataclass(frozen=True)
class Counting(Projection):
    """Halves everything, and says how many tensors it was given at once."""

    name = "counting"
    phase = Phase.CLIP
    is_step = True

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return values / 2


class Together(NumpyProjector):
    """A projector that wants 256 bytes at once, and remembers what it got."""

    batch_bytes = 256

    def __init__(self) -> None:
        self.calls: list[int] = []

    def project(self, projection: Projection, blocks: Any, dtype: str) -> list[NDArray[Any]]:
        self.calls.append(len(blocks))
        return super().project(projection, blocks, dtype)


def test_tensors_of_one_shape_are_projected_together(tmp_path: Path) -> None:
    """A projector gets as many equal tensors as it wants in one call, and each keeps its own account."""
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        for number in range(5):
            data = np.full((4, 8), number + 1, np.float32)
            file.create_dataset(f"layers/dense_{number}/vars/0", data=data)
        file.create_dataset("layers/other/vars/0", data=np.ones((2, 2), np.float32))
    projector = Together()
    with open_checkpoint(path) as checkpoint:
        assignments = tuple(Assignment(info, (Counting(),)) for info in checkpoint)
        changes = measure_changes(checkpoint, assignments, projector)
        assert sorted(len(batch) for batch in batches(assignments, projector)) == [1, 1, 2, 2]
    assert sorted(projector.calls) == [1, 1, 2, 2]
    assert {change.relative for change in changes.values()} == {0.5}
    assert len({change.digest for change in changes.values()}) == 6


def test_a_source_that_vanishes_while_it_is_projected_is_no_problem(tmp_path: Path) -> None:
    """The file is open: whoever renames or removes its name meanwhile changes nothing."""
    path = stored(tmp_path, np.full((2, 2), 9, np.float32))
    with open_checkpoint(path) as checkpoint:
        shutil.move(path, tmp_path / "elsewhere")
        assignment = Assignment(checkpoint.tensors[0], (Clip(-1, 1),))
        (change,) = measure_changes(checkpoint, (assignment,), NumpyProjector()).values()
    assert change.after.maximum == 1.0
