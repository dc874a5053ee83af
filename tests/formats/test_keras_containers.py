"""Keras archives, unpacked archives, shards and legacy files: whole, damaged, and under wrong names."""

from __future__ import annotations

import json
import shutil
import zipfile
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from weightaudit.catalog import Catalog, Flaw, Layout
from weightaudit.errors import ReadError, UnsupportedFormatError
from weightaudit.formats import Kind, open_catalog, sniff

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {"class_name": "Sequential", "config": {"name": "m", "layers": []}}


def _catalog(path: Path) -> Catalog:
    files, catalog, *_ = open_catalog(path)
    files.close()
    return catalog


def _weights(path: Path, *keys: str) -> bytes:
    with h5py.File(path, "w") as file:
        for key in keys:
            file[key] = np.ones((3, 2), np.float32)
    return path.read_bytes()


def _archive(tmp_path: Path, method: int, **members: bytes) -> Path:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_archives(tmp_path: Path, method: int) -> None:
    """The weights are found in place when stored, and through a spool when deflated."""
    weights = _weights(tmp_path / "w.h5", "layers/dense/vars/0", "layers/dense/vars/1")
    members = {"config.json": json.dumps(CONFIG).encode(), "model.weights.h5": weights}
    catalog = _catalog(_archive(tmp_path, method, **members))
    assert [entry.key for entry in catalog.entries] == ["layers/dense/vars/0", "layers/dense/vars/1"]
    assert catalog.documents["config"] == CONFIG
    assert len(catalog.regions) == (1 if method == zipfile.ZIP_STORED else 0)


def test_names_from_windows(tmp_path: Path) -> None:
    """Group names with backslashes, as Keras on Windows wrote them, are Keras 3 weights too."""
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file.create_group("layers\\dense").create_group("vars")["0"] = np.ones(3, np.float32)
    assert _catalog(tmp_path / "m.weights.h5").layout is Layout.KERAS3


def test_unpacked_archive(tmp_path: Path) -> None:
    """A directory with config.json and model.weights.h5 is the archive, unpacked."""
    _weights(tmp_path / "model.weights.h5", "layers/dense/vars/0")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert sniff(tmp_path) is Kind.KERAS_DIRECTORY
    assert len(_catalog(tmp_path).entries) == 1


def test_linked_weights_of_an_unpacked_archive(tmp_path: Path) -> None:
    """A link to weights outside the directory is not followed."""
    _weights(tmp_path / "elsewhere.h5", "layers/dense/vars/0")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.weights.h5").symlink_to(tmp_path / "elsewhere.h5")
    with pytest.raises(ReadError, match="leads outside"):
        _catalog(model)


def test_a_directory_that_is_two_models(tmp_path: Path) -> None:
    """An unpacked archive that is a SavedModel too is refused: Keras and TensorFlow load different ones."""
    _weights(tmp_path / "model.weights.h5", "layers/dense/vars/0")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(ReadError, match="a SavedModel and an unpacked Keras archive at once"):
        sniff(tmp_path)


def test_an_unpacked_archive_with_numpy_weights(tmp_path: Path) -> None:
    """Keras opens a directory with weights in NumPy form, so it is refused and not taken for nothing."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.weights.npz").write_bytes(b"PK\5\6" + bytes(18))
    assert sniff(tmp_path) is Kind.KERAS_DIRECTORY
    with pytest.raises(UnsupportedFormatError, match="keeps its weights in NumPy form"):
        _catalog(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"a": 1, "a": 2}', "a key is there twice"),
        (b"{", "not valid JSON"),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_strange_configuration(tmp_path: Path, text: bytes, reason: str) -> None:
    """A configuration that is broken, ambiguous or absurd is an error that names the document."""
    weights = _weights(tmp_path / "w.h5", "layers/dense/vars/0")
    path = _archive(tmp_path, zipfile.ZIP_STORED, **{"config.json": text, "model.weights.h5": weights})
    with pytest.raises(ReadError, match=rf"config\.json.*{reason}"):
        _catalog(path)


def test_archives_of_something_else(tmp_path: Path) -> None:
    """A zip of other things, and an archive without weights, are refused with what is missing."""
    with pytest.raises(UnsupportedFormatError, match="not of a Keras model"):
        _catalog(_archive(tmp_path, zipfile.ZIP_STORED, readme=b"x"))
    with pytest.raises(UnsupportedFormatError, match=r"no model\.weights\.h5"):
        _catalog(_archive(tmp_path, zipfile.ZIP_STORED, **{"config.json": b"{}"}))


def test_keras_suffix_on_hdf5(tmp_path: Path) -> None:
    """Content decides: HDF5 under the name .keras is read as HDF5."""
    _weights(tmp_path / "m.keras", "layers/dense/vars/0")
    assert sniff(tmp_path / "m.keras") is Kind.HDF5
    assert len(_catalog(tmp_path / "m.keras").entries) == 1


def _legacy(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense", b"flatten"]
        dense = file.create_group("dense")
        dense.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        dense["dense/kernel:0"] = np.ones((3, 2), np.float32)
        dense["dense/bias:0"] = np.ones(2, np.float32)
        file.create_group("flatten").attrs["weight_names"] = np.zeros(0, "S1")


def test_legacy_file(tmp_path: Path) -> None:
    """Weights of a legacy file come with the layer and the name that list them."""
    _legacy(tmp_path / "m.h5")
    catalog = _catalog(tmp_path / "m.h5")
    assert catalog.layout is Layout.KERAS_LEGACY
    assert catalog.entries[0].attributes == {"section": "layer", "layer": "dense", "weight": "dense/kernel:0"}
    assert not catalog.defects


@pytest.mark.parametrize("lost", ["dense/dense/bias:0", "flatten"])
def test_legacy_file_that_lost_something(tmp_path: Path, lost: str) -> None:
    """A weight or a layer that is listed and not there is a defect that names it."""
    _legacy(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        del file[lost]
    (defect,) = _catalog(tmp_path / "m.h5").defects
    assert (defect.flaw, defect.tensor) == (Flaw.MISSING_TENSOR, lost)


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """An index and two shards; one layer's weights are in both."""
    _weights(tmp_path / "m_00000.weights.h5", "layers/a/vars/0", "layers/b/vars/0")
    _weights(tmp_path / "m_00001.weights.h5", "layers/b/vars/1", "layers/c/vars/0")
    placed = {
        "/layers/a/vars": "m_00000.weights.h5",
        "/layers/b/vars": ["m_00000.weights.h5", "m_00001.weights.h5"],
        "/layers/c/vars": ["m_00001.weights.h5"],
    }
    (tmp_path / "m.weights.json").write_text(
        json.dumps({"metadata": {"total_size": 96.0}, "weight_map": placed})
    )
    return tmp_path / "m.weights.json"


