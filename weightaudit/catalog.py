"""What a format module returns: everything about a container except the numbers, as plain data.

Nothing here is a handle, so a catalog can be made in another process and sent back as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

Json = Any
"""A parsed JSON document of a stranger's file: nothing about its shape is promised."""


class Layout(StrEnum):
    """How the keys of a container are to be understood; `weightaudit.identity` has a module for each."""

    KERAS3 = "keras3"
    KERAS_LEGACY = "keras_legacy"
    TENSORFLOW = "tensorflow"


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes of a tensor that lie in one piece: `nbytes` at `offset` of file number `file`."""

    file: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Tile:
    """A box of a tensor: where it starts, its shape, where its bytes are, and how they are packed.

    Attributes:
        origin: Index of its first element in the tensor.
        shape: Shape of the stored box; it may hang over the tensor's edge, as HDF5 chunks do.
        extent: Its stored bytes.
        filters: Filters to undo, in the order in which they were applied when it was written.
    """

    origin: tuple[int, ...]
    shape: tuple[int, ...]
    extent: Extent
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tiles:
    """A tensor stored as boxes (HDF5 chunks, partitioned TensorFlow variables)."""

    tiles: tuple[Tile, ...]
    fill: bytes = b""
    """One element's bytes for places that no tile covers; empty means zero."""


@dataclass(frozen=True, slots=True)
class Inline:
    """A small tensor whose bytes came with the catalog."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Fill:
    """A tensor that was declared and never written: every element has the same bytes (empty: zero)."""

    element: bytes = b""


@dataclass(frozen=True, slots=True)
class Absent:
    """A tensor that the container lists and whose bytes are not there, with the reason in one sentence."""

    reason: str


Storage = Extent | Tiles | Inline | Fill | Absent


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum that the container holds: `kind` is ``crc32`` or ``crc32c`` (unmasked)."""

    kind: str
    value: int


_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored tensor.

    Attributes:
        key: Name in the container, unique there.
        shape: Stored shape.
        dtype: Storage type, as in `weightaudit.dtypes`; any other name is listed and not measured.
        storage: Where its bytes are.
        big_endian: Byte order of its elements.
        checksum: Checksum of its bytes, if the container has one per tensor.
        attributes: What the container says beside it, such as the layer and weight name.
        header: Where the container describes it, if that is beside its bytes: an HDF5 object header,
            of no known length.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    storage: Storage
    big_endian: bool = False
    checksum: Checksum | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: _NO_ATTRIBUTES)
    header: Extent | None = None

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The stretches of files that hold its bytes; none if they are inline, a fill value, or absent."""
        if isinstance(self.storage, Tiles):
            return tuple(tile.extent for tile in self.storage.tiles)
        return (self.storage,) if isinstance(self.storage, Extent) else ()


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes of a file under one checksum, such as a zip member: verified as they are read."""

    label: str
    extent: Extent
    checksum: Checksum


class Flaw(StrEnum):
    """Kinds of damage that are seen in the container rather than in the numbers."""

    CHECKSUM = "checksum"
    MISSING_DATA = "missing data"
    MISSING_TENSOR = "missing tensor"
    INCONSISTENT = "inconsistent"
    ALIAS = "alias"
    REACH = "reach"
    """No damage: loading or running the model does more than compute with what is stored."""


@dataclass(frozen=True, slots=True, order=True)
class Defect:
    """Something wrong with the container itself.

    Attributes:
        flaw: Kind of damage.
        message: One sentence for a person, naming the file.
        tensor: Name (or, before identity is known, key) of the tensor it is about; empty for none.
    """

    flaw: Flaw
    message: str
    tensor: str = ""


class Variable(NamedTuple):
    """What an object graph says about an object with a value: its number, key, and full name."""

    node: int
    key: str
    full_name: str


class Slot(NamedTuple):
    """A value that an optimizer keeps for a variable: the numbers of both objects, and its name."""

    variable: int
    name: str
    node: int


@dataclass(frozen=True, slots=True)
class ObjectGraph:
    """The objects of a TensorFlow 2 checkpoint, by number; most are variables, which hold nothing.

    Attributes:
        size: How many there are.
        children: Number of each child by local name, for every object that has children.
        variables: The objects that have a value under a key of the checkpoint.
        slots: What optimizers keep for them.
        others: Objects that have something else stored, such as a table.
    """

    size: int
    children: Mapping[int, Mapping[str, int]] = field(default_factory=dict[int, "Mapping[str, int]"])
    variables: Sequence[Variable] = ()
    slots: Sequence[Slot] = ()
    others: AbstractSet[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Catalog:
    """All tensors of a saved model, and what is needed to know what each one is.

    Attributes:
        container: What the container is called in a report, such as ``Keras archive``.
        layout: How its keys are to be understood.
        entries: Its tensors, in the container's order.
        regions: Byte ranges under a checksum.
        defects: Damage seen while the catalog was made.
        documents: Parsed configuration, by name: ``config``, ``metadata``, ``names``, ...
        notes: Sentences for the user that are no findings, such as stale shards.
        graph: Which object each key belongs to, where the container says so.
    """

    container: str
    layout: Layout
    entries: tuple[Entry, ...]
    regions: tuple[Region, ...] = ()
    defects: tuple[Defect, ...] = ()
    documents: Mapping[str, Json] = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()
    graph: ObjectGraph | None = None
