"""Numbers that a SavedModel keeps in its graph instead of in variables: the constants of saved_model.pb.

Source of the format: graph.proto, function.proto, node_def.proto, attr_value.proto and tensor.proto of
tensorflow/core/framework. The graph is gone through by position: what a constant holds is not read here,
but listed as the bytes of the file that it is, unless it is a list that has to be unpacked.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING

from weightaudit.catalog import Absent, Entry, Extent, Fill, Inline, Storage
from weightaudit.errors import ReadError
from weightaudit.formats.graph_nodes import AHEAD, ATTRIBUTES, NAME, OPERATION, Ahead, Field, nodes
from weightaudit.formats.graph_operations import Operations, may_reach
from weightaudit.formats.protobuf import CHUNK, Message, read_fields, read_once
from weightaudit.formats.tensor_proto import LISTS, PLAIN, encode_values
from weightaudit.formats.tensorflow_types import DATA_TYPES, DataType, parse_shape

if TYPE_CHECKING:
    from weightaudit.limits import Limits
    from weightaudit.source import ByteSource

LEAST_ELEMENTS = 16
"""Smaller constants are operands, such as an epsilon or the factors of a colour conversion."""

CONSTANT = MappingProxyType({"operation": "Const"})
"""The attributes of an entry that is a constant of a graph."""

_KEY, _VALUE = 1, 2  # an entry of a map
_TYPE, _TENSOR, _PLACEHOLDER = 6, 8, 9  # AttrValue
_SHAPE, _CONTENT = 2, 4  # TensorProto

_CONSTANTS = frozenset({b"Const", b"HostConst"})
_INTEGERS = "int8 int4 uint4 int2 uint2 qint8 quint8 qint16 quint16 qint32"
_WEIGHTS = frozenset({*PLAIN, "float16", "bfloat16", *_INTEGERS.split()})
"""Types that weights have, also where they are not measured; shapes, axes and tables have the others."""
_GIVEN = DataType("unknown", 0)
"""The type of a constant whose function leaves it to its callers."""
_HALVES = frozenset({"float16", "bfloat16"})

_NUMBERS = frozenset(number for number, dtype in DATA_TYPES.items() if dtype.name in _WEIGHTS)
_USUAL_TYPE = (
    bytes([5 << 3 | CHUNK, 11, 1 << 3 | CHUNK, 5]) + b"dtype" + bytes([2 << 3 | CHUNK, 2, _TYPE << 3])
)
"""How an attribute that gives a type begins; the number of the type follows, and ends it."""

_LONGEST_LIST = 8 << 20
_MOST_UNPACKED = 64 << 20  # these are kept in memory; lists of one number are not
_MOST_ATTRIBUTES = 4096  # of one node; operations have some ten


def read_constants(
    source: ByteSource,
    number: int,
    graphs: Sequence[Field],
    limits: Limits,
    operations: Operations | None = None,
) -> tuple[Entry, ...]:
    """List the constants of graphs that hold floating point or quantized numbers.

    Those of fewer than `LEAST_ELEMENTS` elements are left out, and other integers, truth values and
    strings, which are shapes, axes and tables. So are those that are zero throughout and say so in one
    number: these are initial values.

    Args:
        source: saved_model.pb.
        number: Its number among the model's open files.
        graphs: Where each GraphDef lies.
        limits: Bounds on the number of constants and on what they unpack to.
        operations: Is shown the nodes that may be of a kind that it counts, so that they are gone through
            once; none by default.

    Returns:
        Entries with the attributes `CONSTANT` and the key ``saved_model.pb/function/node``, or
        ``saved_model.pb/node`` outside of functions. From the second graph on, its number stands behind
        the name of the file. A constant whose numbers cannot be had is absent, and so is one whose value
        or type its function takes from its callers.

    Raises:
        ReadError: The file is damaged, or holds more than the limits allow.
    """
    ahead = Ahead(source, limits)
    gathered = _Gathered(ahead, number, limits)
    for index, graph in enumerate(graphs):
        prefix = f"{source.label} {index + 1}/" if index else f"{source.label}/"
        for function, node in nodes(ahead, graph):
            held = gathered.hold(node)
            if operations and (not held or (ahead.mentions(may_reach) and may_reach(held))):
                operations.meet(ahead, index, function, node)
            if not held or not _is_other(held):
                gathered.add(f"{prefix}{function}/" if function else prefix, node)
    return tuple(gathered.entries.values())


class _Gathered:
    """The constants among the nodes of one file, within its limits."""

    def __init__(self, source: Ahead, number: int, limits: Limits) -> None:
        self.entries: dict[str, Entry] = {}
        self._source = source
        self._number = number
        self._most = limits.max_tensors
        self._most_named = limits.max_metadata
        self._budget = limits.budget(source.size)
        self._repeated = self._unpacked = self._named = 0

    def hold(self, node: Field) -> bytes:
        """Count a node and return its bytes; none of one so large that it is looked at by position."""
        _, start, end = node
        self._source.count_node()
        return self._source.read(start, end) if end - start <= AHEAD else b""

    def add(self, path: str, node: Field) -> None:
        """Add a node, if it is a constant that counts."""
        source = self._source
        found = _constant(source, node)
        entry = self._entry(path, *found) if found else None
        if entry is None:
            return
        # The name of each constant repeats that of its function.
        self._named += len(entry.key)
        if self._named > self._most_named:
            raise ReadError(
                f"{source.label} names its constants with more than {self._most_named} characters, "
                "which is the limit (--max-metadata)."
            )
        if entry.key in self.entries:
            raise source.damaged(node[1], f"there is a second constant {entry.key}")
        if len(self.entries) == self._most:
            raise source.beyond(f"{self._most} constants")
        self.entries[entry.key] = entry

    def _entry(self, path: str, name: str, dtype: DataType, tensor: Field | None) -> Entry | None:
        parts = self._source.parts(tensor) if tensor else {}
        shape = parse_shape(self._source.small(parts.get(_SHAPE)), self._source.label)
        if tensor and prod(shape) < LEAST_ELEMENTS:
            return None
        if tensor is None or dtype is _GIVEN:
            storage: Storage | None = Absent(
                "What calls its function gives its value or type: it is not audited."
            )
        else:
            storage = self._storage(parts, dtype, tensor, prod(shape) * dtype.itemsize)
        if storage is None:
            return None
        return Entry(path + name, shape, dtype.name, storage, attributes=CONSTANT)

    def _storage(
        self, parts: dict[int, Field], dtype: DataType, tensor: Field, nbytes: int
    ) -> Storage | None:
        """Return where the elements are, or None for zeros that one number stands for."""
        _, start, end = parts.get(_CONTENT, (_CONTENT, 0, 0))
        if start < end:
            if end - start == nbytes:
                return Extent(self._number, start, nbytes)
            return Absent(f"{self._source.label} holds {end - start} bytes of it instead of {nbytes}.")
        field, start, end = parts.get(PLAIN.get(dtype.name, 0), (0, 0, 0))
        # Elements that are listed singly are part of the list, and may come before it.
        every = self._source.walk(*tensor[1:], every=True)
        if end - start == nbytes and sum(part[0] == field for part in every) == 1:
            return Extent(self._number, start, nbytes)
        return self._unpack(dtype, tensor, nbytes)

    def _unpack(self, dtype: DataType, tensor: Field, nbytes: int) -> Storage | None:
        """Return the elements of a list, of which the last one stands for all that are not there."""
        if tensor[2] - tensor[1] > _LONGEST_LIST:
            return Absent(f"It is a list of more than {_LONGEST_LIST} bytes, which is not unpacked.")
        raw = _listed(self._source.read(*tensor[1:]), dtype, self._source.label)
        if raw is None:
            return Absent(
                f"{self._source.label} lists its elements singly; load the model and save it again."
            )
        last = raw[len(raw) - dtype.itemsize :]
        if len(raw) <= dtype.itemsize and not any(last):
            return None
        is_one = len(raw) == dtype.itemsize
        self._repeated += nbytes if is_one else 0
        self._unpacked += 0 if is_one else nbytes
        if self._repeated > self._budget or self._unpacked > _MOST_UNPACKED:
            return Absent(f"The constants of {self._source.label} unpack to more bytes than are plausible.")
        if is_one:
            return Fill(raw)
        return Inline(raw[:nbytes] + last * ((nbytes - len(raw)) // dtype.itemsize))


def _is_other(node: bytes) -> bool:
    """Say whether a node is certainly no constant of a type that counts: most are not, and are told fast.

    Names lie in one piece, however a message is encoded. Where that of the attribute is there once, and
    in it what every writer makes of it, the type is what this says.
    """
    if b"Const" not in node:
        return True
    head, type_follows, rest = node.partition(_USUAL_TYPE)
    return bool(type_follows and rest) and b"dtype" not in head + rest and rest[0] not in _NUMBERS


def _listed(data: bytes, dtype: DataType, label: str) -> bytes | None:
    """Return the elements that a TensorProto lists; None if they are not packed, as all writers do it."""
    field = LISTS["float16" if dtype.name in _HALVES else dtype.name]
    if any(tag >> 3 == field and tag & 7 != CHUNK for tag, _, _ in read_fields(data, label)):
        return None
    # A bfloat16 is listed as a float16 is: as the number that its bits are.
    stored = DataType("float16", dtype.itemsize) if dtype.name in _HALVES else dtype
    raw = encode_values(Message(data, label), stored)
    if len(raw) % dtype.itemsize:
        raise ReadError(f"{label} is damaged: a constant ends in the middle of a number.")
    return raw


def _constant(source: Ahead, node: Field) -> tuple[str, DataType, Field | None] | None:
    """Return name, type and TensorProto of a node, None unless it is a constant of a type that counts.

    There is no TensorProto where the function leaves the value to its callers.
    """
    name = operation = None
    attributes: list[Field] = []
    for part in source.walk(*node[1:]):
        if part[0] == ATTRIBUTES:
            attributes.append(part)
            if len(attributes) > _MOST_ATTRIBUTES:
                raise source.damaged(part[1], f"a node has more than {_MOST_ATTRIBUTES} attributes")
        elif part[0] == NAME:
            name = part
        elif part[0] == OPERATION:
            operation = part
    if source.small(operation) not in _CONSTANTS:
        return None
    found: dict[bytes, Field] = {}
    for attribute in attributes:
        parts = source.parts(attribute)
        if _VALUE in parts:
            found[source.small(parts.get(_KEY))] = parts[_VALUE]
    value = source.parts(found[b"value"]) if b"value" in found else {}
    dtype = _type(source, found.get(b"dtype"))
    if dtype is None or not value.keys() & {_TENSOR, _PLACEHOLDER}:
        return None
    return source.text(name), dtype, None if _PLACEHOLDER in value else value.get(_TENSOR)


def _type(source: Ahead, attribute: Field | None) -> DataType | None:
    """Return the type that an attribute gives, None if it is none that counts."""
    fields = read_once(source.small(attribute), source.label)
    if _PLACEHOLDER << 3 | CHUNK in fields:
        return _GIVEN
    dtype = DATA_TYPES.get(fields.get(_TYPE << 3, 0))
    return dtype if dtype and dtype.name in _WEIGHTS else None
