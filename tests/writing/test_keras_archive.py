"""Archives keep every byte but those of the weights that change, and stay archives that everyone reads."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from tests.writing.rewriting import (
    assert_only_changed,
    numbers,
    other_bytes,
    random_values,
    record_of,
    rewrite,
    stored_at,
)
from weightaudit.checkpoint import open_checkpoint
from weightaudit.errors import WriteError
from weightaudit.formats.zip_archive import list_members
from weightaudit.source import LocalFile
from weightaudit.writing import zip_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from weightaudit.formats.zip_archive import Member

WEIGHTS = "model.weights.h5"
RECORD = "weightaudit.json"
TENSOR = "m/part/0"


def _keras() -> Any:
    from tests.formats.tensorflow_oracle import tensorflow

    tensorflow()
    import keras

    return keras


def _random(path: Path, seed: int) -> dict[str, NDArray[Any]]:
    """Return new values for every float tensor that a model computes with."""
    generator = np.random.default_rng(seed)
    with open_checkpoint(path) as checkpoint:
        chosen = [info for info in numbers(checkpoint) if info.is_floating and not info.is_bookkeeping]
        return {info.name: abs(random_values(info, generator)) for info in chosen}


def _members(path: Path) -> dict[str, Member]:
    file = LocalFile(path)
    try:
        return dict(list_members(file))
    finally:
        file.close()


def _contents(path: Path) -> dict[str, bytes]:
    """Return all members as Python's zipfile reads them, which checks every CRC-32."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def _archive(
    path: Path, values: NDArray[Any], *, packed: bool = False, method: int = zipfile.ZIP_STORED
) -> Path:
    """Write an archive whose weights lie between other members."""
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        options = {"chunks": (16, 16), "compression": "gzip"} if packed else {}
        file.create_dataset("layers/part/vars/0", data=values, **options)
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.comment = b"a comment"
        archive.writestr("config.json", '{"class_name": "Sequential", "config": {"name": "m", "layers": []}}')
        archive.write(path.with_suffix(".h5"), WEIGHTS)
        archive.writestr("assets/vocabulary.txt", "behind the weights\n" * 50)
    return path


@pytest.mark.parametrize("name", ["healthy.keras", "deflated.keras", "bfloat16.keras", "int8.keras"])
def test_keras_computes_with_the_new_values(tmp_path: Path, fixtures_dir: Path, name: str) -> None:
    """Keras loads the copy, holds the new values, and predicts what the model with these values predicts."""
    path = fixtures_dir / name
    values = _random(path, 0)
    copy = rewrite(path, tmp_path / "copy", values, record=b"{}").path
    assert_only_changed(path, copy, values)
    assert list(_contents(copy)) == [*_contents(path), RECORD]
    load = _keras().models.load_model
    model, expected = load(copy, compile=False), load(path, compile=False)
    old = {variable.path: variable for variable in expected.variables}
    new = {variable.path: variable for variable in model.variables}
    for key, wanted in values.items():
        variable = key.removeprefix("dense/")
        assert np.asarray(new[variable]).tobytes() == wanted.tobytes()
        old[variable].assign(wanted if wanted.dtype != np.uint16 else np.asarray(new[variable]))
    images = np.random.default_rng(1).normal(size=(4, 8, 8, 1)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(images, verbose=0), expected.predict(images, verbose=0))
    before = load(path, compile=False).predict(images, verbose=0)
    assert (model.predict(images, verbose=0) != before).any()


def test_only_the_weights_and_their_checksum_change(tmp_path: Path, fixtures_dir: Path) -> None:
    """In an archive of stored members, nothing else differs but the two places of their CRC-32."""
    path = fixtures_dir / "healthy.keras"
    values = _random(path, 2)
    copy = rewrite(path, tmp_path / "copy", values).path
    before, after = path.read_bytes(), copy.read_bytes()
    weights = _members(path)[WEIGHTS]
    with open_checkpoint(path) as checkpoint:
        allowed = set[int]().union(*(stored_at(checkpoint, name) for name in values))
    checksums = {*range(weights.header + 14, weights.header + 18)}
    record = before.index(weights.record)
    checksums |= {*range(record + 16, record + 20)}
    assert other_bytes(before, after) <= allowed | checksums
    assert other_bytes(before, after) & checksums


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_weights_that_grow_move_what_follows(tmp_path: Path, method: int) -> None:
    """Packed chunks that need more room make the member longer, and the members behind it are still right."""
    path = _archive(tmp_path / "m.keras", np.zeros((64, 64)), packed=True, method=method)
    values = {TENSOR: np.random.default_rng(3).normal(size=(64, 64))}
    copy = rewrite(path, tmp_path / "copy", values, record=b"[1]").path
    assert copy.stat().st_size > path.stat().st_size + 20_000
    assert_only_changed(path, copy, values)
    old, new = _contents(path), _contents(copy)
    with h5py.File(io.BytesIO(new.pop(WEIGHTS))) as file:
        np.testing.assert_array_equal(file["layers/part/vars/0"][()], values[TENSOR])
    del old[WEIGHTS]
    assert new == {**old, RECORD: b"[1]"}
    assert zipfile.ZipFile(copy).comment == b"a comment"


