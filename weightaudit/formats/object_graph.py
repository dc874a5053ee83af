"""The object graph that TensorFlow 2 writes into a checkpoint: which object each key belongs to."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from weightaudit.checksums import crc32c
from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import (
    CHUNK,
    VARINT,
    MalformedError,
    Message,
    decode_text,
    read_fields,
    read_varint,
    signed,
)
from weightaudit.formats.sstable import unmask

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"

Node = dict[str, Any]


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


def parse_object_graph(data: bytes, what: str, most: int) -> list[Node]:
    """Return the nodes of an encoded TrackableObjectGraph.

    Args:
        data: The encoded message.
        what: What it is called in messages.
        most: Most objects, and most of what they refer to; an empty one takes two bytes here and
            hundreds in memory.

    Returns:
        One dict per node: ``children`` (local name to node number), ``attributes`` (dicts of
        ``name``, ``full_name`` and checkpoint ``key``), and ``slots`` (dicts of the node numbers
        ``variable`` and ``slot``, and the slot's ``name``).

    Raises:
        ReadError: It is malformed, too large, or refers to nodes that it does not have.
    """
    encoded = Message(data, what).chunks(1)
    nodes: list[Node] = []
    total = len(encoded)
    if total > most:
        raise ReadError(_TOO_MANY.format(what, most))
    for chunk in encoded:
        node, total = _node(chunk, what, total, most)
        nodes.append(node)
    for node in nodes:
        references = [*node["children"].values()]
        references += [slot[end] for slot in node["slots"] for end in ("variable", "slot")]
        if any(not 0 <= reference < len(nodes) for reference in references):
            raise ReadError(f"{what} is damaged: its object graph refers to an object that it does not have.")
    return nodes


_FIRST, _SECOND, _THIRD = (field << 3 | CHUNK for field in (1, 2, 3))
_FIRST_NUMBER, _THIRD_NUMBER = (field << 3 | VARINT for field in (1, 3))
"""Tags. Children, attributes and slots are the first three fields of a node."""
_TOO_MANY = "{} has more than {} objects and references, which is the limit."


def _node(data: bytes, what: str, total: int, most: int) -> tuple[Node, int]:
    """Decode a TrackableObject, and add its references to the total, which must not exceed the most."""
    children: dict[str, int] = {}
    attributes: list[dict[str, Any]] = []
    slots: list[dict[str, Any]] = []
    for tag, _, chunk in read_fields(data, what):
        if tag in (_FIRST, _SECOND, _THIRD):
            total += 1
            if total > most:
                raise ReadError(_TOO_MANY.format(what, most))
            item = _fields(chunk, what)
            if tag == _FIRST:
                children[_text(item, _SECOND, what)] = signed(item.get(_FIRST_NUMBER, 0))
            elif tag == _SECOND:
                attribute = {
                    "name": _text(item, _FIRST, what),
                    "full_name": _text(item, _SECOND, what),
                    "key": _text(item, _THIRD, what),
                }
                attributes.append(attribute)
            else:
                slot = {
                    "variable": signed(item.get(_FIRST_NUMBER, 0)),
                    "name": _text(item, _SECOND, what),
                    "slot": signed(item.get(_THIRD_NUMBER, 0)),
                }
                slots.append(slot)
    return {"children": children, "attributes": attributes, "slots": slots}, total


def _fields(data: bytes, what: str) -> dict[int, Any]:
    """Return the fields of a message by tag. A `Message` takes half as long again, of most of the graph."""
    found: dict[int, Any] = {}
    for tag, number, chunk in read_fields(data, what):
        if tag in found:
            raise ReadError(f"{what} is damaged: field {tag >> 3} occurs more than once.")
        found[tag] = chunk if tag & 7 == CHUNK else number
    return found


def _text(item: dict[int, Any], tag: int, what: str) -> str:
    return decode_text(item.get(tag, b""), what)


def parse_children(message: Message) -> dict[str, int]:
    """Return the children of an object (field 1, as both kinds of object graph have it) by local name."""
    return {item.text(2): item.integer(1) for item in message.messages(1)}


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


def missing_variables(nodes: list[Node], keys: Container[str]) -> Iterator[str]:
    """Yield the key of every variable whose value the graph promises and the checkpoint does not have.

    Tables and other objects choose keys of their own below the promised one: only plain variables
    are certain.
    """
    for node in nodes:
        for attribute in node["attributes"]:
            if attribute["name"] == "VARIABLE_VALUE" and attribute["key"] not in keys:
                yield attribute["key"]
