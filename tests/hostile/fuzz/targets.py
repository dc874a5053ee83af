"""What is fuzzed: each parser of ours, the seeds to begin from, and what makes checksums right again."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import h5py
import numpy as np

from tests.formats.tensorflow_files import block, chunk, entry, header, number, simple_table, table, varint
from tests.hostile.bundles import DATA, NAME, tensor
from tests.hostile.canary import weights
from tests.hostile.saved_models import constant, objects, tensor_proto
from tests.hostile.zips import CONFIG, hdf5, members, pack
from weightaudit.catalog import Extent
from weightaudit.checkpoint import Checkpoint, open_checkpoint
from weightaudit.errors import ReadError
from weightaudit.formats import Kind, Opened
from weightaudit.formats.documents import parse_json
from weightaudit.formats.hdf5_native import DamagedError, LimitError, Reader, UnfamiliarError, list_natively
from weightaudit.formats.keras_archive import catalog_keras_archive
from weightaudit.formats.object_graph import parse_object_graph
from weightaudit.formats.protobuf import MalformedError, read_fields
from weightaudit.formats.snappy import decompress
from weightaudit.formats.sstable import read_table
from weightaudit.formats.string_tensors import check_strings
from weightaudit.formats.zip_archive import list_members, read_member
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.source import Files, SpooledFile

EXPECTED = (ReadError, MalformedError, DamagedError, LimitError, UnfamiliarError)
"""What a parser may say of damaged input; anything else is a fault."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parser.

    Attributes:
        parse: Parses bytes; raises one of `EXPECTED`, or nothing.
        seeds: Sound inputs.
    """

    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]

    def attempt(self, data: bytes) -> bool:
        """Parse bytes and say whether they were accepted; what is no plain refusal is raised."""
        try:
            self.parse(data)
        except EXPECTED:
            return False
        return True

    def attempt_quietly(self, data: bytes) -> None:
        """Parse bytes, for a fuzzer that takes any answer for an error."""
        self.attempt(data)


@contextmanager
def in_memory(data: bytes) -> Iterator[SpooledFile]:
    """Give bytes as an open file."""
    # In memory, where the system has such files, it takes a tenth of the time of one in a folder.
    kept = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("x"), "w+b") if kept else tempfile.TemporaryFile() as spool:
        spool.write(data)
        spool.flush()
        file = SpooledFile(spool.fileno(), "x")
        try:
            yield file
        finally:
            file.close()


class _OneFile(Files):
    """A model of one file that has no name; any name opens it."""

    def __init__(self, file: SpooledFile) -> None:
        super().__init__(Path())
        self._file = file

    def open(self, relative: str) -> int:
        if relative not in self._numbers:
            self._numbers[relative] = self.adopt(SpooledFile(self._file.fd, relative))
        return self._numbers[relative]


@cache
def _folder(name: str) -> tempfile.TemporaryDirectory[str]:
    """Return the folder in which a target writes, again and again: making one takes longer than parsing."""
    return tempfile.TemporaryDirectory(prefix=name)


def _read(checkpoint: Checkpoint) -> None:
    """Read the smaller tensors of a model."""
    for info in checkpoint:
        if info.is_numeric and info.size < 1 << 16:
            checkpoint.read(info.name)


def opened(**files: bytes) -> None:
    """Write files, named with | for a point and __ for a slash, open the model, and read its tensors."""
    first = next(iter(files)).replace("|", ".")
    folder = Path(_folder(first).name)
    for name, data in files.items():
        path = folder / name.replace("__", "/").replace("_0", "-0").replace("|", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    with open_checkpoint(folder if first == "saved_model.pb" else folder / first) as checkpoint:
        _read(checkpoint)


def _keras(data: bytes) -> None:
    """Open an archive, which has no name and no folder, and read its tensors."""
    with in_memory(data) as file, _OneFile(file) as files:
        catalog = catalog_keras_archive(files, "m.keras", DEFAULT_LIMITS)
        _read(Checkpoint(Opened(files, catalog, Kind.KERAS_ARCHIVE, "m.keras")))


def _nested(data: bytes, depth: int = 6) -> None:
    for _, _, value in read_fields(data, "x"):
        if depth and value:
            try:
                _nested(value, depth - 1)
            except EXPECTED:
                continue


def _table(data: bytes) -> object:
    with in_memory(data) as file:
        return list(read_table(file))


def _zip(data: bytes) -> None:
    with in_memory(data) as file:
        for member in list_members(file).values():
            read_member(file, member, DEFAULT_LIMITS)


def _hdf5(data: bytes) -> object:
    with in_memory(data) as file:
        return list_natively(Reader(file.read, 0, file.size, 1 << 28, 60.0), DEFAULT_LIMITS)


def _strings(data: bytes) -> None:
    with in_memory(data) as file:
        check_strings(file, Extent(0, 0, file.size), 4, 0)


SHARD = "ckpt|data_00000-of-00001"


def _index(raw: bytes) -> None:
    opened(**{"ckpt|index": raw, SHARD: DATA})


def _value(raw: bytes) -> None:
    """Take bytes for the entry of a tensor."""
    _index(simple_table([header(), (NAME.encode(), raw), tensor("z")]))


def _old_hdf5() -> bytes:
    raw = io.BytesIO()
    with h5py.File(raw, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.attrs["keras_version"] = "2.0"
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        group.create_dataset(
            "dense/kernel:0", data=weights(), chunks=(8, 8), compression="gzip", shuffle=True
        )
        group["dense/bias:0"] = np.zeros(16, np.float32)
    return raw.getvalue()


GRAPH = number(1, 1) + chunk(
    2, constant(b"c", tensor_proto(DATA, 16, 16)) + objects(chunk(1, number(1, 0) + chunk(2, b"x")))
)
NODE = chunk(1, number(1, 0) + chunk(2, b"x")) + chunk(
    2, chunk(1, b"VARIABLE_VALUE") + chunk(3, NAME.encode())
)
SLICED = entry(NAME, (4,), nbytes=0, more=chunk(7, chunk(1, number(1, 0) + number(2, 2))))[1]
INDEX = simple_table([header(), tensor("a"), tensor("b"), tensor("bc"), entry("s", (), dtype=7, nbytes=8)])
TEXT = json.dumps(CONFIG).encode()

TARGETS: dict[str, Target] = {
    "protobuf": Target(_nested, (GRAPH, tensor()[1], SLICED)),
    "snappy": Target(lambda data: decompress(data, 1 << 20), (b"\x05\x10hello", b"\x14\x04ab\x1e\x02\x00")),
    "table": Target(_table, (INDEX,)),
    "block": Target(
        lambda data: _index(table([(b"~", data)])),
        (block([header(), tensor("a"), tensor("ab"), tensor("b")]),),
    ),
    "header": Target(
        lambda data: _index(simple_table([(b"", data), tensor()])), (header()[1], header(2, 1, 1)[1])
    ),
    "entry": Target(_value, (tensor()[1], SLICED, entry("s", (3,), dtype=7, nbytes=3)[1])),
    "object graph": Target(lambda data: parse_object_graph(data, "x", 1000), (chunk(1, NODE) * 3,)),
    "strings": Target(_strings, (b"\1\2\3\4" + bytes(14), varint(300) * 4 + bytes(1204))),
    "saved_model": Target(lambda data: opened(**{"saved_model|pb": data}), (GRAPH,)),
    "zip": Target(_zip, (pack(members()), pack(members(), 8))),
    "keras": Target(_keras, (pack(members()),)),
    "hdf5": Target(_hdf5, (hdf5(), _old_hdf5())),
    "json": Target(lambda data: parse_json(data, "x", DEFAULT_LIMITS), (TEXT,)),
    "config": Target(lambda data: _keras(pack(members(config=data))), (TEXT,)),
    "shards": Target(
        lambda data: opened(**{"m|weights|json": data}), (b'{"metadata": {}, "weight_map": {"a": "b"}}',)
    ),
}
"""Parsers by name."""
