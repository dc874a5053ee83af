"""HDF5 files: our own parser lists the tensors, or a confined process what that does not know."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Absent, Catalog, Entry, Extent, Fill, Inline, Layout, Storage, Tile, Tiles
from weightaudit.dtypes import itemsize
from weightaudit.errors import ReadError, UnsupportedFormatError
from weightaudit.formats.hdf5_native import (
    DamagedError,
    LimitError,
    Reader,
    UnfamiliarError,
    list_natively,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weightaudit.limits import Limits
    from weightaudit.source import LocalFile

MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Hdf5Data:
    """Where the HDF5 data lies: file number `number`, `size` bytes from `base`."""

    file: LocalFile
    number: int
    base: int
    size: int

    @classmethod
    def whole(cls, file: LocalFile, number: int) -> Hdf5Data:
        """Take all of a file."""
        return cls(file, number, 0, file.size)


@dataclass(frozen=True, slots=True)
class Listing:
    """What the file holds, checked against its size.

    Attributes:
        entries: Tensors; keys are HDF5 paths without a leading slash.
        groups: Attributes that matter, by group path.
    """

    entries: tuple[Entry, ...]
    groups: Mapping[str, Mapping[str, Any]]


def list_hdf5(data: Hdf5Data, limits: Limits) -> Listing:
    """List the tensors of HDF5 data.

    Raises:
        ReadError: The data is damaged, refused, or broke the process that parses it.
    """
    answer = _ask(data, limits)
    entries = tuple(_entry(data, item, limits) for item in answer["datasets"])
    _check_budget(data, entries, limits)
    return Listing(entries, answer["groups"])


def _ask(data: Hdf5Data, limits: Limits) -> Mapping[str, Any]:
    """Return what HDF5 data holds: as we parse it, or as libhdf5 does where we do not know its structures."""
    label = data.file.label
    reader = Reader(data.file.read, data.base, data.size, limits.max_metadata, limits.timeout)
    try:
        return list_natively(reader, limits)
    except DamagedError as error:
        raise ReadError(f"{label} is damaged: {error}.") from None
    except LimitError as error:
        raise ReadError(f"{label} {error}.") from None
    except TimeoutError:
        raise ReadError(
            f"{label} keeps the HDF5 parser busy for more than {limits.timeout:g} s (--timeout); "
            "it is very large, or its metadata is damaged or hostile."
        ) from None
    except UnfamiliarError:
        from weightaudit.formats.lister import ask_lister

        answer = ask_lister(data.file, data.base, data.size, limits)
    if "error" in answer:
        raise ReadError(f"{label} {answer['error']}.")
    return answer


def catalog_hdf5(data: Hdf5Data, limits: Limits, config: Any = None) -> Catalog:
    """Catalog a Keras model or weights file in HDF5.

    Args:
        data: The HDF5 data.
        limits: Bounds on what it may ask for.
        config: Parsed model configuration that came beside it, for the Keras 3 layout.

    Raises:
        ReadError: The data is damaged or refused.
        UnsupportedFormatError: It is HDF5, but neither a Keras model nor Keras weights.
    """
    return interpret(list_hdf5(data, limits), data.file.label, limits, config)


def interpret(listing: Listing, label: str, limits: Limits, config: Any = None) -> Catalog:
    """Decide which generation of Keras wrote a listing, and return its catalog."""
    root = listing.groups.get("", {})
    markers = {"model_config", "layer_names", "nb_layers"}
    if markers & root.keys() or "layer_names" in listing.groups.get("model_weights", {}):
        from weightaudit.formats.keras_legacy import catalog_keras_legacy

        return _without_text(catalog_keras_legacy(listing, label, limits))
    if any(is_keras3_key(entry.key) for entry in listing.entries):
        names = {
            group.replace("\\", "/").removesuffix("vars").rstrip("/"): attributes["name"]
            for group, attributes in listing.groups.items()
            if isinstance(attributes.get("name"), str)
        }
        documents = {"config": config, "names": names}
        return _without_text(Catalog("Keras weights", Layout.KERAS3, listing.entries, documents=documents))
    raise UnsupportedFormatError(
        f"{label} is an HDF5 file, but it holds neither a Keras model nor Keras weights."
    )


def _without_text(catalog: Catalog) -> Catalog:
    """Say of text where weights are that it is not read: Keras 3 makes numbers of it, such as b"1e38"."""
    if all(entry.dtype != "string" for entry in catalog.entries):
        return catalog
    unread = Absent("It is text in the place of weights, and text is not measured.")
    entries = (
        replace(entry, storage=unread)
        if entry.dtype == "string" and (entry.attributes or is_keras3_key(entry.key))
        else entry
        for entry in catalog.entries
    )
    return replace(catalog, entries=tuple(entries))


def is_keras3_key(key: str) -> bool:
    """Say whether a path is one that Keras 3 gives to a variable: ``.../vars/<number>``."""
    parts = key.replace("\\", "/").split("/")
    return len(parts) >= 2 and parts[-2] == "vars" and parts[-1].isdigit()


def _entry(data: Hdf5Data, item: Mapping[str, Any], limits: Limits) -> Entry:
    key, dtype, shape = item["path"], item["dtype"], tuple(item["shape"])
    if len(shape) > 32 or min(shape, default=0) < 0:
        raise ReadError(f"{data.file.label}: {key} has an impossible shape.")
    storage = _storage(data, item, key, prod(shape) * itemsize(dtype), limits)
    header = _extent(data, key, item["header"], 0)
    return Entry(key, shape, dtype, storage, item["big_endian"], header=header)


def _storage(data: Hdf5Data, item: Mapping[str, Any], key: str, nbytes: int, limits: Limits) -> Storage:
    if "inline" in item:
        return Inline(base64.b64decode(item["inline"]))
    if "offset" in item:
        opaque = itemsize(item["dtype"]) == 0
        if not opaque and item["nbytes"] != nbytes:
            raise ReadError(
                f"{data.file.label}: {key} stores {item['nbytes']} bytes where its shape needs {nbytes}."
            )
        return _extent(data, key, item["offset"], item["nbytes"])
    fill = base64.b64decode(item["fill"])
    if "chunks" not in item:
        return Fill(fill)
    return _tiles(data, item, key, fill, limits)


def _tiles(data: Hdf5Data, item: Mapping[str, Any], key: str, fill: bytes, limits: Limits) -> Tiles:
    box = tuple(item["chunk"])
    chunk_bytes = prod(box) * itemsize(item["dtype"])
    declared = prod(item["shape"]) * itemsize(item["dtype"])
    if chunk_bytes > limits.max_chunk or chunk_bytes > max(1 << 20, 64 * declared):
        raise ReadError(
            f"{data.file.label}: {key} is cut into chunks of {chunk_bytes} bytes, which is not plausible."
        )
    _check_grid(data, key, item["shape"], box, [origin for origin, *_ in item["chunks"]])
    tiles: list[Tile] = []
    for origin, mask, offset, stored in item["chunks"]:
        filters = tuple(name for bit, name in enumerate(item["filters"]) if not mask >> bit & 1)
        tiles.append(Tile(tuple(origin), box, _extent(data, key, offset, stored), filters))
    return Tiles(tuple(sorted(tiles, key=lambda tile: tile.origin)), fill)


def _check_grid(
    data: Hdf5Data, key: str, shape: list[int], box: tuple[int, ...], origins: list[list[int]]
) -> None:
    """Refuse chunks beside the grid or the tensor, or listed twice: their numbers would go unseen."""
    if len(box) != len(shape) or any(length < 1 for length in box):
        raise ReadError(f"{data.file.label} is damaged: the chunks of {key} have an impossible shape.")
    for origin in origins:
        if len(origin) != len(shape) or any(
            place % length or not 0 <= place < size
            for place, length, size in zip(origin, box, shape, strict=True)
        ):
            raise ReadError(f"{data.file.label} is damaged: a chunk of {key} lies outside it, at {origin}.")
    if len({tuple(origin) for origin in origins}) != len(origins):
        raise ReadError(f"{data.file.label} is damaged: a chunk of {key} is listed twice.")


def _extent(data: Hdf5Data, key: str, offset: int, nbytes: int) -> Extent:
    if offset < 0 or nbytes < 0 or offset + nbytes > data.size:
        raise ReadError(
            f"{data.file.label} is truncated: {key} needs bytes {offset} to {offset + nbytes}, "
            f"and there are {data.size}."
        )
    return Extent(data.number, data.base + offset, nbytes)


def _check_budget(data: Hdf5Data, entries: tuple[Entry, ...], limits: Limits) -> None:
    declared = sum(_unpacked(entry) for entry in entries)
    budget = limits.budget(data.size)
    if declared > budget:
        raise ReadError(
            f"{data.file.label} declares {declared} bytes of tensors in {data.size} bytes of file, "
            f"more than the {budget} that are plausible."
        )


def _unpacked(entry: Entry) -> int:
    """Return the bytes that reading an entry makes: chunks are unpacked whole."""
    declared = prod(entry.shape) * itemsize(entry.dtype)
    if not isinstance(entry.storage, Tiles):
        return declared
    tiles = sum(prod(tile.shape) for tile in entry.storage.tiles) * itemsize(entry.dtype)
    return max(declared, tiles)
