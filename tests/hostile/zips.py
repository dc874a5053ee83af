"""Keras archives: bombs, members that readers disagree about, names and links that lead elsewhere."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING

import h5py
import numpy as np

from tests.hostile.canary import weights
from tests.hostile.case import Case, Make, found, read, refused
from tests.hostile.hdf5_links import KERNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

DENSE = {
    "module": "keras.layers",
    "class_name": "Dense",
    "config": {"name": "dense", "units": 16, "activation": "relu"},
    "registered_name": None,
    "build_config": {"input_shape": [None, 16]},
}
INPUT = {
    "module": "keras.layers",
    "class_name": "InputLayer",
    "config": {"batch_shape": [None, 16], "dtype": "float32", "name": "input"},
    "registered_name": None,
}
CONFIG = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {"name": "m", "layers": [INPUT, DENSE]},
    "registered_name": None,
}
METADATA = b'{"keras_version": "3.9.0", "date_saved": "2025-01-01@00:00:00"}'
WEIGHTS = "model.weights.h5"
Member = tuple[str, bytes]


def hdf5(values: np.ndarray | None = None) -> bytes:
    """Return the weights of a layer of 16 units, as HDF5."""
    raw = io.BytesIO()
    with h5py.File(raw, "w") as file:
        file[KERNEL] = weights() if values is None else values
        file["layers/dense/vars/1"] = np.full(16, 0.01, np.float32) * np.arange(1, 17, dtype=np.float32)
    return raw.getvalue()


def members(**changed: bytes) -> list[Member]:
    """Return the members of a sound archive, some with other contents (``config``, ``weights``)."""
    config = changed.get("config", json.dumps(CONFIG).encode())
    return [("metadata.json", METADATA), ("config.json", config), (WEIGHTS, changed.get("weights", hdf5()))]


def pack(parts: Iterable[Member], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip archive of members, in order; names may come again."""
    raw = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(raw, "w") as archive:
        warnings.simplefilter("ignore")
        for name, data in parts:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return raw.getvalue()


def archive(content: Callable[[], bytes], name: str = "m.keras") -> Make:
    """Return what writes an archive."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content())
        return folder / name

    return make


def central(raw: bytes, number: int, field: int, value: bytes) -> bytes:
    """Change bytes of a record in the central directory, `field` bytes from its beginning."""
    place = -1
    for _ in range(number + 1):
        place = raw.index(b"PK\1\2", place + 1)
    return raw[: place + field] + value + raw[place + field + len(value) :]


def _bomb(which: str, mebibytes: int) -> bytes:
    """Pack gigabytes of spaces into one member."""
    packer, size, crc = zlib.compressobj(9, zlib.DEFLATED, -15), mebibytes << 20, 0
    piece = b" " * (1 << 20)
    packed = bytearray()
    for _ in range(mebibytes):
        packed += packer.compress(piece)
        crc = zlib.crc32(piece, crc)
    packed += packer.flush()
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as made:
        for name, data in members():
            if name != which:
                made.writestr(name, data)
    whole = raw.getvalue()
    end = whole.rindex(b"PK\5\6")
    start = struct.unpack_from("<L", whole, end + 16)[0]
    fields = struct.pack("<5H3L2H", 20, 0, 8, 0, 33, crc, len(packed), size, len(which), 0)
    local = b"PK\3\4" + fields + which.encode() + packed
    record = (
        b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<3H2L", 0, 0, 0, 0, start) + which.encode()
    )
    directory = whole[start:end] + record
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, len(directory), start + len(local), 0)
    return whole[:start] + local + directory + tail


def _one_for_all(count: int = 1000) -> bytes:
    """List one member under a thousand names."""
    raw = pack([("a" * 8, bytes(1 << 20))], zipfile.ZIP_DEFLATED)
    start = raw.index(b"PK\1\2")
    end = raw.rindex(b"PK\5\6")
    record = raw[start:end]
    directory = b"".join(record.replace(b"a" * 8, b"%08d" % number) for number in range(count))
    return (
        raw[:start]
        + directory
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), start, 0)
    )


def _changed(change: Callable[[bytes], bytes], **parts: bytes) -> Make:
    """Return what writes a sound archive, changed."""
    return archive(lambda: change(pack(members(**parts))))


def _local(field: int, value: bytes) -> Callable[[bytes], bytes]:
    """Return what changes the first local header."""
    return lambda raw: raw[:field] + value + raw[field + len(value) :]


def _stale_crc(raw: bytes) -> bytes:
    """Change a weight and no checksum."""
    place = raw.index(weights().tobytes()) + 100
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


def _second_zip_in_comment(raw: bytes) -> bytes:
    inner = pack(members(weights=hdf5(weights() * np.float32(np.nan))))
    return raw[:-2] + struct.pack("<H", len(inner)) + inner


def _second_directory(raw: bytes) -> bytes:
    """Let a zip64 directory without members stand beside the plain one."""
    end = raw.rindex(b"PK\5\6")
    wide = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 0, 0, 0, end)
    return raw[:end] + wide + struct.pack("<4sLQL", b"PK\6\7", 0, end, 1) + raw[end:]


def _record(directory: bytes, offset: int) -> bytes:
    """Return the zip64 record of a directory of three members."""
    return struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, len(directory), offset)


def _two_records(raw: bytes) -> bytes:
    """Let zipfile find another zip64 record than the one that the locator names: that of weights of NaN."""
    start, other = raw.index(b"PK\1\2"), pack(members(weights=_nan()))
    end = other.index(b"PK\1\2")
    directory, second = raw[start : raw.rindex(b"PK\5\6")], _shifted(other, start)[end:-22]
    made = raw[:start] + other[:end]
    place = len(made) + len(directory)
    made += directory + _record(directory, len(made))
    made += second + _record(second, len(made))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, place, 1)
    return made + locator + struct.pack("<4s4H8sH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, b"\xff" * 8, 0)


def _with_extra(name: str, content: bytes, extra: bytes) -> Make:
    """Return what writes a sound archive with one more member, whose record has this extra field."""

    def write() -> bytes:
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w") as made:
            for part, data in members():
                made.writestr(zipfile.ZipInfo(part), data)
            more = zipfile.ZipInfo(name)
            more.extra = extra
            made.writestr(more, content)
        return raw.getvalue()

    return archive(write)


def _other_name(name: str, other: str) -> bytes:
    """Return the extra field that gives a member a name in Unicode."""
    text = struct.pack("<BL", 1, zlib.crc32(name.encode())) + other.encode()
    return struct.pack("<HH", 0x7075, len(text)) + text


def _zip64_lie(raw: bytes) -> bytes:
    """Say that the truth about a size is in a zip64 field, and have none."""
    return central(raw, 2, 24, b"\xff\xff\xff\xff")


def _link(name: str) -> bytes:
    """Return an archive with a member that Unix tools would unpack as a symbolic link."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as made:
        for part, data in members():
            info = zipfile.ZipInfo(part)
            is_link = part == name
            if is_link:
                info.create_system, info.external_attr = 3, 0xA1FF << 16
            made.writestr(info, b"../canary/secret.h5" if is_link else data)
    return raw.getvalue()


