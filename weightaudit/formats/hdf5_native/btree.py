"""B-trees of version 1: the index of a group's links, and that of a dataset's chunks."""

from __future__ import annotations

import struct
from operator import lt
from typing import TYPE_CHECKING, Any, NamedTuple

from weightaudit.formats.hdf5_native.reader import UNDEFINED, DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from weightaudit.formats.hdf5_native.reader import Reader

_NODE = struct.Struct("<4sBBHQQ")
_MOST_LEVELS = 32
"""Levels above the leaves; with two children each, enough for more entries than a file can hold."""

Entry = tuple[Any, ...]
"""The fields of a key, and the address of the child that it is before."""


class Kind(NamedTuple):
    """A kind of B-tree.

    Attributes:
        code: Its number in the file.
        rank: Half the children that a node has room for.
        key: Structure of a key.
        entry: Structure of a key and the address of a child.
        order: Turns the fields of a key, or of an entry, into something that is in order in the tree.
    """

    code: int
    rank: int
    key: struct.Struct
    entry: struct.Struct
    order: Callable[[Entry], Any]


class Leaf(NamedTuple):
    """An entry of a leaf.

    Attributes:
        fields: The key before the child, and the address of the child.
        places: Addresses at which that key is stored: here, and copies of it in the nodes above.
        low: The key before the child, in order.
        high: The key behind it, in order.
    """

    fields: Entry
    places: tuple[int, ...]
    low: Any
    high: Any


class Node(NamedTuple):
    """A leaf node.

    Attributes:
        address: Where it is.
        entries: Its entries, in order.
        bounds: What its keys stand for, in order: one more than entries.
        above: Addresses at which the nodes above it store its first key.
    """

    address: int
    entries: list[Entry]
    bounds: list[Any]
    above: tuple[int, ...]


def leaves(reader: Reader, root: int, kind: Kind) -> Iterator[Leaf]:
    """Yield the entries of all leaves, in order; raises what `leaf_nodes` raises."""
    for node in leaf_nodes(reader, root, kind):
        above, place = node.above, node.address + _NODE.size
        for fields, low, high in zip(node.entries, node.bounds, node.bounds[1:], strict=False):
            yield Leaf(fields, (*above, place), low, high)
            above, place = (), place + kind.entry.size


def leaf_nodes(reader: Reader, root: int, kind: Kind) -> Iterator[Node]:
    """Yield all leaf nodes, in order.

    libhdf5 lists a tree by its children, finds an entry by its keys, and measures the tree by its
    siblings; here all three must agree, so that all see the same, and no node is met twice.

    Raises:
        DamagedError: The tree contradicts itself.
    """
    following: dict[int, int] = {}
    waiting: list[tuple[int, int | None, Any, Any, tuple[int, ...]]] = [(root, None, None, None, ())]
    while waiting:
        address, level, low, high, above = waiting.pop()
        found, right, entries, bounds = _read_node(reader, address, kind)
        if level is None:
            if found > _MOST_LEVELS or (found and not entries):
                raise DamagedError(f"the B-tree at {address} has an impossible number of levels")
        elif found != level or not entries or not low <= bounds[0] < bounds[-1] <= high:
            raise DamagedError(f"the B-tree node at {address} does not belong where it is")
        if following.setdefault(found, address) != address:
            raise DamagedError(f"the B-tree node at {address} does not follow the one before it")
        following[found] = right
        own = above if bounds[0] == low else ()
        if not found:
            yield Node(address, entries, bounds, own)
            continue
        below: list[tuple[int, int | None, Any, Any, tuple[int, ...]]] = []
        place = address + _NODE.size
        for number, fields in enumerate(entries):
            below.append((fields[-1], found - 1, bounds[number], bounds[number + 1], (*own, place)))
            place, own = place + kind.entry.size, ()
        waiting += reversed(below)
    if any(address != UNDEFINED for address in following.values()):
        raise DamagedError(f"the B-tree at {root} goes on beyond its last node")


def _read_node(reader: Reader, address: int, kind: Kind) -> tuple[int, int, list[Entry], list[Any]]:
    """Return level of a node, address of the next one there, entries, and keys: one more than entries."""
    reader.check_time()
    nbytes = _NODE.size + 2 * kind.rank * kind.entry.size + kind.key.size
    raw, place = reader.at(address, nbytes)
    magic, code, level, count, _, right = _NODE.unpack_from(raw, place)
    if magic != b"TREE" or code != kind.code or count > 2 * kind.rank:
        raise DamagedError(f"there is no B-tree node of the right kind at {address}")
    place += _NODE.size
    end = place + count * kind.entry.size
    entries = list(kind.entry.iter_unpack(raw[place:end]))
    bounds = [kind.order(entry) for entry in entries]
    bounds.append(kind.order(kind.key.unpack_from(raw, end)))
    if not all(map(lt, bounds, bounds[1:])):
        raise DamagedError(f"the keys of the B-tree node at {address} are not in order")
    return level, right, entries, bounds
