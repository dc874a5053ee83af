"""A saved model, opened: its tensors, what each one is, and their numbers on request."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from weightaudit.catalog import Defect, Entry, Extent, Flaw, Region
from weightaudit.dtypes import itemsize
from weightaudit.engine.decoding import Decoder, decoder_for
from weightaudit.engine.reading import read_pieces
from weightaudit.errors import ReadError, UsageError
from weightaudit.formats import Opened, open_catalog
from weightaudit.identity import identify
from weightaudit.identity.order import configuration, layer_order
from weightaudit.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from weightaudit.identity.topology import Topology
    from weightaudit.source import Files
    from weightaudit.tensor import TensorInfo


_MOST_ALIASES = 1000
"""Tensors that are named because they share bytes with others; the rest is counted."""


class Checkpoint:
    """An open saved model. Use it as a context manager, or call `close`.

    Attributes:
        container: Kind of container, such as ``SavedModel``.
        tensors: Every tensor, in the order of the container.
        defects: Damage that was seen while it was opened.
        notes: Remarks for the user that are no findings.
        regions: Byte ranges under one checksum.
        kind: What it is on disk.
        main: Name of its main file below `files.root`, the prefix of a TensorFlow checkpoint, or
            empty for a directory.
    """

    def __init__(self, opened: Opened) -> None:
        catalog = opened.catalog
        identified = identify(catalog)
        self.files = opened.files
        self.kind = opened.kind
        self.main = opened.name
        self.container = catalog.container
        self.tensors: tuple[TensorInfo, ...] = tuple(info for info, _ in identified.tensors)
        self.notes: tuple[str, ...] = (*catalog.notes, *identified.notes)
        # The second copy of a variable is not measured; that it is the same is for its checksum to prove.
        self.regions = (*catalog.regions, *_regions(identified.copies.values()))
        self._entries = {info.name: entry for info, entry in identified.tensors}
        self._copies = identified.copies
        # Only the configuration is asked for again; an object graph is larger than all else.
        self._catalog = replace(catalog, entries=(), graph=None)
        found = _by_name(catalog.defects, self._by_key) if catalog.defects else ()
        self.defects: tuple[Defect, ...] = tuple(
            sorted({*found, *identified.defects, *_aliases(identified.tensors, self.files)})
        )

    def __getitem__(self, name: str) -> TensorInfo:
        """Return the tensor of that name.

        Raises:
            UsageError: There is none.
        """
        try:
            return self._infos[name]
        except KeyError:
            raise UsageError(f"There is no tensor {name!r}; iterate `tensors` for their names.") from None

    def __contains__(self, tensor: object) -> bool:
        """Say whether there is a tensor of that name, or that very tensor."""
        if isinstance(tensor, str):
            return tensor in self._infos
        return tensor in self.tensors

    def __repr__(self) -> str:
        return f"<Checkpoint {self.main or self.files.root.name}: {self.container}, {len(self)} tensors>"

    def __iter__(self) -> Iterator[TensorInfo]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def entry(self, info: TensorInfo) -> Entry:
        """Return where and how a tensor is stored."""
        return self._entries[info.name]

    def entries(self, info: TensorInfo) -> tuple[Entry, ...]:
        """Return every place where a tensor is stored: Keras 3 exports store each variable twice."""
        copy = self._copies.get(info.key)
        return (self.entry(info),) if copy is None else (self.entry(info), copy)

    def decoder(self, info: TensorInfo) -> Decoder:
        """Return what turns the stored bytes of a tensor into the numbers that count.

        Raises:
            ReadError: The tensor is quantized, and its scale is missing or cannot be read.
        """
        return decoder_for(info, self.entry(info), self._sibling)

    def read(self, tensor: str | TensorInfo) -> NDArray[Any]:
        """Return a tensor as an array of float32 or float64; quantized ones as the weights they stand for.

        Complex numbers come as complex64 or complex128. The array has the shape of the tensor, or of the
        weights where several share a byte.

        Args:
            tensor: The tensor, or its name.

        Raises:
            UsageError: There is no such tensor, it holds no numbers, or the checkpoint was closed.
            ReadError: Its bytes are missing or damaged.
        """
        info = self._open_one(tensor)
        if not info.is_numeric:
            raise UsageError(f"{info.name} is of type {info.dtype} and holds no numbers.")
        decoder = self.decoder(info)
        parts = 2 if info.dtype.startswith("complex") else 1
        blocks = [
            values.copy()
            for first, raw in read_pieces(self.files, self.entry(info), 0, info.size)
            for _, values in decoder.blocks(first, raw, max(1, info.size * 2))
        ]
        flat = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
        if parts == 2:
            # Arithmetic would make NaN of the other part of a number with an infinite one.
            flat = flat.view(f"c{2 * flat.itemsize}")
        return flat.reshape(decoder.info.shape)

    def read_stored(self, tensor: str | TensorInfo) -> bytes:
        """Return the bytes of a tensor in row-major order, as they are stored once unpacked.

        Args:
            tensor: The tensor, or its name.

        Raises:
            UsageError: There is no such tensor, or the checkpoint was closed.
            ReadError: Its bytes are missing or damaged.
        """
        info = self._open_one(tensor)
        pieces = read_pieces(self.files, self.entry(info), 0, info.size)
        return b"".join(raw.tobytes() for _, raw in pieces)

    @cached_property
    def _infos(self) -> dict[str, TensorInfo]:
        return {info.name: info for info in self.tensors}

    @cached_property
    def _by_key(self) -> dict[str, TensorInfo]:
        return {info.key: info for info in self.tensors}

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Paths of all configured layers, in the configuration's order; empty if none was saved."""
        return layer_order(self._catalog)

    @cached_property
    def topology(self) -> Topology:
        """Which layer feeds which; empty if no configuration was saved."""
        from weightaudit.identity.topology import read_topology

        return read_topology(configuration(self._catalog))

    def check_unchanged(self) -> None:
        """Raise ReadError if a file was written to since it was opened."""
        self.files.check_unchanged()

    def close(self) -> None:
        """Close the files."""
        self.files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_one(self, tensor: str | TensorInfo) -> TensorInfo:
        """Return the tensor that is to be read; raise UsageError if there is none, or none any more."""
        if self.files.is_closed:
            raise UsageError("The checkpoint was closed; read its tensors inside the `with` block.")
        return self[tensor if isinstance(tensor, str) else tensor.name]

    def _sibling(self, key: str) -> NDArray[Any]:
        info = self._by_key.get(key)
        if info is None:
            raise ReadError(f"the quantization parameters {key} are missing")
        if not info.is_numeric or info.dtype.startswith("complex"):
            raise ReadError(f"the quantization parameters {key} are of type {info.dtype}, not real numbers")
        return self.read(info.name)