def test_shards_are_one_model(sharded: Path) -> None:
    """The shards of an index give one catalog, without defects."""
    catalog = _catalog(sharded)
    assert sniff(sharded) is Kind.SHARD_INDEX
    assert len(catalog.entries) == 4
    assert not catalog.defects


def test_missing_shard(sharded: Path) -> None:
    """A shard that is not there is a defect that names it; the other one is read."""
    (sharded.parent / "m_00001.weights.h5").unlink()
    catalog = _catalog(sharded)
    assert [(defect.flaw, "m_00001" in defect.message) for defect in catalog.defects] == [
        (Flaw.MISSING_DATA, True)
    ]
    assert len(catalog.entries) == 2


def test_swapped_shards(sharded: Path) -> None:
    """Shards under each other's names are noticed: weights are not where the index places them."""
    first, second = sharded.parent / "m_00000.weights.h5", sharded.parent / "m_00001.weights.h5"
    shutil.move(first, sharded.parent / "x")
    shutil.move(second, first)
    shutil.move(sharded.parent / "x", second)
    assert {defect.flaw for defect in _catalog(sharded).defects} == {Flaw.INCONSISTENT}


def test_a_shard_that_the_index_does_not_name(sharded: Path) -> None:
    """The first shard is read though nothing is placed in it: Keras looks in it for what is unplaced."""
    placed = {"/layers/c/vars": "m_00001.weights.h5"}
    sharded.write_text(json.dumps({"weight_map": placed}))
    assert {entry.key for entry in _catalog(sharded).entries} >= {"layers/a/vars/0", "layers/c/vars/0"}
    placed |= {"/layers/a/vars": "m_00001.weights.h5"}
    sharded.write_text(json.dumps({"weight_map": placed}))
    assert "layers/a/vars/0" not in {entry.key for entry in _catalog(sharded).entries}


@pytest.mark.parametrize("group", ["layers/a/vars", "/layers/a/vars/", "//layers/a/vars"])
def test_a_group_that_keras_would_not_find(sharded: Path, group: str) -> None:
    """Groups that differ by slashes alone are refused: Keras knows one of them, and it may not be ours."""
    index = json.loads(sharded.read_text())
    index["weight_map"][group] = "m_00001.weights.h5"
    sharded.write_text(json.dumps(index))
    with pytest.raises(ReadError, match="not the path of a group as Keras writes it"):
        _catalog(sharded)


@pytest.mark.parametrize("shard", ["../m.h5", "/etc/passwd", "a/b", "", ".."])
def test_index_that_leads_elsewhere(tmp_path: Path, shard: str) -> None:
    """An index may only name files beside it."""
    (tmp_path / "m.weights.json").write_text(json.dumps({"weight_map": {"/layers/a/vars": shard}}))
    with pytest.raises(ReadError, match="not a file beside it"):
        _catalog(tmp_path / "m.weights.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(50), "TensorFlow Lite"),
        (b"\x80\x04\x95", "pickle"),
        (b"hello", "not a saved TensorFlow or Keras model"),
        (b"\x89HDF\r\n\x1a\n", "lies beyond its end"),
        (b"PK\x03\x04", "zip directory is missing"),
    ],
)
@pytest.mark.parametrize("suffix", [".keras", ".h5", ".index", ""])
def test_what_is_no_model(tmp_path: Path, content: bytes, reason: str, suffix: str) -> None:
    """Whatever its suffix, a file that is no model is refused in one sentence that says what it is."""
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=reason if suffix != ".index" else r"m"):
        _catalog(path)


def test_missing_path(tmp_path: Path) -> None:
    """A path that is not there is an error, not a traceback."""
    with pytest.raises(ReadError, match="does not exist"):
        _catalog(tmp_path / "nothing")


def test_stored_weights_are_read_in_place(tmp_path: Path) -> None:
    """The bytes of a stored member are not copied: its tensors point into the archive itself."""
    weights = _weights(tmp_path / "w.h5", "layers/dense/vars/0")
    path = _archive(tmp_path, zipfile.ZIP_STORED, **{"config.json": b"{}", "model.weights.h5": weights})
    entry = _catalog(path).entries[0]
    offset = getattr(entry.storage, "offset", 0)
    assert np.frombuffer(path.read_bytes()[offset : offset + 24], np.float32).tolist() == [1] * 6