def _nan() -> bytes:
    return hdf5(weights() * np.float32(np.nan))


def _shifted(raw: bytes, by: int) -> bytes:
    """Let the offsets of an archive count bytes before it, too."""
    for number in range(raw.count(b"PK\1\2")):
        place = [at for at in range(len(raw)) if raw.startswith(b"PK\1\2", at)][number]
        start = struct.unpack_from("<L", raw, place + 42)[0]
        raw = central(raw, number, 42, struct.pack("<L", start + by))
    end = raw.rindex(b"PK\5\6")
    start = struct.unpack_from("<L", raw, end + 16)[0]
    return raw[: end + 16] + struct.pack("<L", start + by) + raw[end + 20 :]


def _hdf5_inside() -> bytes:
    """Return a sound archive whose first member holds other weights where HDF5 may begin, at byte 512."""
    with_block = io.BytesIO()
    with h5py.File(with_block, "w", userblock_size=512) as file:
        file[KERNEL] = weights() * np.float32(np.nan)
    head = 30 + len("x")
    return pack([("x", with_block.getvalue()[head:]), *members()])


def _external() -> bytes:
    raw = io.BytesIO()
    with h5py.File(raw, "w") as file:
        file["layers/dense"] = h5py.ExternalLink("../canary/secret.h5", "/layers/dense")
    return raw.getvalue()


def _unpacked(put: Callable[[Path], None]) -> Make:
    """Return what writes a model as a directory, with something else in place of its weights."""

    def make(folder: Path) -> Path:
        (folder / "config.json").write_text(json.dumps(CONFIG))
        put(folder / WEIGHTS)
        return folder

    return make


