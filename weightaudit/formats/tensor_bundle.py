"""TensorFlow checkpoints of version 2 ("tensor bundles"): an index, and shards of tensor bytes.

Source of the format: tensorflow/core/protobuf/tensor_bundle.proto and
tensorflow/core/util/tensor_bundle/tensor_bundle.cc. The index is a sorted string table of one
header and one entry per tensor; an entry says in which shard, and where, the bytes lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from weightaudit.catalog import (
    Absent,
    Catalog,
    Checksum,
    Defect,
    Entry,
    Extent,
    Flaw,
    Layout,
    ObjectGraph,
    Region,
    Tile,
    Tiles,
)
from weightaudit.errors import ReadError
from weightaudit.formats.object_graph import (
    OBJECT_GRAPH_KEY,
    decode_scalar_string,
    missing_variables,
    parse_object_graph,
)
from weightaudit.formats.protobuf import (
    CHUNK,
    FIXED32,
    VARINT,
    MalformedError,
    Message,
    decode_text,
    read_once,
)
from weightaudit.formats.shards import Shards
from weightaudit.formats.sstable import Pair, read_table, unmask
from weightaudit.formats.string_tensors import check_strings
from weightaudit.formats.tensor_slice import check_cover, parse_slice
from weightaudit.formats.tensorflow_types import DataType, data_type, parse_shape
from weightaudit.limits import Limits
from weightaudit.source import Files

_READER_VERSION = 1
_MAX_SHARDS = 100_000
_BIG_ENDIAN = 1
_DTYPE, _SHARD, _OFFSET, _SIZE = 1 << 3 | VARINT, 3 << 3 | VARINT, 4 << 3 | VARINT, 5 << 3 | VARINT
_SHAPE, _CRC, _SLICES = 2 << 3 | CHUNK, 6 << 3 | FIXED32, 7 << 3 | CHUNK
_KNOWN = frozenset({_DTYPE, _SHARD, _OFFSET, _SIZE, _SHAPE, _CRC, _SLICES})
_MAX_OFFSET = (1 << 63) - 1


class _Record(NamedTuple):
    """A decoded BundleEntryProto."""

    dtype: DataType
    shape: tuple[int, ...]
    shard: int
    offset: int
    nbytes: int
    checksum: int
    slices: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Index:
    """What the header of an index says, and what is found on the way through it.

    Attributes:
        label: Name of its file.
        shards: How many shards there are.
        big_endian: Byte order of the tensors.
        slices: Slices of partitioned tensors by their encoded key, until a tensor lists them.
        strings: Tensors of strings, and parts of such: name and place.
    """

    label: str
    shards: int
    big_endian: bool
    slices: dict[bytes, _Record]
    strings: list[tuple[str, Extent, _Record]]


def catalog_tensor_bundle(files: Files, prefix: str, limits: Limits) -> Catalog:
    """List the tensors of a version 2 checkpoint.

    Args:
        files: Opens the index and the shards.
        prefix: Path of the checkpoint below the root, without ``.index``; its last part may be empty.
        limits: Bounds on what is read.

    Returns:
        Tensors in the order of the index. One whose shard is missing or too short has no bytes, and
        each such shard is one defect. It has the object graph, if the checkpoint has one.

    Raises:
        ReadError: The index is missing or damaged.
    """
    index, pairs = _open_index(files, f"{prefix}.index", limits)
    shards = Shards(files, prefix, index.shards)
    regions: list[Region] = []
    entries, graph_record = _read_entries(pairs, index, shards, regions, limits)
    graph, defects = _object_graph(files, shards, index, graph_record, limits)
    if graph:
        defects += _missing(graph, entries, index)
    shards.check_budget(limits)
    damaged = _damaged_strings(files, index)
    if index.slices:
        raise ReadError(
            f"{index.label} is damaged: it holds {len(index.slices)} slices that no tensor lists."
        )
    return Catalog(
        container="TensorFlow checkpoint",
        layout=Layout.TENSORFLOW,
        entries=tuple(entries),
        regions=tuple(regions),
        defects=(*shards.defects(), *defects, *damaged),
        notes=shards.notes(),
        graph=graph,
    )


def _open_index(files: Files, label: str, limits: Limits) -> tuple[_Index, Iterator[Pair]]:
    """Return what the header of an index says, and the pairs behind it."""
    source = files[files.open(label)]
    if source.size > limits.max_metadata:
        raise ReadError(
            f"{label} has {source.size} bytes; at most {limits.max_metadata} of an index are read, "
            "which is the limit (--max-metadata)."
        )
    pairs = read_table(source, max_total=limits.max_metadata)
    key, value = next(pairs, (b"", b""))
    if key or not value:
        raise ReadError(f"{label} is damaged: its header is missing.")
    return _Index(label, *_header(Message(value, label)), {}, []), pairs


def _read_entries(
    pairs: Iterator[Pair], index: _Index, shards: Shards, regions: list[Region], limits: Limits
) -> tuple[list[Entry], _Record | None]:
    """Return the tensors of an index, and what it says about the object graph.

    Slices are taken out of ``index.slices`` by the tensor that lists them; their checksums are added to
    `regions`.
    """
    entries: list[Entry] = []
    graph: _Record | None = None
    for count, (key, value) in enumerate(pairs):
        if count >= limits.max_tensors:
            most = limits.max_tensors
            raise ReadError(
                f"{index.label} lists more than {most} tensors, which is the limit (--max-tensors)."
            )
        record = _record(value, key, index)
        if not key[0]:
            # In the order of keys, slices come before all tensors.
            index.slices[key] = record
            continue
        name = decode_text(key, index.label)
        if name == OBJECT_GRAPH_KEY:
            graph = record
        elif record.slices:
            entries.append(_partitioned(name, record, index, shards, regions))
        else:
            entries.append(_whole(name, record, index, shards))
    return entries, graph


def _header(header: Message) -> tuple[int, bool]:
    """Return the number of shards, and whether the bytes are big-endian (BundleHeaderProto)."""
    shards, order, version = header.integer(1), header.integer(2), header.message(3)
    if not 1 <= shards <= _MAX_SHARDS:
        raise ReadError(f"{header.what} is damaged: it says that there are {shards} shards.")
    if order not in {0, _BIG_ENDIAN}:
        raise ReadError(f"{header.what} is damaged: byte order {order} does not exist.")
    if version is not None and version.integer(2) > _READER_VERSION:
        raise ReadError(f"{header.what} needs bundle version {version.integer(2)}, which is not known.")
    return shards, order == _BIG_ENDIAN


def _record(data: bytes, key: bytes, index: _Index) -> _Record:
    """Decode and check a BundleEntryProto."""
    found = read_once(data, index.label, many=(_SLICES,))
    if not found.keys() <= _KNOWN:
        # An unknown field may change what the others mean, so it is not passed over.
        raise _damaged(index, key, f"has a field {max(found.keys() - _KNOWN) >> 3} that is not known")
    record = _Record(
        data_type(found.get(_DTYPE, 0), index.label),
        parse_shape(found.get(_SHAPE, b""), index.label),
        found.get(_SHARD, 0),
        found.get(_OFFSET, 0),
        found.get(_SIZE, 0),
        unmask(found.get(_CRC, 0)),
        found.get(_SLICES, ()),
    )
    _check_place(record, key, index)
    return record


def _check_place(record: _Record, key: bytes, index: _Index) -> None:
    shard, offset, nbytes = record.shard, record.offset, record.nbytes
    if shard >= index.shards or offset > _MAX_OFFSET or nbytes > _MAX_OFFSET:
        raise _damaged(index, key, f"points to byte {offset} of shard {shard}, of {index.shards} shards")
    elements = prod(record.shape)
    if record.slices:
        if nbytes or key[:1] == b"\0":
            raise _damaged(index, key, "is partitioned and also has bytes or partitions of its own")
    elif record.dtype.itemsize:
        if nbytes != elements * record.dtype.itemsize:
            raise _damaged(index, key, f"has {nbytes} bytes for {elements} elements of {record.dtype.name}")
    elif nbytes < elements:
        raise _damaged(index, key, f"has {nbytes} bytes for {elements} strings or objects")


def _damaged(index: _Index, key: bytes, clause: str) -> ReadError:
    return ReadError(
        f"{index.label} is damaged: its entry {key[:200].decode(errors='backslashreplace')} {clause}."
    )


def _whole(name: str, record: _Record, index: _Index, shards: Shards) -> Entry:
    # The sum that TensorFlow keeps of strings is not one of their stored bytes.
    checksum = Checksum("crc32c", record.checksum) if record.dtype.itemsize else None
    storage = shards.place(record.shard, record.offset, record.nbytes)
    _note_strings(index, name, storage, record)
    return Entry(name, record.shape, record.dtype.name, storage, index.big_endian, checksum)


def _partitioned(name: str, record: _Record, index: _Index, shards: Shards, regions: list[Region]) -> Entry:
    """Assemble a tensor from its slices, whose checksums are added to `regions`."""
    what = f"{index.label}: {name}"
    tiles: list[Tile] = []
    absent: Absent | None = None
    for chunk in record.slices:
        piece = parse_slice(chunk, what)
        box = piece.box(record.shape, what)
        part = index.slices.pop(piece.key(name), None)
        if part is None or (part.dtype, part.shape) != (record.dtype, box.shape):
            raise ReadError(
                f"{what} is damaged: a slice is missing, listed twice, or not what the tensor says."
            )
        place = shards.place(part.shard, part.offset, part.nbytes)
        if isinstance(place, Absent):
            absent = place
            continue
        tiles.append(Tile(box.origin, box.shape, place))
        _note_strings(index, name, place, part)
        if record.dtype.itemsize:
            regions.append(Region(f"a slice of {name}", place, Checksum("crc32c", part.checksum)))
    check_cover(
        [parse_slice(chunk, what).box(record.shape, what) for chunk in record.slices], record.shape, what
    )
    return Entry(name, record.shape, record.dtype.name, absent or Tiles(tuple(tiles)), index.big_endian)


def _note_strings(index: _Index, name: str, place: Extent | Absent, record: _Record) -> None:
    """Remember a tensor of strings, whose checksum is verified once it is known how much there is to read."""
    if record.dtype.name == "string" and isinstance(place, Extent):
        index.strings.append((name, place, record))


def _damaged_strings(files: Files, index: _Index) -> Iterator[Defect]:
    """Yield a defect for each tensor of strings whose checksum is wrong."""
    for name, place, record in index.strings:
        source = files[place.file]
        try:
            check_strings(source, place, prod(record.shape), record.checksum)
        except MalformedError as error:
            message = f"The strings {name} in {source.label} are damaged: {error}."
            yield Defect(Flaw.CHECKSUM, message, name)


def _object_graph(
    files: Files, shards: Shards, index: _Index, record: _Record | None, limits: Limits
) -> tuple[ObjectGraph | None, list[Defect]]:
    """Return the object graph, if there is one, and what is wrong with it."""
    if record is None:
        return None, []
    if record.dtype.name != "string" or record.shape or record.slices:
        raise ReadError(f"{index.label} is damaged: its object graph is no string.")
    if record.nbytes > limits.max_metadata:
        raise ReadError(
            f"{index.label} has an object graph of {record.nbytes} bytes; at most {limits.max_metadata} are "
            "read (--max-metadata)."
        )
    place = shards.place(record.shard, record.offset, record.nbytes)
    if isinstance(place, Absent):
        return None, []
    source = files[place.file]
    try:
        data = decode_scalar_string(source.read(place.offset, place.nbytes), record.checksum)
    except MalformedError as error:
        message = f"The object graph in {source.label} is damaged: {error}."
        return None, [Defect(Flaw.CHECKSUM, message, OBJECT_GRAPH_KEY)]
    return parse_object_graph(data, f"The object graph in {source.label}", 10 * limits.max_tensors), []


def _missing(graph: ObjectGraph, entries: Sequence[Entry], index: _Index) -> Iterator[Defect]:
    """Yield a defect for each variable that the object graph promises and that the index does not list."""
    keys = {entry.key for entry in entries}
    for key in missing_variables(graph, keys):
        message = f"{index.label} has no entry {key}, which its object graph promises."
        yield Defect(Flaw.MISSING_TENSOR, message, key)
