"""Walks the groups of HDF5 data and lists what they hold, as the confined process would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weightaudit.formats.hdf5_native.attributes import Attribute, parse_attribute, read_value
from weightaudit.formats.hdf5_native.datasets import storage
from weightaudit.formats.hdf5_native.datatypes import parse_datatype
from weightaudit.formats.hdf5_native.groups import read_links
from weightaudit.formats.hdf5_native.headers import LAYOUT, LINKS, SPACE, TYPE, Header, read_header
from weightaudit.formats.hdf5_native.heaps import GlobalHeaps
from weightaudit.formats.hdf5_native.reader import DamagedError, LimitError, Reader, UnfamiliarError
from weightaudit.formats.hdf5_native.superblock import find_superblock

if TYPE_CHECKING:
    from weightaudit.formats.hdf5_native.datatypes import Datatype
    from weightaudit.limits import Limits

_WANTED = ("backend", "keras_version", "model_config", "name", "nb_layers", "nb_params", "training_config")
"""Attributes that say what a tensor is; no other is read."""

_WANTED_LISTS = ("layer_names", "weight_names")
"""Attributes that Keras splits into numbered pieces when they are long."""


def list_natively(reader: Reader, limits: Limits) -> dict[str, Any]:
    """List the datasets of HDF5 data, and the attributes of its groups that matter.

    Args:
        reader: The data.
        limits: Bounds on what it may ask for.

    Returns:
        What `hdf5_lister` answers: ``datasets`` and ``groups``.

    Raises:
        DamagedError: The data contradicts itself.
        LimitError: It asks for more than it may.
        TimeoutError: It takes too long.
        UnfamiliarError: It holds something that is not known here.
    """
    return _Walk(reader, limits).run()


class _Walk:
    """Visits each group once, however many links lead to it."""

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self._superblock = find_superblock(reader)
        self._reader = reader.part(reader.origin + self._superblock.start, self._superblock.size)
        self._limits = limits
        self._heaps = GlobalHeaps(self._reader, self._count)
        self._metadata = 0
        self._chunks = 0
        self._most = 2 * limits.max_tensors
        self._seen: set[int] = set()
        self._known: set[int] = set()
        self._waiting: list[tuple[str, bytes, int]] = []
        self._datasets: list[dict[str, Any]] = []
        self._groups: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, Any]:
        self._enter("", self._superblock.root, read_header(self._reader, self._superblock.root), 0)
        while self._waiting:
            path, table, depth = self._waiting.pop()
            prefix = f"{path}/" if path else ""
            links = read_links(self._reader, self._superblock, table, self._most)
            if len(links) > self._most:
                raise LimitError(
                    f"holds more than {self._most} links in a group, which is the limit (--max-tensors)"
                )
            for name, address in links:
                self._reader.check_time()
                self._count(len(path) + len(name))
                child = prefix + name.decode("utf-8", "surrogateescape")
                if address in self._seen:
                    # By the second name Keras would find tensors that are not listed under it.
                    raise LimitError(f"leads to one group twice, at {child} too, as no saved model does")
                header = read_header(self._reader, address)
                if LINKS in header.messages:
                    self._enter(child, address, header, depth + 1)
                else:
                    self._add_dataset(child, address, header)
        return {"datasets": self._datasets, "groups": self._groups}

    def _enter(self, path: str, address: int, header: Header, depth: int) -> None:
        """Read the attributes of a group, and keep its links for later."""
        messages = header.messages
        if LINKS not in messages or SPACE in messages or TYPE in messages or LAYOUT in messages:
            raise UnfamiliarError(f"the object at {address} is something else than a group")
        self._seen.add(address)
        if depth > self._limits.max_depth:
            raise LimitError(f"nests groups more than {depth - 1} deep at {path}")
        if len(self._seen) > self._most:
            raise LimitError(f"holds more than {self._most} groups, which is the limit (--max-tensors)")
        if header.attributes:
            self._read_attributes(path, header)
        self._waiting.append((path, messages[LINKS], depth))

    def _count(self, nbytes: int) -> None:
        """Count bytes of names and attributes, and refuse what is more than the limit."""
        self._reader.spend(nbytes)
        self._metadata += nbytes
        if self._metadata > self._limits.max_metadata:
            raise LimitError(
                f"has more than {self._limits.max_metadata} bytes of names and attributes (--max-metadata)"
            )

    def _read_attributes(self, path: str, header: Header) -> None:
        attributes = _by_name(header)
        values: dict[str, Any] = {
            name: read_value(attributes[name], self._heaps) for name in _WANTED if name in attributes
        }
        for name in _WANTED_LISTS:
            if name in attributes:
                values[name] = self._texts(attributes, name)
            elif f"{name}0" in attributes:
                values[name] = self._pieces(attributes, name)
        if values:
            self._groups[path] = values

    def _pieces(self, attributes: dict[str, Attribute], name: str) -> list[str]:
        """Return a list that is split into numbered attributes."""
        joined: list[str] = []
        piece = 0
        while f"{name}{piece}" in attributes:
            joined += self._texts(attributes, f"{name}{piece}")
            piece += 1
        return joined

    def _texts(self, attributes: dict[str, Attribute], name: str) -> list[str]:
        """Return an attribute that has to be text, or a list of it."""
        attribute = attributes[name]
        # h5py writes a list without items as one of numbers.
        if attribute.space.elements == 0:
            return []
        value = read_value(attribute, self._heaps)
        items = value if isinstance(value, list) else [value]
        texts = [item for item in items if isinstance(item, str)]
        if len(texts) != len(items):
            raise DamagedError(f"its attribute {name} is not a list of text")
        return texts

    def _add_dataset(self, path: str, address: int, header: Header) -> None:
        messages = header.messages
        if SPACE not in messages or TYPE not in messages or LAYOUT not in messages:
            raise UnfamiliarError(f"the object at {address} is neither a group nor a dataset")
        if len(self._datasets) >= self._limits.max_tensors:
            raise LimitError(
                f"holds more than {len(self._datasets)} tensors, which is the limit (--max-tensors)"
            )
        self._known.add(address)
        if len(self._datasets) > 2 * len(self._known) + self._limits.max_aliases:
            raise LimitError(f"names the same tensors {len(self._datasets)} times, as no saved model does")
        kind = parse_datatype(messages[TYPE])
        if kind.is_opaque:
            kind = self._opaque(kind, header)
        most = self._limits.max_tensors - self._chunks
        entry = storage(self._reader, self._superblock, messages, kind, most)
        entry["path"], entry["dtype"], entry["big_endian"] = path, kind.name, kind.big_endian
        entry["header"] = self._superblock.start + address
        if "chunks" in entry:
            self._chunks += len(entry["chunks"])
            if self._chunks > self._limits.max_tensors:
                raise LimitError(
                    f"holds more than {self._limits.max_tensors} chunks, which is the limit (--max-tensors)"
                )
        self._datasets.append(entry)

    def _opaque(self, kind: Datatype, header: Header) -> Datatype:
        """Return the type of opaque elements, which Keras names beside them, or not even that."""
        declared = _by_name(header).get("dtype")
        name = None if declared is None else read_value(declared, self._heaps)
        if not isinstance(name, str):
            name = "bfloat16" if kind.size == 2 else kind.name
        return kind._replace(name=name)


def _by_name(header: Header) -> dict[str, Attribute]:
    """Return the attributes of an object by their names."""
    attributes = dict(parse_attribute(body) for body in header.attributes)
    if len(attributes) != len(header.attributes):
        raise DamagedError("an object has two attributes of one name")
    return attributes
