"""Numbers that a SavedModel keeps in its graph instead of in variables: the constants of saved_model.pb.

Source of the format: graph.proto, function.proto, node_def.proto, attr_value.proto and tensor.proto of
tensorflow/core/framework. The graph is gone through by position: what a constant holds is not read here,
but listed as the bytes of the file that it is, unless it is a list that has to be unpacked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING

from weightaudit.catalog import Absent, Entry, Extent, Fill, Inline, Storage
from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import (
    CHUNK,
    FIXED32,
    FIXED64,
    VARINT,
    MalformedError,
    Message,
    Span,
    decode_text,
    read_fields,
    read_once,
    read_varint,
)
from weightaudit.formats.tensor_proto import encode_values
from weightaudit.formats.tensorflow_types import DATA_TYPES, DataType, parse_shape

if TYPE_CHECKING:
    from weightaudit.limits import Limits
    from weightaudit.source import ByteSource

LEAST_ELEMENTS = 16
"""Smaller constants are operands, such as an epsilon or the factors of a colour conversion."""

CONSTANT = MappingProxyType({"operation": "Const"})
"""The attributes of an entry that is a constant of a graph."""

_NODES, _LIBRARY = 1, 2  # GraphDef
_FUNCTIONS = 1  # FunctionDefLibrary
_SIGNATURE, _BODY = 1, 3  # FunctionDef
_NAME, _OPERATION, _ATTRIBUTES = 1, 2, 5  # NodeDef; the name of an OpDef is field 1 as well
_KEY, _VALUE = 1, 2  # an entry of a map
_TYPE, _TENSOR = 6, 8  # AttrValue
_SHAPE, _CONTENT = 2, 4  # TensorProto

# The field of a TensorProto that lists the elements, of the types that weights have.
_LISTS = {
    "float16": 13,
    "bfloat16": 13,
    "float32": 5,
    "float64": 6,
    "complex64": 9,
    "complex128": 12,
    "float8_e5m2": 18,
    "float8_e4m3fn": 18,
}
_HALVES = frozenset({"float16", "bfloat16"})

_NUMBERS = frozenset(number for number, dtype in DATA_TYPES.items() if dtype.name in _LISTS)
_USUAL_TYPE = (
    bytes([5 << 3 | CHUNK, 11, 1 << 3 | CHUNK, 5]) + b"dtype" + bytes([2 << 3 | CHUNK, 2, _TYPE << 3])
)
"""How an attribute that gives a type begins; the number of the type follows, and ends it."""

_FIXED = {FIXED32: 4, FIXED64: 8}
_LONGEST_HEADER = 20
_AHEAD = 64 << 10
_LONGEST_LIST = 8 << 20
_MOST_UNPACKED = 64 << 20  # these are kept in memory; lists of one number are not
_NODES_PER_TENSOR = 4

_Field = tuple[int, int, int]
"""Number, begin and end of a length-delimited field, in bytes of the file."""


class _Ahead:
    """A file that is gone through in small steps: it reads ahead, and keeps what it read last."""

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._start, self._held = 0, b""
        self.label, self.size = source.label, source.size

    def window(self, offset: int, nbytes: int) -> tuple[int, bytes]:
        """Return some bytes of the file, and where they begin; `nbytes` from `offset` on are among them."""
        begin = offset - self._start
        if begin < 0 or begin + nbytes > len(self._held):
            ahead = max(nbytes, min(_AHEAD, self.size - offset))
            self._start, self._held = offset, self._source.read(offset, ahead)
        return self._start, self._held

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of a stretch of the file."""
        base, held = self.window(start, end - start)
        return held[start - base : end - base]

    def walk(self, start: int, end: int) -> Iterator[_Field]:
        """Yield the length-delimited fields of a message, as `protobuf.walk` does in four times the time.

        Raises:
            ReadError: The message is malformed.
        """
        position, base, held = start, 0, b""
        while position < end:
            if position + _LONGEST_HEADER > base + len(held):
                base, held = self.window(position, min(_LONGEST_HEADER, end - position))
            place = position - base
            try:
                tag = held[place]
                place += 1
                if tag > 127:
                    tag, place = read_varint(held, place - 1)
                kind = tag & 7
                if kind in (CHUNK, VARINT):
                    length = held[place]
                    place += 1
                    if length > 127:
                        length, place = read_varint(held, place - 1)
                else:
                    length = _FIXED[kind]
            except (IndexError, KeyError, MalformedError):
                raise self.damaged(position, "no field begins there") from None
            content = base + place
            position = content if kind == VARINT else content + length
            if position > end or not 8 <= tag < 1 << 32:
                raise self.damaged(content, "a field reaches beyond its message or has no valid number")
            if kind == CHUNK:
                yield tag >> 3, content, position

    def parts(self, message: _Field) -> dict[int, _Field]:
        """Return the length-delimited fields of a message; ReadError if one of them is there twice."""
        parts: dict[int, _Field] = {}
        for part in self.walk(*message[1:]):
            if parts.setdefault(part[0], part) is not part:
                raise self.damaged(part[1], f"a constant has field {part[0]} twice")
        return parts

    def small(self, field: _Field | None) -> bytes:
        """Return the content of a field that is small in any real file; none if it is absent."""
        if field is None:
            return b""
        if field[2] - field[1] > _AHEAD:
            raise self.damaged(field[1], f"a name or a shape has more than {_AHEAD} bytes")
        return self.read(*field[1:])

    def text(self, field: _Field | None) -> str:
        """Return a field that is a name, empty if it is absent."""
        return decode_text(self.small(field), self.label)

    def damaged(self, position: int, clause: str) -> ReadError:
        """Return the error that names the file and a place in it."""
        return ReadError(f"{self.label} is damaged at byte {position}: {clause}.")


