"""A record as bytes: a digest, a head in JSON, and the columns' arrays; nothing in it is ever executed."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weightaudit.cache.forms import FORMS, describe, parse
from weightaudit.cache.identity import Stamp
from weightaudit.cache.record import DTYPES, Column, Record
from weightaudit.statistics import Statistic

FORMAT = "weightaudit statistics 1"
"""Raised whenever the form of an entry, or a result of an unchanged statistic, changes."""

_DIGEST_BYTES = 32
_LENGTH_BYTES = 8
_MAX_HEAD = 16 << 20
_MAX_COLUMNS = 1024


class DamagedError(ValueError):
    """Bytes that are no record, or not a whole one."""


def encode(record: Record, made_by: str) -> bytes:
    """Return a record as bytes.

    Args:
        record: What is to be kept.
        made_by: The program, its version and whatever else decides the results' bits.
    """
    head = {
        "format": FORMAT,
        "made_by": made_by,
        "stamps": record.stamps,
        "layout": record.layout,
        "columns": [
            [describe(statistic), column.rows.size, column.numbers[-1].size]
            for statistic, column in record.columns.items()
        ],
    }
    text = json.dumps(head).encode("ascii")
    arrays = [array for one in record.columns.values() for array in (one.rows, *one.numbers)]
    body = b"".join(
        [len(text).to_bytes(_LENGTH_BYTES, "little"), text, *(array.tobytes() for array in arrays)]
    )
    return _digest(body) + body


def decode(data: bytes, made_by: str) -> Record:
    """Return the record that bytes hold.

    Raises:
        DamagedError: They are torn, of another version, or not made by `encode`.
    """
    body = memoryview(data)[_DIGEST_BYTES:]
    length = int.from_bytes(body[:_LENGTH_BYTES], "little")
    if data[:_DIGEST_BYTES] != _digest(body) or length > min(_MAX_HEAD, len(body)):
        raise DamagedError("the bytes do not match their digest")
    try:
        head = json.loads(bytes(body[_LENGTH_BYTES : _LENGTH_BYTES + length]))
        if head["format"] != FORMAT or head["made_by"] != made_by or len(head["columns"]) > _MAX_COLUMNS:
            raise DamagedError("it was made by another version")
        reader = _Arrays(body[_LENGTH_BYTES + length :])
        columns = {
            parse(what): _read(reader, parse(what), rows, last) for what, rows, last in head["columns"]
        }
        return Record(tuple(map(_stamp, head["stamps"])), _layout(head["layout"]), columns)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise DamagedError(str(error)) from error


def _digest(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()


class _Arrays:
    """Takes arrays off the front of a stretch of memory."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory

    def take(self, kind: str, count: Any) -> NDArray[Any]:
        """Return the next `count` numbers; ValueError if they are not there."""
        dtype = DTYPES[kind]
        if type(count) is not int or not 0 <= count <= len(self._memory) // dtype.itemsize:
            raise ValueError("an array is longer than the entry")
        array: NDArray[Any] = np.frombuffer(self._memory, dtype, count)
        self._memory = self._memory[array.nbytes :]
        return array


def _read(reader: _Arrays, statistic: Statistic[Any], count: Any, last: Any) -> Column:
    rows = reader.take("i", count)
    if np.any(np.diff(rows) <= 0):
        raise ValueError("the tensors are not in ascending order")
    form = FORMS[type(statistic)]
    if not form.is_array:
        return Column(rows, tuple(reader.take(kind, count) for kind in form.types))
    sizes = reader.take("i", count)
    # Each size is bounded before they are added up, so that the sum cannot overflow.
    if np.any((sizes < 0) | (sizes > last)) or int(sizes.sum(dtype=np.float64)) != last:
        raise ValueError("the sizes of arrays do not add up")
    return Column(rows, (sizes, reader.take("f", last)))


def _stamp(words: Any) -> Stamp:
    if len(words) != len(Stamp._fields) or not all(type(word) is int for word in words):
        raise ValueError("a stamp is five integers")
    return Stamp(*words)


def _layout(text: Any) -> str:
    if not isinstance(text, str) or not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError("the layout is no digest")
    return text
