"""Restoring tensors from another saved model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weightaudit import TensorInfo, open_checkpoint
from weightaudit.errors import ReadError, RepairError
from weightaudit.projections import RestoreFrom


def info(name: str, **differences: Any) -> TensorInfo:
    """Describe a tensor that is to be restored: by default like the head kernel of the healthy model."""
    return TensorInfo(**{"name": name, "key": "x", "shape": (6, 3), "dtype": "float32", **differences})


@pytest.fixture
def healthy(fixtures_dir: Path) -> str:
    """Path of a model without any flaw."""
    return str(fixtures_dir / "healthy.keras")


@pytest.mark.parametrize(
    ("tensor", "wanted"),
    [(None, info("head/kernel")), ("head/kernel", info("renamed"))],
)
def test_the_donors_values_bit_for_bit(healthy: str, tensor: str | None, wanted: TensorInfo) -> None:
    """The tensor is found by its name, or is the one that the user names."""
    bound = RestoreFrom(healthy, tensor).bound(wanted)
    after = bound.project(np.full((6, 3), np.nan, np.float32))
    with open_checkpoint(healthy) as donor:
        assert after.tobytes() == donor.read_stored("head/kernel")
    assert bound.project(after) is after
    assert str(bound) == f"restore_from(path={healthy!r}, tensor='head/kernel')"
    assert bound.replaces


def test_projections_bound_to_different_tensors_differ(healthy: str) -> None:
    """Tensors of one shape are not taken for each other by what puts equal work together."""
    slots = ("momentum", "velocity")
    one, other = (RestoreFrom(healthy).bound(info(f"optimizer/head/kernel/{slot}")) for slot in slots)
    assert one != other
    assert hash(one) != hash(other)


def test_other_formats_and_types(fixtures_dir: Path) -> None:
    """A bfloat16 tensor is restored from another container without a rounding."""
    path = fixtures_dir / "bfloat16.keras"
    with open_checkpoint(path) as donor:
        wanted = next(one for one in donor if one.dtype == "bfloat16")
        stored = donor.read(wanted.name)
    after = RestoreFrom(str(path)).bound(wanted).project(np.zeros_like(stored), dtype="bfloat16")
    assert after.tobytes() == stored.tobytes()


@pytest.mark.parametrize(
    ("projection", "wanted", "expected"),
    [
        (
            RestoreFrom("healthy.keras"),
            info("head/kernal"),
            "has no tensor 'head/kernal' (did you mean 'head/kernel'?)",
        ),
        (RestoreFrom("healthy.keras", "nothing"), info("head/kernel"), "has no tensor 'nothing'"),
        (
            RestoreFrom("healthy.keras"),
            info("head/kernel", shape=(3, 6)),
            "float32 of shape (3, 6) and cannot",
        ),
        (
            RestoreFrom("healthy.keras"),
            info("head/kernel", dtype="float16"),
            "which is float32 of shape (6, 3)",
        ),
        (
            RestoreFrom("healthy.keras"),
            info("optimizer/iteration", shape=(), dtype="int64"),
            "holds no plain floating-point numbers",
        ),
    ],
)
def test_a_donor_that_does_not_fit(
    fixtures_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    projection: RestoreFrom,
    wanted: TensorInfo,
    expected: str,
) -> None:
    """Another shape or type, a flawed donor or none: one sentence with the tensor and the donor."""
    monkeypatch.chdir(fixtures_dir)
    with pytest.raises(RepairError) as caught:
        projection.bound(wanted)
    assert expected in str(caught.value)
    assert wanted.name in str(caught.value)


def test_a_donor_with_the_same_flaw(fixtures_dir: Path) -> None:
    """NaN is not exchanged for NaN; that is seen when the values are read."""
    bound = RestoreFrom(str(fixtures_dir / "nan.keras")).bound(info("dense/hidden/kernel", shape=(64, 8)))
    with pytest.raises(RepairError, match="dense/hidden/kernel holds NaN or Inf there too"):
        bound.project(np.zeros((64, 8), np.float32))


def test_a_donor_is_opened_anew_once_it_is_another_file(fixtures_dir: Path, tmp_path: Path) -> None:
    """The donor stays open for the next tensor, but never in place of the file that has its name now."""
    path = tmp_path / "donor.keras"
    shutil.copy(fixtures_dir / "nan.keras", path)
    wanted = info("dense/hidden/kernel", shape=(64, 8))
    RestoreFrom(str(path)).bound(wanted)
    shutil.copy(fixtures_dir / "healthy.keras", tmp_path / "other.keras")
    (tmp_path / "other.keras").replace(path)
    with pytest.raises(RepairError, match="has no tensor 'dense/hidden/kernel'"):
        RestoreFrom(str(path)).bound(wanted)


def test_a_donor_that_is_not_there(tmp_path: Path) -> None:
    """A path that leads nowhere is an error of reading."""
    with pytest.raises(ReadError):
        RestoreFrom(str(tmp_path / "none.keras")).bound(info("head/kernel"))


def test_a_donor_must_be_named_and_bound() -> None:
    """Without a path, or before the tensor is known, there is nothing to restore from."""
    with pytest.raises(ValueError, match="path must name a saved model"):
        RestoreFrom("")
    with pytest.raises(ValueError, match="bound"):
        RestoreFrom("x").project(np.zeros(3))