def read_constants(
    source: ByteSource, number: int, graphs: Sequence[Span], limits: Limits
) -> tuple[Entry, ...]:
    """List the constants of graphs that hold floating point numbers.

    Those of fewer than `LEAST_ELEMENTS` elements are left out, and integers, truth values and strings,
    which are shapes, axes and tables. So are those that are zero throughout and say so in one number:
    these are initial values.

    Args:
        source: saved_model.pb.
        number: Its number among the model's open files.
        graphs: Where each GraphDef lies.
        limits: Bounds on the number of constants and on what they unpack to.

    Returns:
        Entries with the attributes `CONSTANT` and the key ``saved_model.pb/function/node``, or
        ``saved_model.pb/node`` outside of functions. From the second graph on, its number stands behind
        the name of the file. A constant whose numbers cannot be had is absent.

    Raises:
        ReadError: The file is damaged, or holds more than the limits allow.
    """
    ahead = _Ahead(source)
    gathered = _Gathered(ahead, number, limits)
    for index, graph in enumerate(graphs, 1):
        prefix = f"{source.label}/" if index == 1 else f"{source.label} {index}/"
        for path, node in _nodes(ahead, graph, prefix):
            gathered.add(path, node)
    return tuple(gathered.entries.values())


def _nodes(source: _Ahead, graph: Span, prefix: str) -> Iterator[tuple[str, _Field]]:
    """Yield what stands before its name, and the place, of each node of a graph and of its functions."""
    for part in source.walk(graph.start, graph.end):
        if part[0] == _NODES:
            yield prefix, part
        elif part[0] == _LIBRARY:
            for function in source.walk(*part[1:]):
                if function[0] == _FUNCTIONS:
                    yield from _body(source, function, prefix)


def _body(source: _Ahead, function: _Field, prefix: str) -> Iterator[tuple[str, _Field]]:
    """Yield the nodes of a function; its name need not come before them."""
    path = ""
    for part in source.walk(*function[1:]):
        if part[0] == _BODY:
            path = path or f"{prefix}{_function_name(source, function)}/"
            yield path, part


def _function_name(source: _Ahead, function: _Field) -> str:
    signature = next((part for part in source.walk(*function[1:]) if part[0] == _SIGNATURE), None)
    within = source.walk(*signature[1:]) if signature else ()
    return source.text(next((part for part in within if part[0] == _NAME), None))


