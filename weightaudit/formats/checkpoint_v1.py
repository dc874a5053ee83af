"""TensorFlow checkpoints of version 1: sorted string tables that hold the tensors themselves.

Source of the format: tensorflow/core/util/saved_tensor_slice.proto and tensor_slice_writer.cc. The
first record of a table lists its tensors and the slices of each; one record per slice holds its
values as repeated numbers of a TensorProto. These are turned into the bytes of the tensor and put
into a temporary file without a name, so that a tensor is read like any other. One record at a
time is in memory, which for these files means the largest slice.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import IO

from weightaudit.catalog import Absent, Catalog, Defect, Entry, Extent, Flaw, Layout, Storage, Tile, Tiles
from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import Message
from weightaudit.formats.sstable import read_table
from weightaudit.formats.tensor_proto import encode_values
from weightaudit.formats.tensor_slice import Box, check_cover, parse_slice
from weightaudit.formats.tensorflow_types import DataType, data_type, parse_shape
from weightaudit.limits import Limits
from weightaudit.source import ByteSource, Files, SpooledFile

MAX_BLOCK = (1 << 31) - 1
"""Most bytes of one block: a slice is one record, and a record is a message of less than 2 GiB."""

_LABEL = "values of a V1 checkpoint"
_META, _DATA = 1, 2
_SHARD_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})", re.DOTALL)


@dataclass(slots=True)
class _Tensor:
    """A tensor while its slices are gathered: the places of those listed, and the bytes of those read."""

    shape: tuple[int, ...]
    dtype: DataType
    boxes: dict[bytes, Box] = field(default_factory=dict[bytes, Box])
    found: dict[bytes, tuple[int, int]] = field(default_factory=dict[bytes, tuple[int, int]])


def catalog_checkpoint_v1(files: Files, shards: Sequence[str], limits: Limits) -> Catalog:
    """List the tensors of a version 1 checkpoint, and unpack their values.

    Args:
        files: Opens the shards, and takes over the temporary file.
        shards: Path of each shard below the root, in order.
        limits: Bounds on what is read and unpacked.

    Returns:
        Tensors by name. A shard that the others' names promise and that is not listed is a defect.

    Raises:
        ReadError: A shard is damaged, or cannot be unpacked.
    """
    tensors: dict[str, _Tensor] = {}
    sources = [files[files.open(shard)] for shard in shards]
    budget = limits.budget(sum(source.size for source in sources))
    with tempfile.TemporaryFile() as spool:
        try:
            for source in sources:
                _read_shard(source, tensors, spool, limits.max_tensors, budget)
            spool.flush()
        except OSError as error:
            raise ReadError(f"There is no room to unpack {shards[0]} ({error.strerror}).") from error
        number = files.adopt(SpooledFile(spool.fileno(), _LABEL))
    missing = _missing_shards(shards)
    return Catalog(
        container="TensorFlow checkpoint (V1)",
        layout=Layout.TENSORFLOW,
        entries=tuple(_entry(name, tensors[name], number, missing) for name in sorted(tensors)),
        defects=tuple(
            Defect(Flaw.MISSING_DATA, f"{name} is missing, with all tensors in it.") for name in missing
        ),
    )


def _missing_shards(shards: Sequence[str]) -> list[str]:
    """Return the names of the shards that must exist if the ones that are listed do."""
    matches = [match for match in map(_SHARD_NAME.fullmatch, shards) if match]
    if not matches:
        return []
    base, count = matches[0][1], int(matches[0][3])
    listed = {int(match[2]) for match in matches}
    return [f"{base}-{number:05d}-of-{count:05d}" for number in range(count) if number not in listed]


def _read_shard(
    source: ByteSource, tensors: dict[str, _Tensor], spool: IO[bytes], most: int, budget: int
) -> None:
    """Add what one shard lists and holds to `tensors`, and its values to `spool`."""
    pairs = read_table(source, max_block=min(MAX_BLOCK, budget), max_total=budget)
    key, value = next(pairs, (b"-", b""))
    meta = None if key else Message(value, source.label).message(_META)
    if meta is None:
        raise ReadError(f"{source.label} is damaged: its list of tensors is missing.")
    for listed in meta.messages(1):
        _list_slices(listed, tensors)
        if len(tensors) > most:
            raise ReadError(
                f"{source.label} lists more than {most} tensors, which is the limit (--max-tensors)."
            )
    for key, value in pairs:
        data = Message(value, source.label).message(_DATA)
        tensor = tensors.get(data.text(1)) if data else None
        values = data.message(3) if data else None
        if data is None or tensor is None or values is None or key not in tensor.boxes or key in tensor.found:
            raise ReadError(
                f"{source.label} is damaged: it holds a slice that it does not list, or holds it twice."
            )
        piece = parse_slice(data.chunk(2) or b"", source.label)
        raw = encode_values(values, tensor.dtype)
        expected = prod(tensor.boxes[key].shape) * tensor.dtype.itemsize
        if piece.key(data.text(1)) != key or (tensor.dtype.itemsize and len(raw) != expected):
            raise ReadError(
                f"{source.label} is damaged: a slice of {data.text(1)} has {len(raw)} bytes, not {expected}."
            )
        tensor.found[key] = (spool.tell(), len(raw))
        spool.write(raw)
        if spool.tell() > budget:
            raise ReadError(f"{source.label} unpacks to more than the {budget} bytes that are plausible.")


def _list_slices(listed: Message, tensors: dict[str, _Tensor]) -> None:
    """Add the slices of one SavedSliceMeta."""
    what, name = listed.what, listed.text(1)
    dtype = data_type(listed.integer(3), what)
    shape = parse_shape(listed.chunk(2) or b"", what)
    tensor = tensors.setdefault(name, _Tensor(shape, dtype))
    if (tensor.shape, tensor.dtype) != (shape, dtype):
        raise ReadError(f"{what} is damaged: it says another shape or type of {name} than another shard.")
    for chunk in listed.chunks(4):
        piece = parse_slice(chunk, what)
        key = piece.key(name)
        if key in tensor.boxes:
            raise ReadError(f"{what} is damaged: a slice of {name} is listed twice.")
        tensor.boxes[key] = piece.box(shape, what)


def _entry(name: str, tensor: _Tensor, number: int, missing: Sequence[str]) -> Entry:
    if tensor.boxes.keys() != tensor.found.keys():
        raise ReadError(
            f"The checkpoint is damaged: values of {name} are missing; copy the whole checkpoint again."
        )
    try:
        check_cover(list(tensor.boxes.values()), tensor.shape, name)
    except ReadError:
        if not missing:
            raise
        return Entry(
            name,
            tensor.shape,
            tensor.dtype.name,
            Absent(f"A part of it is in {missing[0]}, which is missing."),
        )
    tiles = [
        Tile(tensor.boxes[key].origin, tensor.boxes[key].shape, Extent(number, *tensor.found[key]))
        for key in tensor.boxes
    ]
    storage: Storage = tiles[0].extent if len(tiles) == 1 else Tiles(tuple(tiles))
    return Entry(name, tensor.shape, tensor.dtype.name, storage)
