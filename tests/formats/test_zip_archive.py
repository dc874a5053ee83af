"""The zip reader takes what every zip tool writes, and refuses what two readers understand differently."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from typing import TYPE_CHECKING

import pytest

from weightaudit.errors import ReadError
from weightaudit.formats.zip_archive import list_members, read_member, spool_member
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.source import LocalFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONTENT = bytes(range(256)) * 20


def _archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            packed = zipfile.ZIP_DEFLATED if name.startswith("packed") else zipfile.ZIP_STORED
            archive.writestr(zipfile.ZipInfo(name), data, packed)
    return buffer.getvalue()


def _open(tmp_path: Path, data: bytes) -> LocalFile:
    (tmp_path / "a.keras").write_bytes(data)
    return LocalFile(tmp_path / "a.keras")


def test_members_are_read_as_zipfile_reads_them(tmp_path: Path) -> None:
    """Stored and deflated members give their bytes, in memory and spooled."""
    file = _open(tmp_path, _archive(plain=CONTENT, packed=CONTENT, empty=b""))
    members = list_members(file)
    assert set(members) == {"plain", "packed", "empty"}
    for name, content in (("plain", CONTENT), ("packed", CONTENT), ("empty", b"")):
        assert read_member(file, members[name], DEFAULT_LIMITS) == content
    spooled = spool_member(file, members["packed"], DEFAULT_LIMITS)
    assert spooled.read(0, spooled.size) == CONTENT
    assert file.read(members["plain"].offset, len(CONTENT)) == CONTENT
    spooled.close()
    file.close()


def test_archives_beyond_two_gibibytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """zip64 records beside old ones that still hold, as zipfile writes from 2 GiB on, are understood."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", bytes(3000))
        archive.writestr("b", b"behind")
    raw = path.read_bytes()
    end = raw.rfind(b"PK\x05\x06")
    assert raw[end - 20 : end - 16] == b"PK\x06\x07"
    assert raw[end + 16 : end + 20] != b"\xff" * 4
    file = LocalFile(path)
    assert {name: one.size for name, one in list_members(file).items()} == {"a": 3000, "b": 6}
    file.close()
    file = _open(tmp_path, raw[: end + 16] + bytes([raw[end + 16] ^ 1]) + raw[end + 17 :])
    with pytest.raises(ReadError, match="two zip directories"):
        list_members(file)
    file.close()


def test_numbers_that_spell_a_mark(tmp_path: Path) -> None:
    """A directory at a place whose bytes are the letters of zip's marks is found all the same."""
    path = tmp_path / "marks.zip"
    with zipfile.ZipFile(path, "w") as archive:
        # The directory begins behind a header of 31 bytes and this, at 0x4b50: "PK".
        archive.writestr("a", bytes(0x4B50 - 31))
    assert b"PK" in path.read_bytes()[-6:]
    file = LocalFile(path)
    assert list(list_members(file)) == ["a"]
    file.close()


def test_streamed_and_zip64_archives(tmp_path: Path) -> None:
    """Sizes behind the data (an archive written to a pipe) and zip64 fields are understood."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive, archive.open("x", "w", force_zip64=True) as member:
        member.write(CONTENT)
    file = _open(tmp_path, pipe.getvalue())
    assert read_member(file, list_members(file)["x"], DEFAULT_LIMITS) == CONTENT
    file.close()


def _twice(_: bytes) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("x", b"1")
        archive.writestr("x", b"2")
    return buffer.getvalue()


def _patched(find: bytes, replacement: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(find, replacement, 1)


def _encrypted(data: bytes) -> bytes:
    place = data.index(b"PK\x01\x02")
    return data[: place + 8] + b"\x01\x00" + data[place + 10 :]


def _local_size_lies(data: bytes) -> bytes:
    return data[:22] + struct.pack("<L", 5) + data[26:]


def _method_99(data: bytes) -> bytes:
    place = data.index(b"PK\x01\x02")
    return data[: place + 10] + struct.pack("<H", 99) + data[place + 12 :]


def _nested_in_comment(data: bytes) -> bytes:
    inner = _archive(y=b"other")
    return data[:-2] + struct.pack("<H", len(inner)) + inner


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_twice, "two members"),
        (_encrypted, "encrypted"),
        (_method_99, "zip method 99"),
        (_local_size_lies, "contradicts"),
        (_patched(b"plain", b"drain"), "contradicts"),
        (_nested_in_comment, "data after its zip directory|where it says"),
        (lambda data: b"MZ" + data, "where it says|contradicts"),
        (lambda data: data + b"tail", "data after"),
        (lambda data: data[:-10], "zip directory is missing"),
        (lambda _: _archive(**{"../escape": b"x"}), "leads elsewhere"),
        (lambda _: _archive(**{"/absolute": b"x"}), "leads elsewhere"),
        (lambda _: _archive(A=b"x", a=b"y"), "two members"),
    ],
)
def test_ambiguous_archives_are_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    """What two readers would understand differently, and what leads elsewhere, is refused with the reason."""
    file = _open(tmp_path, damage(_archive(plain=CONTENT)))
    with pytest.raises(ReadError, match=reason):
        list_members(file)
    file.close()


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """One flipped bit anywhere in a small archive never gives other content without an error."""
    data = _archive(plain=b"0123456789" * 3, packed=b"0123456789" * 3)
    good = {"plain": b"0123456789" * 3, "packed": b"0123456789" * 3}
    silent: list[int] = []
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 4
        file = _open(tmp_path, bytes(damaged))
        try:
            members = list_members(file)
            content = {name: read_member(file, member, DEFAULT_LIMITS) for name, member in members.items()}
            if content != good and set(content) == set(good):
                silent.append(place)
        except ReadError:
            pass
        file.close()
    assert not silent


def test_bomb_is_refused_before_it_inflates(tmp_path: Path) -> None:
    """A member that claims to inflate beyond the budget is refused, and so is one that lies about it."""
    data = _archive(packed=bytes(1 << 20))
    file = _open(tmp_path, data)
    member = list_members(file)["packed"]
    with pytest.raises(ReadError, match="plausible"):
        spool_member(file, member, Limits(min_budget=1 << 10, max_ratio=2))
    with pytest.raises(ReadError, match="at most 1024 are read"):
        read_member(file, member, Limits(max_metadata=1 << 10))
    file.close()
    lie = data.replace(struct.pack("<L", 1 << 20), struct.pack("<L", 1 << 10))
    file = _open(tmp_path, lie)
    with pytest.raises(ReadError, match="more than the 1024 bytes"):
        spool_member(file, list_members(file)["packed"], DEFAULT_LIMITS)
    file.close()
