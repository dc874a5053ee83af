"""TensorFlow checkpoints: tensor bytes replaced in the shards, and their checksums in the index."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import groupby
from typing import TYPE_CHECKING

from weightaudit.catalog import Extent, Tiles
from weightaudit.checksums import crc32c
from weightaudit.errors import WriteError
from weightaudit.formats.protobuf import Message
from weightaudit.formats.sstable import mask, read_table
from weightaudit.writing.edits import Bytes, Place, tile_contents
from weightaudit.writing.messages import FIXED32, with_field
from weightaudit.writing.table import encode_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from weightaudit.formats.sstable import Pair
    from weightaudit.source import Files, LocalFile
    from weightaudit.writing.output import Output

_CHECKSUM = 6 << 3 | FIXED32
"""BundleEntryProto.crc32c."""


def write_bundle(output: Output, prefix: str, places: Sequence[Place]) -> bytes | None:
    """Write the shards that change, and the index.

    Args:
        output: Where the copy is made.
        prefix: Path of the checkpoint below the root, without ``.index``.
        places: What changes.

    Returns:
        The new index, or None if it is as it was, so that it is not written here.

    Raises:
        ReadError: The checkpoint is damaged, or changed meanwhile.
        WriteError: A file cannot be written.
    """
    if not places:
        return None
    sums: dict[Extent, int] = {}
    with ExitStack() as stack:
        touched = sorted(frozenset[int]().union(*(place.files for place in places)))
        destinations = {
            number: stack.enter_context(output.patched(output.files[number].label)) for number in touched
        }
        for extent, start, raw in _stored(output.files, places):
            destinations[extent.file].write(extent.offset + start, raw)
            sums[extent] = crc32c(raw, sums.get(extent, 0))
    with output.files.borrow(f"{prefix}.index") as source:
        pairs = list(read_table(source))
        renewed = list(_renewed(output.files, source, prefix, pairs, sums))
    if renewed == pairs:
        return None
    index = encode_table(renewed)
    with output.create(f"{prefix}.index") as destination:
        destination.write(0, index)
    return index


def refuse_version_1(name: str, places: Sequence[Place]) -> None:
    """Raise WriteError if a tensor of a version 1 checkpoint would change: none has a place of its own."""
    if places:
        raise WriteError(
            f"{name} is a checkpoint of version 1, which is read but not changed; load it in TensorFlow "
            "and save it again with tf.train.Checkpoint or tf.compat.v1.train.Saver."
        )


def _stored(files: Files, places: Sequence[Place]) -> Iterator[tuple[Extent, int, Bytes]]:
    """Yield the new bytes of each stretch, in its own order, as (stretch, first byte in it, bytes).

    The copies of a tensor that is stored twice get theirs at once: to make them may be much work.
    """
    for _, group in groupby(places, key=lambda place: place.name):
        same = list(group)
        whole = [place.entry.storage for place in same if isinstance(place.entry.storage, Extent)]
        for start, raw in same[0].pieces() if whole else ():
            for extent in whole:
                yield extent, start, raw
        for place in same:
            if isinstance(place.entry.storage, Tiles):
                for tile, _, new in tile_contents(files, place, place.entry.storage):
                    yield tile.extent, 0, new


def _renewed(
    files: Files, source: LocalFile, prefix: str, pairs: Sequence[Pair], sums: Mapping[Extent, int]
) -> Iterator[Pair]:
    """Yield the pairs of an index with the checksums of the stretches that were written."""
    held = {files[number].label: number for number in {extent.file for extent in sums}}
    count = Message(pairs[0][1], source.label).integer(1)
    for key, value in pairs:
        entry = Message(value, source.label)
        shard = f"{prefix}.data-{entry.integer(3):05d}-of-{count:05d}"
        extent = Extent(held.get(shard, -1), entry.integer(4), entry.integer(5))
        is_written = extent.nbytes > 0 and extent in sums
        renewed = with_field(value, _CHECKSUM, mask(sums[extent]), source.label) if is_written else value
        yield key, renewed
