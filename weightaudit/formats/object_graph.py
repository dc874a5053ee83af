"""The object graph that TensorFlow 2 writes into a checkpoint: which object each key belongs to."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from weightaudit.catalog import ObjectGraph, Slot, Variable
from weightaudit.checksums import crc32c
from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import (
    CHUNK,
    VARINT,
    MalformedError,
    decode_text,
    read_fields,
    read_once,
    read_varint,
)
from weightaudit.formats.sstable import unmask

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"

_VALUE = b"VARIABLE_VALUE"


def decode_scalar_string(data: bytes, checksum: int) -> bytes:
    """Return the one string of a stored DT_STRING tensor.

    Its bytes are the string's length as a varint, the masked CRC32C of that length as a 32-bit (or,
    where it does not fit, 64-bit) number, and the string. Source: ``ReadStringTensor`` in
    tensorflow/core/util/tensor_bundle/tensor_bundle.cc.

    Args:
        data: The stored bytes.
        checksum: CRC32C of the tensor, unmasked.

    Raises:
        MalformedError: The bytes are no single string, or a checksum is wrong.
    """
    try:
        length, position = read_varint(data, 0)
    except IndexError:
        raise MalformedError("its string has no length") from None
    stored_sum, text = data[position : position + 4], data[position + 4 :]
    if len(stored_sum) != 4 or len(text) != length:
        raise MalformedError("its string has another length than it says")
    length_sum = crc32c(length.to_bytes(4 if length < 1 << 32 else 8, "little"))
    if unmask(int.from_bytes(stored_sum, "little")) != length_sum:
        raise MalformedError("the checksum of its string's length is wrong")
    if crc32c(text, crc32c(stored_sum, length_sum)) != checksum:
        raise MalformedError("the checksum of its string is wrong")
    return text


_FIRST, _SECOND, _THIRD = (field << 3 | CHUNK for field in (1, 2, 3))
_FIRST_NUMBER, _THIRD_NUMBER = (field << 3 | VARINT for field in (1, 3))
"""Tags. Children, attributes and slots are the first three fields of a node."""


def parse_object_graph(data: bytes, what: str, most: int) -> ObjectGraph:
    """Return what an encoded TrackableObjectGraph says.

    Args:
        data: The encoded message.
        what: What it is called in messages.
        most: Most objects, and most of what they refer to; an empty one takes two bytes here and
            many more in memory.

    Raises:
        ReadError: It is malformed, too large, or refers to nodes that it does not have.
    """
    children: dict[int, dict[str, int]] = {}
    variables: list[Variable] = []
    slots: list[Slot] = []
    others: set[int] = set()
    size = count = 0
    for field, _, node in read_fields(data, what):
        if field != _FIRST:
            continue
        for kind, _, chunk in read_fields(node, what):
            if kind not in (_FIRST, _SECOND, _THIRD):
                continue
            count += 1
            if count + size > most:
                break
            item = read_once(chunk, what)
            if kind == _FIRST:
                children.setdefault(size, {})[_text(item, _SECOND, what)] = item.get(_FIRST_NUMBER, 0)
            elif kind == _THIRD:
                name = _text(item, _SECOND, what)
                slots.append(Slot(item.get(_FIRST_NUMBER, 0), name, item.get(_THIRD_NUMBER, 0)))
            elif item.get(_FIRST) == _VALUE:
                variables.append(Variable(size, _text(item, _THIRD, what), _text(item, _SECOND, what)))
            else:
                others.add(size)
        size += 1
        if count + size > most:
            raise ReadError(
                f"{what} has more than {most} objects and references, which is the limit (--max-tensors)."
            )
    graph = ObjectGraph(size, children, variables, slots, others)
    if any(not 0 <= number < size for number in _references(graph)):
        raise ReadError(f"{what} is damaged: its object graph refers to an object that it does not have.")
    return graph


def _references(graph: ObjectGraph) -> Iterator[int]:
    for children in graph.children.values():
        yield from children.values()
    for slot in graph.slots:
        yield slot.variable
        yield slot.node


def _text(item: Mapping[int, Any], tag: int, what: str) -> str:
    return decode_text(item.get(tag, b""), what)


def parse_children(chunks: Iterable[bytes], what: str) -> dict[str, int]:
    """Return the children of an object (field 1 of a SavedObject) by local name."""
    items = (read_once(chunk, what) for chunk in chunks)
    return {_text(item, _SECOND, what): item.get(_FIRST_NUMBER, 0) for item in items}


def walk_children(children: Sequence[Mapping[str, int]]) -> Iterator[tuple[int, str]]:
    """Yield every node that the root reaches, breadth first, with its dotted path from ``root``.

    Args:
        children: Number of each child by local name, for every node; the root comes first.
    """
    seen = {0}
    queue = [(0, "root")] if children else []
    for number, path in queue:
        yield number, path
        for name, child in children[number].items():
            if child not in seen:
                seen.add(child)
                queue.append((child, f"{path}.{name}"))


def missing_variables(graph: ObjectGraph, keys: Container[str]) -> Iterator[str]:
    """Yield the key of every variable whose value the graph promises and the checkpoint does not have.

    Tables and other objects choose keys of their own below the promised one: only plain variables
    are certain.
    """
    for variable in graph.variables:
        if variable.key not in keys:
            yield variable.key
