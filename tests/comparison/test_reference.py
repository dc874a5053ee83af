"""The checkpoint that models are judged against: how it is named, opened, compared and reported."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from typing import TYPE_CHECKING

import h5py
import jsonschema
import numpy as np
import pytest

import weightaudit
from tests.comparison.conftest import normal
from weightaudit.comparison import Status, compare
from weightaudit.comparison.arrays import compare_arrays
from weightaudit.comparison.reference import open_reference
from weightaudit.errors import ReadError, StoreError, UsageError
from weightaudit.policy import Policy
from weightaudit.render.json import render_json, schema
from weightaudit.testing import tensor_info
from weightaudit.versions.committing import commit
from weightaudit.versions.store import create_store

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

POLICY = Policy(plugins=("weightaudit_rules",))


def write(path: Path, *layers: NDArray[np.float32]) -> Path:
    """Write a weight file of Keras 3 with one kernel per layer."""
    with h5py.File(path, "w") as file:
        for number, kernel in enumerate(layers):
            file.create_dataset(f"layers/dense_{number}/vars/0", data=kernel)
    return path


def codes(report: weightaudit.Report) -> list[tuple[str, str | None]]:
    """Return what was found against a reference."""
    return [(one.code, one.tensor) for one in report.findings if one.code.startswith("WA6")]


def test_norms_and_gain_ratio_are_those_of_numpy(tmp_path: Path) -> None:
    """A comparison gives both Euclidean norms and their ratio as float64 numpy does."""
    before, after = normal(40, 30), normal(40, 30, seed=1) * 3
    comparison = compare(write(tmp_path / "a.h5", before), write(tmp_path / "b.h5", after))
    found = comparison.tensors[0].difference
    assert found is not None
    norms = [np.linalg.norm(one.astype(np.float64)) for one in (before, after)]
    assert (found.norm_before, found.norm_after) == pytest.approx(norms, rel=1e-12)
    assert found.gain_ratio == pytest.approx(norms[1] / norms[0], rel=1e-12)


def test_a_ratio_to_nothing_is_infinite() -> None:
    """The gain ratio of a tensor that was zero is infinite, and there is none between two zeros."""
    zeros, ones = np.zeros(4, np.float32), np.ones(4, np.float32)
    info = tensor_info(ones)
    grown = compare_arrays(info, zeros, ones).tensors[0].difference
    assert grown is not None
    assert grown.gain_ratio == np.inf
    signs = compare_arrays(info, zeros, -zeros).tensors[0].difference
    assert signs is not None
    assert np.isnan(signs.gain_ratio)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "complex64"])
def test_arrays_are_compared_as_files_are(tmp_path: Path, dtype: str) -> None:
    """Two arrays, as examples of rules give them, differ exactly as the same tensors in files do."""
    before, after = (np.round(normal(20, 10, seed=seed) * 9).astype(dtype) for seed in (1, 2))
    from_files = compare(write(tmp_path / "a.h5", before), write(tmp_path / "b.h5", after)).tensors[0]
    from_arrays = compare_arrays(tensor_info(after), before, after).tensors[0]
    assert from_arrays.status is from_files.status is Status.CHANGED
    assert from_arrays.difference == from_files.difference


def test_moved_says_what_can_be_said(tmp_path: Path) -> None:
    """A tensor has moved, has not, or has no counterpart: only the last is unknown."""
    one = write(tmp_path / "a.h5", normal(4, 3), normal(5, 3), normal(6, 3))
    other = write(tmp_path / "b.h5", normal(4, 3), normal(5, 3, seed=1), normal(7, 3))
    moved = {found.name: found.moved for found in compare(one, other).tensors}
    assert moved == {"dense_0/kernel": False, "dense_1/kernel": True, "dense_2/kernel": None}


def test_an_audit_against_a_reference(tmp_path: Path) -> None:
    """Of two layers one was initialized again: exactly that one is told, and nothing without reference."""
    layers = [normal(32, 16, seed=seed) * 0.1 for seed in range(3)]
    good = write(tmp_path / "good.weights.h5", *layers)
    steps = [layer + normal(32, 16, seed=9) * 0.01 for layer in layers]
    trained = write(tmp_path / "new.weights.h5", *steps)
    assert codes(weightaudit.audit(trained, policy=POLICY, reference=good)) == []
    steps[1] = normal(32, 16, seed=7) * 0.1
    broken = write(tmp_path / "new.weights.h5", *steps)
    assert codes(weightaudit.audit(broken, policy=POLICY, reference=good)) == [("WA601", "dense_1/kernel")]
    assert codes(weightaudit.audit(broken, policy=POLICY)) == []


@pytest.mark.parametrize(
    ("model", "reference"),
    [
        ("healthy.keras", "legacy.h5"),
        ("healthy.keras", "plain.weights.h5"),
        ("sharded.weights.json", "healthy.keras"),
        ("checkpoint/ckpt-1", "exported"),
        ("exported", "checkpoint"),
    ],
)
def test_containers_need_not_be_the_same(fixtures_dir: Path, model: str, reference: str) -> None:
    """Archive, HDF5, weights, shards, SavedModel and checkpoint of one model have not drifted apart."""
    report = weightaudit.audit(fixtures_dir / model, policy=POLICY, reference=fixtures_dir / reference)
    assert codes(report) == []
    assert any(", 0 differ; 0 are gone, 0 are new" in note for note in report.models[0].notes)


def test_a_version_is_a_reference(
    tmp_path: Path, fixtures_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version is named by its address; the report has it, and the digest that its record holds."""
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "m.keras"
    shutil.copy(fixtures_dir / "healthy.keras", model)
    with weightaudit.open_checkpoint(model) as checkpoint:
        done = commit(create_store(tmp_path / ".weightaudit"), checkpoint, message="first", author="a@b")
    with open_reference("m.keras@1") as reference:
        assert reference.source.path == "m.keras@1"
        assert reference.source.digest == done.version.record.files[0].sha256
    report = weightaudit.audit(model, policy=POLICY, reference="m.keras@1")
    document = json.loads(render_json(report, verbose=True))
    jsonschema.Draft202012Validator(schema()).validate(document)
    assert document["reference"]["path"] == "m.keras@1"
    with pytest.raises(StoreError, match="no version"), open_reference("m.keras@7"):
        pass


