"""The nodes of a graph in a SavedModel, and of its functions, gone through by position.

Source of the format: graph.proto, function.proto and node_def.proto of tensorflow/core/framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import (
    CHUNK,
    FIXED32,
    FIXED64,
    VARINT,
    MalformedError,
    Message,
    decode_text,
    read_varint,
)

if TYPE_CHECKING:
    from weightaudit.limits import Limits
    from weightaudit.source import ByteSource

NAME, OPERATION, ATTRIBUTES = 1, 2, 5  # NodeDef; the name of an OpDef is field 1 as well
AHEAD = 64 << 10
"""How far is read ahead, and what a node that is read whole, a name or a shape has at most, in bytes."""

NODES = 1  # GraphDef
_LIBRARY = 2
_FUNCTIONS = 1  # FunctionDefLibrary
_SIGNATURE, _BODY = 1, 3  # FunctionDef

_FIXED = {FIXED32: 4, FIXED64: 8}
_LONGEST_HEADER = 20

_NODES_PER_TENSOR = 4
_FIELDS_PER_TENSOR = 50

Field = tuple[int, int, int]
"""Number, begin and end of a length-delimited field, in bytes of the file."""


class Ahead:
    """A file that is gone through in small steps: it reads ahead, and keeps what it read last.

    What is gone through is counted, over the whole file: two bytes are a field, and take as long as a
    hundred others.

    Args:
        source: saved_model.pb.
        limits: `max_tensors` bounds fields and nodes.
    """

    def __init__(self, source: ByteSource, limits: Limits) -> None:
        self._source = source
        self._most_nodes = _NODES_PER_TENSOR * limits.max_tensors
        self._most_fields = _FIELDS_PER_TENSOR * limits.max_tensors
        self._nodes = self._fields = 0
        self._start, self._held = 0, b""
        self._mentions: bool | None = None
        self.label, self.size = source.label, source.size

    def window(self, offset: int, nbytes: int) -> tuple[int, bytes]:
        """Return some bytes of the file, and where they begin; `nbytes` from `offset` on are among them."""
        begin = offset - self._start
        if begin < 0 or begin + nbytes > len(self._held):
            ahead = max(nbytes, min(AHEAD, self.size - offset))
            self._start, self._held = offset, self._source.read(offset, ahead)
            self._mentions = None
        return self._start, self._held

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of a stretch of the file."""
        base, held = self.window(start, end - start)
        return held[start - base : end - base]

    def mentions(self, search: Callable[[bytes], object]) -> bool:
        """Say whether a search finds something in what is held now: the node read last, and its neighbours.

        The answer is kept, so ask about one thing only: one search for hundreds of nodes takes a tenth of
        the time of one for each.
        """
        if self._mentions is None:
            self._mentions = bool(search(self._held))
        return self._mentions

    def walk(self, start: int, end: int, *, every: bool = False) -> Iterator[Field]:
        """Yield the length-delimited fields of a message by position, without reading their content.

        Args:
            start: Where the message begins.
            end: Where it ends.
            every: Whether to yield numbers, too; where one begins is not told.

        Raises:
            ReadError: The message is malformed, or the file has more fields than the limit.
        """
        position, base, held = start, 0, b""
        while position < end:
            self._fields += 1
            if self._fields > self._most_fields:
                raise self.beyond(f"{self._most_fields} fields")
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
            if kind == CHUNK or every:
                yield tag >> 3, content, position

    def parts(self, message: Field) -> dict[int, Field]:
        """Return the length-delimited fields of a message; ReadError if one of them is there twice."""
        parts: dict[int, Field] = {}
        for part in self.walk(*message[1:]):
            if parts.setdefault(part[0], part) is not part:
                raise self.damaged(part[1], f"a node has field {part[0]} twice")
        return parts

    def small(self, field: Field | None) -> bytes:
        """Return the content of a field that is small in any real file; none if it is absent."""
        if field is None:
            return b""
        if field[2] - field[1] > AHEAD:
            raise self.damaged(field[1], f"a name or a shape has more than {AHEAD} bytes")
        return self.read(*field[1:])

    def text(self, field: Field | None) -> str:
        """Return a field that is a name, empty if it is absent."""
        return decode_text(self.small(field), self.label)

    def whole(self, field: Field | None, most: int) -> bytes:
        """Return the content of a field; none if it is absent.

        Raises:
            ReadError: It has more bytes than `most`.
        """
        _, start, end = field or (0, 0, 0)
        if end - start > most:
            raise ReadError(
                f"{self.label} holds a message of {end - start} bytes; the limit is {most} (--max-metadata)."
            )
        return self.read(start, end)

    def message(self, field: Field | None, most: int) -> Message:
        """Return a field that is a message, decoded; as `whole` does, which raises the same errors."""
        return Message(self.whole(field, most), self.label)

    def count_node(self) -> None:
        """Count a node of any graph of the file.

        Raises:
            ReadError: There are more than the limit.
        """
        self._nodes += 1
        if self._nodes > self._most_nodes:
            raise self.beyond(f"{self._most_nodes} nodes")

    def beyond(self, what: str) -> ReadError:
        """Return the error that says of what the file holds more than the limit, such as ``9 nodes``."""
        return ReadError(f"{self.label} holds more than {what}, which is the limit (--max-tensors).")

    def damaged(self, position: int, clause: str) -> ReadError:
        """Return the error that names the file and a place in it."""
        return ReadError(f"{self.label} is damaged at byte {position}: {clause}.")


def nodes(source: Ahead, graph: Field) -> Iterator[tuple[str, Field]]:
    """Yield the nodes of a graph and of its functions: the name of the function, or none, and the place.

    Raises:
        ReadError: The graph is malformed.
    """
    for part in source.walk(*graph[1:]):
        if part[0] == NODES:
            yield "", part
        elif part[0] == _LIBRARY:
            for function in source.walk(*part[1:]):
                if function[0] == _FUNCTIONS:
                    yield from _body(source, function)


def _body(source: Ahead, function: Field) -> Iterator[tuple[str, Field]]:
    """Yield the nodes of a function; its name need not come before them."""
    name = None
    for part in source.walk(*function[1:]):
        if part[0] == _BODY:
            if name is None:
                name = _function_name(source, function)
            yield name, part


def _function_name(source: Ahead, function: Field) -> str:
    signature = next((part for part in source.walk(*function[1:]) if part[0] == _SIGNATURE), None)
    within = source.walk(*signature[1:]) if signature else ()
    return source.text(next((part for part in within if part[0] == NAME), None))
