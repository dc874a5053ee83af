"""Damage in a version is found, and called by the name of the file and of the tensor."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.versions.conftest import KINDS, Bench, flip
from weightaudit import open_checkpoint
from weightaudit.catalog import Extent
from weightaudit.errors import StoreError
from weightaudit.versions.layout import RECORD
from weightaudit.versions.verifying import verify, verify_number

if TYPE_CHECKING:
    from pathlib import Path

    from weightaudit.versions.version import Version


def place(version: Version, tensor: str) -> tuple[str, int]:
    """Return the file of a tensor in a version, and where its bytes begin."""
    with open_checkpoint(version.path) as model:
        storage = model.entry(model[tensor]).storage
        assert isinstance(storage, Extent)
        return model.files[storage.file].label.rpartition(":")[0] or model.files[
            storage.file
        ].label, storage.offset


def damage(version: Version) -> list[str]:
    """Return what is damaged, as people read it."""
    return [str(one) for one in verify(version)]


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_names_file_and_tensor(bench: Bench, sources: dict[str, Path], kind: str) -> None:
    """One bit of one weight, in any kind of model, is traced to its file and its tensor, and to no other."""
    version = bench.put(sources[kind]).version
    tensor = next(one.name for one in version.record.tensors if one.name.endswith("kernel"))
    file, offset = place(version, tensor)
    flip(version.directory / file, offset)
    assert damage(version) == [f"file {file} differs", f"tensor {tensor} differs"]


def test_every_byte_of_a_file_counts(bench: Bench, sources: dict[str, Path]) -> None:
    """A flipped bit anywhere in a file is found, also where no tensor lies."""
    version = bench.put(sources["h5"]).version
    path = version.path
    size = path.stat().st_size
    for offset in range(0, size, size // 50):
        flip(path, offset)
        assert "file legacy.h5 differs" in damage(version)
        flip(path, offset)
    assert damage(version) == []


def test_missing_and_extra_files(bench: Bench, sources: dict[str, Path]) -> None:
    """A file that is gone, one that came, and one that is a link now are each named."""
    version = bench.put(sources["saved_model"]).version
    (version.directory / "assets" / "extra.txt").touch()
    (version.directory / "fingerprint.pb").unlink()
    assert damage(version) == ["file assets/extra.txt is not in the record", "file fingerprint.pb is missing"]
    original = sources["saved_model"] / "fingerprint.pb"
    (version.directory / "fingerprint.pb").symlink_to(original)
    assert damage(version) == [
        "file assets/extra.txt is not in the record",
        "file fingerprint.pb is no regular file",
        "model cannot be opened: exported@1 is damaged: fingerprint.pb is a link",
    ]


def test_a_linked_directory_is_no_part_of_a_version(bench: Bench, sources: dict[str, Path]) -> None:
    """Where a directory was exchanged for a link to an equal one, its files do not count as there."""
    version = bench.put(sources["saved_model"]).version
    shutil.rmtree(version.directory / "variables")
    (version.directory / "variables").symlink_to(sources["saved_model"] / "variables")
    found = damage(version)
    assert "file variables is not in the record" in found
    assert "file variables/variables.index is missing" in found


def test_a_model_that_cannot_be_opened(bench: Bench, sources: dict[str, Path]) -> None:
    """A version whose model cannot be opened any more is damaged as a whole."""
    version = bench.put(sources["keras"]).version
    version.path.chmod(0o644)
    version.path.write_bytes(b"not a model")
    found = damage(version)
    assert found[0] == "file healthy.keras differs"
    assert found[1].startswith("model cannot be opened: ")


def test_one_unreadable_tensor_does_not_hide_the_others(bench: Bench, fixtures_dir: Path) -> None:
    """Where one compressed tensor cannot be unpacked, it is named, and the others are still compared."""
    version = bench.put(fixtures_dir / "gzip.h5").version
    with open_checkpoint(version.path) as model:
        info = next(one for one in model if one.name.endswith("kernel"))
        storage = model.entry(info).storage
        assert not isinstance(storage, Extent)
        tile = storage.tiles[0].extent  # type: ignore[union-attr]  # gzip.h5 holds chunks
    for offset in range(tile.offset, tile.offset + 4):
        flip(version.path, offset)
    found = [one for one in verify(version) if one.what == "tensor"]
    assert [one.name for one in found] == [info.name]


def test_a_record_that_lies_about_a_tensor(bench: Bench, sources: dict[str, Path]) -> None:
    """Files and tensors are read independently: a record whose two parts disagree is not intact."""
    version = bench.put(sources["keras"]).version
    path = version.directory / RECORD
    document = json.loads(path.read_bytes())
    document["tensors"][0]["sha256"] = "0" * 64
    removed = document["tensors"].pop()
    document["tensors"].append({**removed, "name": "ghost"})
    path.chmod(0o644)
    path.write_text(json.dumps(document))
    changed = bench.store.get(version.name)
    first = version.record.tensors[0].name
    assert sorted(damage(changed)) == sorted(
        [
            f"tensor {first} differs",
            "tensor ghost is missing",
            f"tensor {removed['name']} is not in the record",
        ]
    )


def test_a_damaged_record_is_damage(bench: Bench, sources: dict[str, Path]) -> None:
    """A version without a usable record is reported as such, and every other command refuses it."""
    version = bench.put(sources["keras"]).version
    flip(version.directory / RECORD, 0)
    (one,) = verify_number(bench.store, version.name, 1)
    assert (one.what, one.name) == ("record", RECORD)
    with pytest.raises(StoreError, match="not valid JSON"):
        bench.store.get(version.name, 1)
    assert verify_number(bench.store, version.name, 7)[0].how.startswith(
        "cannot be used: There is no version"
    )
