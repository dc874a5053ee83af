"""TensorFlow checkpoints whose index is consistent and lies, with checksums that are right."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.formats.tensorflow_files import (
    Pair,
    block,
    chunk,
    entry,
    header,
    masked_crc,
    number,
    simple_table,
    table,
    varint,
    write_bundle,
)
from tests.hostile.canary import weights
from tests.hostile.case import Case, Make, found, read, refused

if TYPE_CHECKING:
    from pathlib import Path

SHARD = "ckpt.data-00000-of-00001"
NAME = "layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"
DATA = weights().tobytes()
CRC = masked_crc(DATA)


def tensor(
    name: str | bytes = NAME, *, dtype: int = 1, shard: int = 0, offset: int = 0, nbytes: int = len(DATA)
) -> Pair:
    """Return the entry of a sound kernel, changed."""
    return entry(name, (16, 16), dtype=dtype, shard=shard, offset=offset, nbytes=nbytes, crc=CRC)


def bundle(*pairs: Pair, data: bytes = DATA) -> Make:
    """Return what writes a checkpoint; without a header among the pairs, with a right one."""

    def make(folder: Path) -> Path:
        whole = pairs if pairs and pairs[0][0] == b"" else (header(), *pairs)
        write_bundle(folder, whole, data)
        return folder / "ckpt.index"

    return make


def index(raw: bytes) -> Make:
    """Return what writes a checkpoint with this index."""

    def make(folder: Path) -> Path:
        (folder / "ckpt.index").write_bytes(raw)
        (folder / SHARD).write_bytes(DATA)
        return folder / "ckpt.index"

    return make


def _block(content: bytes, *, kind: int = 0) -> bytes:
    """Return an index of one data block."""
    return table([(b"~", content)], kind=kind)


def _raw(*items: tuple[int, int, int, bytes], restarts: tuple[int, ...] = (0,)) -> bytes:
    """Encode a block by hand: shared bytes, others, bytes of the value, and what follows."""
    content = b"".join(varint(a) + varint(b) + varint(c) + rest for a, b, c, rest in items)
    places = b"".join(place.to_bytes(4, "little") for place in restarts)
    return content + places + len(restarts).to_bytes(4, "little")


def _replaced(kind: str) -> Make:
    """Return what puts something else in the place of the shard."""

    def make(folder: Path) -> Path:
        path = bundle(tensor())(folder)
        shard = folder / SHARD
        shard.unlink()
        if kind == "link":
            shard.symlink_to("../canary/ckpt.data-00000-of-00001")
        elif kind == "pipe":
            os.mkfifo(shard)
        elif kind == "device":
            shard.symlink_to("/dev/zero")
        elif kind == "folder":
            shard.mkdir()
        elif kind == "circle":
            shard.symlink_to(SHARD)
        return path

    return make


def _state_file(folder: Path) -> Path:
    """Let the file that names the latest checkpoint name one outside."""
    bundle(tensor())(folder)
    (folder / "checkpoint").write_text('model_checkpoint_path: "../canary/ckpt"\n')
    return folder


def _slices(first: tuple[int, int], second: tuple[int, int], stored: int = 8) -> Make:
    """Return what writes a vector of 512 numbers in two slices: begin and length, of 256 if right."""

    def coded(start: int, length: int) -> bytes:
        return chunk(7, chunk(1, number(1, start) + number(2, length)))

    def key(start: int, length: int) -> bytes:
        return b"\0v\0\1\1\1" + _ordered(start) + _ordered(length)

    pieces = sorted({(start, length) for start, length in (first, second)})
    pairs = [
        entry(key(*piece), (stored * 32,), nbytes=stored * 128, crc=masked_crc(DATA[: stored * 128]))
        for piece in pieces
    ]
    return bundle(*pairs, entry("v", (512,), nbytes=0, more=coded(*first) + coded(*second)))


def _ordered(value: int) -> bytes:
    """Encode a number as TensorFlow's keys do: 0x80 and more bits with more bytes."""
    return bytes([0x80 | value]) if value < 64 else bytes([0xC0 | value >> 8, value & 255])