def test_the_report_says_what_was_compared(tmp_path: Path) -> None:
    """JSON has the reference, what has no counterpart, and, if verbose, how far each tensor moved."""
    good = write(tmp_path / "good.weights.h5", normal(8, 4), normal(5, 4))
    new = write(tmp_path / "new.weights.h5", normal(8, 4) * 2)
    report = weightaudit.audit(new, policy=POLICY, reference=good)
    for verbose in (False, True):
        document = json.loads(render_json(report, verbose=verbose))
        jsonschema.Draft202012Validator(schema()).validate(document)
        assert document["reference"]["digest"] is None
        assert document["reference"]["path"].endswith("good.weights.h5")
        (model,) = document["models"]
        assert model["reference"]["removed"] == ["dense_1/kernel"]
        assert model["reference"]["summary"]["changed"] == 1
        assert ("reference" in model["tensors"][0]) is verbose
    difference = document["models"][0]["tensors"][0]["reference"]["difference"]
    assert difference["relative"] == pytest.approx(1.0)
    assert difference["gain_ratio"] == pytest.approx(2.0)
    without = json.loads(render_json(weightaudit.audit(new, policy=POLICY)))
    assert without["reference"] is without["models"][0]["reference"] is None


def test_a_reference_that_is_no_model_is_refused(tmp_path: Path, fixtures_dir: Path) -> None:
    """One sentence names the reference: damaged, missing, or more than one model."""
    broken = tmp_path / "broken.keras"
    broken.write_bytes((fixtures_dir / "healthy.keras").read_bytes()[:3000])
    model = fixtures_dir / "healthy.keras"
    with pytest.raises(ReadError, match=r"The reference .*broken\.keras cannot be read: .*\.$"):
        weightaudit.audit(model, policy=POLICY, reference=broken)
    with pytest.raises(UsageError, match="nowhere"):
        weightaudit.audit(model, policy=POLICY, reference=tmp_path / "nowhere.keras")
    with pytest.raises(UsageError, match="name one of them"):
        weightaudit.audit(model, policy=POLICY, reference=fixtures_dir)


def test_what_cannot_be_read_of_a_reference_is_skipped(tmp_path: Path) -> None:
    """A tensor whose data are damaged in the reference makes the audit incomplete, and is named."""
    kernels = [normal(64, 64, seed=seed) for seed in range(2)]
    model = write(tmp_path / "m.weights.h5", *kernels)
    broken = tmp_path / "broken.weights.h5"
    with h5py.File(broken, "w") as file:
        for number, kernel in enumerate(kernels):
            file.create_dataset(
                f"layers/dense_{number}/vars/0", data=kernel, chunks=(16, 64), compression="gzip"
            )
        place = file["layers/dense_1/vars/0"].id.get_chunk_info(1).byte_offset
    data = bytearray(broken.read_bytes())
    data[place : place + 40] = bytes(40)
    broken.write_bytes(data)
    report = weightaudit.audit(model, policy=POLICY, reference=broken)
    (skipped,) = report.models[0].skipped
    assert skipped.tensor == "dense_1/kernel"
    assert "broken.weights.h5" in skipped.reason
    assert report.exit_code == 3


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Comparing with a reference of four times the size takes no more memory."""
    peaks: list[int] = []
    for rows in (2000, 8000):
        before = normal(rows, 512)
        pair = [write(tmp_path / "a.h5", before), write(tmp_path / "b.h5", before + np.float32(0.01))]
        del before
        tracemalloc.start()
        assert weightaudit.audit(pair[1], policy=POLICY, reference=pair[0], workers=2).ok
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2_000_000