CASES: list[Case] = [
    read("zip: a sound archive, as a control", archive(lambda: pack(members()))),
    read("zip: a deflated archive, as a control", archive(lambda: pack(members(), zipfile.ZIP_DEFLATED))),
    refused(
        "zip: a configuration of 1 GiB of spaces",
        archive(lambda: _bomb("config.json", 1024)),
        "--max-metadata",
    ),
    refused(
        "zip: a configuration of 200 MiB of spaces",
        archive(lambda: _bomb("config.json", 200)),
        "not plausible",
    ),
    refused("zip: weights of 1.5 GiB of spaces", archive(lambda: _bomb(WEIGHTS, 1536)), "plausible"),
    refused("zip: weights of 200 MiB of spaces", archive(lambda: _bomb(WEIGHTS, 200)), "not|HDF5"),
    refused("zip: one member under 1,000 names", archive(_one_for_all), "contradicts"),
    refused(
        "zip: 20,000 members", archive(lambda: pack((str(n), b"") for n in range(20_000))), "20000 members"
    ),
    refused(
        "zip: two configurations", archive(lambda: pack([*members(), ("config.json", b"{}")])), "two members"
    ),
    refused(
        "zip: two sets of weights", archive(lambda: pack([(WEIGHTS, _nan()), *members()])), "two members"
    ),
    refused(
        "zip: names that differ in case",
        archive(lambda: pack([*members(), ("Config.JSON", b"{}")])),
        "two members",
    ),
    refused("zip: another name in the local header", _changed(_local(30, b"M")), "contradicts"),
    refused("zip: another size in the local header", _changed(_local(22, b"\5\0\0\0")), "contradicts"),
    refused("zip: another method in the local header", _changed(_local(8, b"\x08\0")), "contradicts"),
    refused(
        "zip: a wrong size in the directory",
        _changed(lambda raw: central(raw, 1, 24, b"\5")),
        "two sizes|contradicts",
    ),
    found("zip: a changed weight", _changed(_stale_crc), "WA11\\d"),
    refused("zip: encrypted weights", _changed(lambda raw: central(raw, 2, 8, b"\1\0")), "encrypted"),
    refused("zip: an unknown method", _changed(lambda raw: central(raw, 2, 10, b"\x63\0")), "zip method 99"),
    refused(
        "zip: a member that begins beyond the end",
        _changed(lambda raw: central(raw, 2, 42, b"\xff\xff\xff\x7f")),
        "truncated",
    ),
    refused(
        "zip: a member that begins in another",
        _changed(lambda raw: central(raw, 2, 42, b"\x10\0\0\0")),
        "contradicts|truncated",
    ),
    refused("zip: zip64 fields that are not there", _changed(_zip64_lie), "zip64"),
    refused(
        "zip: a second directory in zip64",
        _changed(_second_directory),
        "where it says|two zip directories|zip64",
    ),
    refused("zip: a second directory where zipfile looks", _changed(_two_records), "zip64"),
    refused(
        "zip: a second name for a member, of the weights",
        _with_extra("x", b"", _other_name("x", WEIGHTS)),
        "two names",
    ),
    read(
        "zip: the same name twice in one member, as a control",
        _with_extra("x", b"", _other_name("x", "x")),
    ),
    refused(
        "zip: an extra field that is cut short", _with_extra("x", b"", b"\x75\x70\xff\xff12"), "cut short"
    ),
    refused(
        "zip: a second archive in the comment",
        _changed(_second_zip_in_comment),
        "after its zip directory|where it says",
    ),
    refused(
        "zip: bytes before the archive", _changed(lambda raw: b"PK\3\4" + bytes(96) + raw), "where it says"
    ),
    refused(
        "zip: bytes behind the archive", _changed(lambda raw: raw + bytes(10)), "after its zip directory"
    ),
    refused("zip: cut off", _changed(lambda raw: raw[:-30]), "directory is missing"),
    refused("zip: nothing but the magic", _changed(lambda _: b"PK\3\4"), "directory is missing"),
    refused(
        "zip: ../ in a name", archive(lambda: pack([*members(), ("../../canary/x", b"")])), "leads elsewhere"
    ),
    refused("zip: an absolute name", archive(lambda: pack([*members(), ("/etc/x", b"")])), "leads elsewhere"),
    refused(
        "zip: a drive and backslashes in a name",
        archive(lambda: pack([*members(), ("C:\\x", b"")])),
        "leads elsewhere",
    ),
    refused("zip: weights that are a symbolic link", archive(lambda: _link(WEIGHTS)), "not HDF5|not audited"),
    refused(
        "zip: weights with an external link",
        archive(lambda: pack(members(weights=_external()))),
        "external link",
    ),
    refused(
        "zip: weights in NumPy form",
        archive(lambda: pack([*members()[:2], ("model.weights.npz", b"\x80")])),
        "NumPy form",
    ),
    refused("zip: no weights", archive(lambda: pack(members()[:2])), "no model"),
    refused(
        "zip: an archive behind HDF5",
        archive(lambda: hdf5() + _shifted(pack(members(weights=_nan())), len(hdf5()))),
        "at once",
    ),
    refused(
        "zip: an archive behind HDF5, called .h5",
        archive(lambda: hdf5() + pack(members(weights=_nan())), "m.h5"),
        "at once",
    ),
    refused("zip: an archive around HDF5, called .h5", archive(_hdf5_inside, "m.h5"), "at once"),
    refused(
        "zip: a directory whose weights are a link to outside",
        _unpacked(lambda path: path.symlink_to("../canary/secret.h5")),
        "leads out of the directory",
    ),
    refused(
        "zip: a directory whose weights are a pipe", _unpacked(os.mkfifo), "neither a file nor a directory"
    ),
]