class _Gathered:
    """The constants among the nodes of one file, within its limits."""

    def __init__(self, source: _Ahead, number: int, limits: Limits) -> None:
        self.entries: dict[str, Entry] = {}
        self._source = source
        self._number = number
        self._most = limits.max_tensors
        self._most_named = limits.max_metadata
        self._nodes = 0
        self._budget = limits.budget(source.size)
        self._repeated = self._unpacked = self._named = 0

    def add(self, path: str, node: _Field) -> None:
        """Add a node, if it is a constant that counts."""
        source, (_, start, end) = self._source, node
        self._nodes += 1
        if self._nodes > _NODES_PER_TENSOR * self._most:
            raise ReadError(
                f"{source.label} holds more than {self._nodes - 1} nodes, which is the limit (--max-tensors)."
            )
        if end - start <= _AHEAD and _is_other(source.read(start, end)):
            return
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
            raise source.damaged(start, f"there is a second constant {entry.key}")
        if len(self.entries) == self._most:
            raise ReadError(
                f"{source.label} holds more than {self._most} constants, which is the limit (--max-tensors)."
            )
        self.entries[entry.key] = entry

    def _entry(self, path: str, name: str, dtype: DataType, tensor: _Field) -> Entry | None:
        parts = self._source.parts(tensor)
        shape = parse_shape(self._source.small(parts.get(_SHAPE)), self._source.label)
        if prod(shape) < LEAST_ELEMENTS:
            return None
        storage = self._storage(parts, dtype, tensor, prod(shape) * dtype.itemsize)
        if storage is None:
            return None
        return Entry(path + name, shape, dtype.name, storage, attributes=CONSTANT)

    def _storage(
        self, parts: dict[int, _Field], dtype: DataType, tensor: _Field, nbytes: int
    ) -> Storage | None:
        """Return where the elements are, or None for zeros that one number stands for."""
        _, start, end = parts.get(_CONTENT, (_CONTENT, 0, 0))
        if start < end:
            if end - start == nbytes:
                return Extent(self._number, start, nbytes)
            return Absent(f"{self._source.label} holds {end - start} bytes of it instead of {nbytes}.")
        _, start, end = parts.get(_LISTS[dtype.name], (0, 0, 0))
        if end - start == nbytes and dtype.name not in _HALVES:
            return Extent(self._number, start, nbytes)
        return self._unpack(dtype, tensor, nbytes)

    def _unpack(self, dtype: DataType, tensor: _Field, nbytes: int) -> Storage | None:
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
    field = _LISTS[dtype.name]
    if any(tag >> 3 == field and tag & 7 != CHUNK for tag, _, _ in read_fields(data, label)):
        return None
    # A bfloat16 is listed as a float16 is: as the number that its bits are.
    stored = DataType("float16", dtype.itemsize) if dtype.name in _HALVES else dtype
    raw = encode_values(Message(data, label), stored)
    if len(raw) % dtype.itemsize:
        raise ReadError(f"{label} is damaged: a constant ends in the middle of a number.")
    return raw


def _constant(source: _Ahead, node: _Field) -> tuple[str, DataType, _Field] | None:
    """Return name, type and TensorProto of a node, None unless it is a constant of a type that counts."""
    name = operation = None
    attributes: list[_Field] = []
    for part in source.walk(*node[1:]):
        if part[0] == _ATTRIBUTES:
            attributes.append(part)
        elif part[0] == _NAME:
            name = part
        elif part[0] == _OPERATION:
            operation = part
    if source.small(operation) != b"Const":
        return None
    found: dict[bytes, _Field] = {}
    for attribute in attributes:
        parts = source.parts(attribute)
        if _VALUE in parts:
            found[source.small(parts.get(_KEY))] = parts[_VALUE]
    kind, value = found.get(b"dtype"), found.get(b"value")
    dtype = DATA_TYPES.get(read_once(source.small(kind), source.label).get(_TYPE << 3, 0))
    if dtype is None or dtype.name not in _LISTS or value is None:
        return None
    tensor = source.parts(value).get(_TENSOR)
    return None if tensor is None else (source.text(name), dtype, tensor)