def open_checkpoint(
    path: str | os.PathLike[str],
    *,
    limits: Limits = DEFAULT_LIMITS,
    config: str | os.PathLike[str] | None = None,
) -> Checkpoint:
    """Open a saved model and learn what its tensors are, without reading them.

    Args:
        path: A ``.keras`` or HDF5 file, an index of weight shards, a SavedModel directory, or the
            prefix (or ``.index`` file) of a TensorFlow checkpoint. Content decides, not the suffix.
        limits: Bounds on what the file may ask for.
        config: Configuration of the model, for weights and checkpoints that were saved without one:
            the ``config.json`` of a ``.keras`` file, what ``model.to_json()`` gives, or a whole model.

    Raises:
        ReadError: It is damaged, refused, or not there. `weightaudit.audit`, which takes globs and versions
            too, raises UsageError for a path that is not there.
        UnsupportedFormatError: It is not a saved TensorFlow or Keras model.
        UsageError: The configuration cannot be read, or is not that of this model.
    """
    opened = open_catalog(Path(path), limits)
    try:
        return Checkpoint(opened) if config is None else _configured(opened, os.fspath(config), limits)
    except BaseException:
        opened.files.close()
        raise


def _configured(opened: Opened, config: str, limits: Limits) -> Checkpoint:
    """Open weights with the configuration in a file; raise UsageError if they do not belong together."""
    from weightaudit.identity.supplied import check_supplied, read_supplied, with_supplied

    document = read_supplied(config, limits)
    checkpoint = Checkpoint(opened._replace(catalog=with_supplied(opened.catalog, document, config)))
    check_supplied(checkpoint.tensors, document, config)
    return checkpoint


def _regions(entries: Iterable[Entry]) -> Iterator[Region]:
    for entry in entries:
        if isinstance(entry.storage, Extent) and entry.checksum:
            yield Region(f"The second copy {entry.key}", entry.storage, entry.checksum)


def _by_name(defects: Sequence[Defect], infos: dict[str, TensorInfo]) -> Iterator[Defect]:
    """Say the defects of formats, which know keys only, with the names that users know."""
    for defect in defects:
        info = infos.get(defect.tensor)
        yield Defect(defect.flaw, defect.message, info.name) if info else defect


def _aliases(tensors: Sequence[tuple[TensorInfo, Entry]], files: Files) -> Iterator[Defect]:
    """Find tensors that claim the same bytes of a file, and such whose own parts do."""
    extents = [
        (extent.file, extent.offset, extent.nbytes, info.name)
        for info, entry in tensors
        if prod(entry.shape) * itemsize(entry.dtype)
        for extent in entry.extents
    ]
    extents.sort()
    end, owner, last = 0, "", -1
    named: set[str] = set()
    for file, offset, nbytes, name in extents:
        if file == last and offset < end and name not in named:
            named.add(name)
            if len(named) <= _MOST_ALIASES:
                label, other = files[file].label, owner if owner != name else "another part of itself"
                message = f"It shares bytes of {label} with {other}; a change of one changes the other."
                yield Defect(Flaw.ALIAS, message, name)
        if file != last or offset + nbytes > end:
            end, owner, last = offset + nbytes, name, file
    if len(named) > _MOST_ALIASES:
        yield Defect(Flaw.ALIAS, f"{len(named) - _MOST_ALIASES} further tensors share bytes with others.")