def _strings(data: bytes, count: int) -> Make:
    """Return what writes a tensor of strings beside a sound kernel."""
    item = entry("words", (count,), dtype=7, offset=len(DATA), nbytes=len(data), crc=masked_crc(b"?"))
    return bundle(tensor(), item, data=DATA + data)


def _half(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


GOOD = simple_table([header(), tensor()])

CASES: list[Case] = [
    read("bundle: a sound checkpoint, as a control", bundle(tensor())),
    refused("bundle: an empty index", index(b""), "cut off"),
    refused("bundle: one byte", index(b"\0"), "cut off"),
    refused("bundle: half an index", index(_half(GOOD)), "cut off"),
    refused("bundle: another magic", index(GOOD[:-1] + b"\0"), "cut off"),
    refused(
        "bundle: a flipped bit in a block", index(bytes([GOOD[0] ^ 1]) + GOOD[1:]), "checksum of the block"
    ),
    refused(
        "bundle: a block of 2^62 bytes",
        index(GOOD[:-48] + (varint(1 << 62) * 4).ljust(40, b"\0") + GOOD[-8:]),
        "does not fit",
    ),
    refused(
        "bundle: a block of 2^64 - 5 bytes",
        index(GOOD[:-48] + (varint(0) + varint((1 << 64) - 5)).ljust(40, b"\0") + GOOD[-8:]),
        "does not fit|checksum of the block",
    ),
    refused("bundle: varints without end", index(GOOD[:-48] + b"\xff" * 40 + GOOD[-8:]), "damaged"),
    refused(
        "bundle: an index block that is a data block",
        index(GOOD[:-48] + (varint(0) + varint(8) + varint(0) + varint(8)).ljust(40, b"\0") + GOOD[-8:]),
        "damaged",
    ),
    refused(
        "bundle: snappy of 4 GiB",
        index(_block(b"\xff\xff\xff\xff\x0f" + b"\0" * 20, kind=1)),
        "declares|damaged",
    ),
    refused(
        "bundle: snappy that copies from before its beginning",
        index(_block(b"\x40\xfe\xff\xff" * 9, kind=1)),
        "damaged",
    ),
    refused("bundle: an unknown compression", index(_block(block([header()]), kind=9)), "compression 9"),
    refused("bundle: 2^32 - 1 restarts", index(_block(block([header()])[:-4] + b"\xff" * 4)), "restart"),
    refused(
        "bundle: keys that share what is not there",
        index(_block(_raw((0, 0, 2, b"\x08\x01"), (90, 1, 0, b"a")))),
        "damaged",
    ),
    refused(
        "bundle: lengths that wrap around 32 bits",
        index(_block(_raw((0, 0, 2, b"\x08\x01"), (0, (1 << 32) - 1, 9, b"a" * 9)))),
        "damaged",
    ),
    refused(
        "bundle: keys out of order",
        index(_block(block([header(), tensor("b"), tensor("a")]))),
        "out of order",
    ),
    refused(
        "bundle: a key twice", index(_block(block([header(), tensor("a"), tensor("a")]))), "out of order"
    ),
    refused(
        "bundle: a tensor of 20,000,000 slices",
        bundle(entry(NAME, (16, 16), nbytes=0, more=chunk(7, b"") * 20_000_000)),
        "1048576 fields",
    ),
    refused("bundle: no header", index(_block(block([tensor()]))), "header"),
    refused("bundle: no shards", bundle(header(0), tensor()), "0 shards"),
    refused("bundle: -1 shards", bundle(header(-1), tensor()), "shards"),
    refused("bundle: 2^31 - 1 shards", bundle(header((1 << 31) - 1), tensor()), "shards"),
    refused(
        "bundle: 90,000 shards that are not there", bundle(header(90_000), tensor(shard=89_999)), "is missing"
    ),
    refused("bundle: shard 7 of one", bundle(tensor(shard=7)), "shard 7"),
    refused("bundle: shard -1", bundle(tensor(shard=-1)), "shard"),
    refused("bundle: an offset beyond the end", bundle(tensor(offset=1 << 40)), "too short"),
    refused("bundle: a negative offset", bundle(tensor(offset=-16)), "points to byte"),
    refused("bundle: a size that is not the shape's", bundle(tensor(nbytes=8)), "has 8 bytes for"),
    refused("bundle: a negative dimension", bundle(entry(NAME, (-4,), nbytes=16)), "damaged"),
    refused("bundle: 2^62 x 2^62 numbers", bundle(entry(NAME, (1 << 62, 1 << 62))), "damaged"),
    refused("bundle: 8 TiB", bundle(entry(NAME, (1 << 41,), nbytes=1 << 43)), "too short"),
    refused("bundle: 300 dimensions", bundle(entry(NAME, (1,) * 300, nbytes=4)), "damaged"),
    refused(
        "bundle: numbers of a type that is not measured",
        bundle(tensor("a"), entry("b", (64,), dtype=26, nbytes=64, crc=masked_crc(DATA[:64]))),
        "of a type, float8_e4m3fnuz, that is not measured",
    ),
    refused("bundle: type 999", bundle(tensor(dtype=999)), "damaged"),
    refused("bundle: type 0", bundle(tensor(dtype=0)), "damaged"),
    refused("bundle: a version that is not known", bundle(header(needs=999), tensor()), "version"),
    refused("bundle: a byte order that is not known", bundle(header(order=7), tensor()), "byte order"),
    found("bundle: bytes in the other order", bundle(header(order=1), tensor()), "WA\\d+"),
    found("bundle: a changed weight", bundle(tensor(), data=DATA[:9] + b"?" + DATA[10:]), "WA110"),
    found("bundle: two tensors of the same bytes", bundle(tensor("a"), tensor("b")), "WA114"),
    found(
        "bundle: 20,000 tensors of the same bytes",
        bundle(*(entry(f"v{place:05}", (1,), nbytes=4, crc=masked_crc(DATA[:4])) for place in range(20_000))),
        "18999 further tensors share bytes",
    ),
    refused("bundle: a shard cut short", bundle(tensor(), data=DATA[:-1]), "too short"),
    refused("bundle: a name that is not text", bundle(tensor(b"\xff\xfe")), "damaged|not"),
    refused("bundle: an entry that is no message", bundle((NAME.encode(), b"\xff\xff\xff")), "damaged"),
    refused("bundle: slices that leave a hole", _slices((0, 256), (300, 200)), "damaged"),
    refused("bundle: slices that overlap", _slices((0, 256), (200, 256)), "damaged"),
    refused("bundle: slices stored shorter than they are", _slices((0, 256), (256, 256), 1), "damaged"),
    refused("bundle: slices outside their tensor", _slices((0, 256), (400, 256)), "damaged"),
    refused(
        "bundle: slices of no tensor",
        bundle(entry(b"\0a\0\1\1\1\x80\x81", (1,), nbytes=4)),
        "no tensor lists",
    ),
    found(
        "bundle: strings with a wrong checksum",
        _strings(b"\1\1" + masked_crc(b"\1\0\0\0\1\0\0\0") + b"ab", 2),
        "WA110",
    ),
    found("bundle: strings longer than they are", _strings(b"\xff\xff\xff\x7f" + bytes(9), 1), "WA110"),
    refused("bundle: 2^40 strings", _strings(bytes(64), 1 << 40), "strings"),
    refused("bundle: a shard that is a link to outside", _replaced("link"), "leads outside|missing"),
    refused("bundle: a shard that is a pipe", _replaced("pipe"), "not a regular file"),
    refused("bundle: a shard that is a device", _replaced("device"), "leads outside|not a regular file"),
    refused("bundle: a shard that is a folder", _replaced("folder"), "not a regular file"),
    refused(
        "bundle: a shard that is a link to itself", _replaced("circle"), "missing|cannot be opened|leads"
    ),
    refused("bundle: a state file that names another model", _state_file, "which lies outside"),
    refused(
        "bundle: 150,000 tensors",
        bundle(*(entry(f"v{n:06}", (1,), nbytes=4) for n in range(150_000))),
        "--max-tensors",
    ),
]