def test_a_record_replaces_an_earlier_one(tmp_path: Path) -> None:
    """A second record takes the place of the first, wherever that is, and without one the first stays."""
    path = _archive(tmp_path / "m.keras", np.zeros((4, 4)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("WeightAudit.json", record_of("the first"))
        archive.writestr("last.txt", "behind it")
    kept = rewrite(path, tmp_path / "kept", {TENSOR: np.ones((4, 4))}).path
    assert _contents(kept)["WeightAudit.json"] == record_of("the first")
    first = rewrite(path, tmp_path / "first", {}, record=record_of("the second")).path
    expected = {name: data for name, data in _contents(path).items() if name != "WeightAudit.json"}
    assert _contents(first) == {**expected, RECORD: record_of("the second")}
    second = rewrite(first, tmp_path / "second", {}, record=record_of("the third, longer one")).path
    assert _contents(second) == {**expected, RECORD: record_of("the third, longer one")}
    assert rewrite(second, tmp_path / "third", {}).path.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", [RECORD, "WeightAudit.json"])
def test_a_member_of_the_users_own_is_no_record(tmp_path: Path, name: str) -> None:
    """What somebody else keeps under the name of a record stays, and no record is written then."""
    path = _archive(tmp_path / "m.keras", np.zeros((4, 4)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, '{"notes": "my own"}')
    copy = rewrite(path, tmp_path / "copy", {TENSOR: np.ones((4, 4))}, record=record_of("new")).path
    assert list(_contents(copy)) == list(_contents(path))
    assert _contents(copy)[name] == b'{"notes": "my own"}'


class _Pipe(io.RawIOBase):
    """A file in which nobody can seek, for which zipfile writes sizes behind the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


@pytest.mark.parametrize("is_wide", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_behind_the_data_are_renewed(tmp_path: Path, method: int, *, is_wide: bool) -> None:
    """A member with a data descriptor, of 32 or 64 bits, gets a new one with the right CRC-32 and sizes."""
    path = _archive(tmp_path / "m.keras", np.zeros((64, 64)), packed=True)
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", method) as archive:
        for name, data in _contents(path).items():
            with archive.open(name, "w", force_zip64=is_wide) as member:
                member.write(data)
    path.write_bytes(pipe.data)
    values = {TENSOR: np.random.default_rng(4).normal(size=(64, 64))}
    copy = rewrite(path, tmp_path / "copy", values, record=b"{}").path
    assert_only_changed(path, copy, values)
    assert _contents(copy)["config.json"] == _contents(path)["config.json"]
    weights, data = _members(copy)[WEIGHTS], copy.read_bytes()
    form = "<4sLQQ" if is_wide else "<4sLLL"
    held = struct.unpack_from(form, data, weights.offset + weights.stored)
    assert held == (b"PK\x07\x08", weights.crc, weights.stored, weights.size)


def _force_wide(path: Path) -> None:
    contents = _contents(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(data)


def _pad(path: Path) -> None:
    """Align the data of each member with an extra field, and end it in bytes that are no field."""
    contents = _contents(path)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<HH20x", 0xD935, 20)
            archive.writestr(info, data)


@pytest.mark.parametrize("prepare", [_force_wide, _pad])
def test_extra_fields_are_kept(tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    """Extra fields, such as an alignment or sizes of 64 bits, stay where they are and say what is true."""
    path = _archive(tmp_path / "m.keras", np.zeros((64, 64)), packed=True)
    prepare(path)
    values = {TENSOR: np.random.default_rng(5).normal(size=(64, 64))}
    copy = rewrite(path, tmp_path / "copy", values).path
    assert_only_changed(path, copy, values)
    old, new = _members(path), _members(copy)
    assert list(old) == list(new)
    for name in old:
        assert new[name].offset - new[name].header == old[name].offset - old[name].header
    local = copy.read_bytes()[new[WEIGHTS].header : new[WEIGHTS].offset]
    if prepare is _force_wide:
        assert struct.unpack("<QQ", local[-16:]) == (new[WEIGHTS].size, new[WEIGHTS].stored)


@pytest.mark.parametrize("prepare", [lambda _: None, _force_wide])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_of_64_bits_where_32_do_not_hold_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: int, prepare: Callable[[Path], None]
) -> None:
    """With the border lowered from 4 GiB to a few bytes, sizes and places go to fields that readers find."""
    path = _archive(tmp_path / "m.keras", np.zeros((64, 64)), packed=True, method=method)
    prepare(path)
    monkeypatch.setattr(zip_headers, "LIMIT", 100)
    values = {TENSOR: np.random.default_rng(6).normal(size=(64, 64))}
    copy = rewrite(path, tmp_path / "copy", values, record=record_of("x" * 200)).path
    assert b"PK\x06\x06" in copy.read_bytes()
    assert_only_changed(path, copy, values)
    assert _contents(copy)[RECORD] == record_of("x" * 200)
    again = rewrite(copy, tmp_path / "again", {TENSOR: np.zeros((64, 64))}, record=record_of("short")).path
    assert_only_changed(path, again, {})
    assert _contents(again)[RECORD] == record_of("short")


def test_a_header_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member whose sizes of 32 bits come behind its data cannot grow beyond what they hold."""
    path = _archive(tmp_path / "m.keras", np.zeros((64, 64)))
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        for name, data in _contents(path).items():
            archive.writestr(name, data)
    path.write_bytes(pipe.data)
    monkeypatch.setattr(zip_headers, "LIMIT", 100)
    with pytest.raises(WriteError, match=r"model\.weights\.h5 may become larger than 4 GiB"):
        rewrite(path, tmp_path / "copy", {TENSOR: np.ones((64, 64))})


def test_damage_elsewhere_is_not_blessed(tmp_path: Path) -> None:
    """A wrong CRC-32 of the weights is wrong in the copy too: it is derived from the old one."""
    path = _archive(tmp_path / "m.keras", np.zeros((64, 64)))
    data = bytearray(path.read_bytes())
    data[_members(path)[WEIGHTS].offset + 1000] ^= 1
    path.write_bytes(data)
    copy = rewrite(path, tmp_path / "copy", {TENSOR: np.ones((64, 64))}).path
    with zipfile.ZipFile(copy) as archive:
        assert archive.testzip() == WEIGHTS
