"""Configuration documents of a stranger's file: parsed with bounds, never acted upon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from weightaudit.limits import Limits
    from weightaudit.source import ByteSource

_VALUES_PER_TENSOR = 10
"""Shards' indexes have one value per tensor; configurations are smaller."""


def read_json(file: ByteSource, label: str, limits: Limits) -> Any:
    """Read and parse a JSON document that is a file of its own; see `parse_json`.

    Raises:
        ReadError: It is too large, and then nothing of it is read; or it is as `parse_json` refuses it.
    """
    _require_short(file.size, label, limits)
    return parse_json(file.read(0, file.size), label, limits)


def parse_json(text: str | bytes, label: str, limits: Limits) -> Any:
    """Parse a JSON document.

    Args:
        text: The document.
        label: What it is called in a message, such as ``model.keras: config.json``.
        limits: Bounds on its size.

    Raises:
        ReadError: It is too large, nested too deep, has a key twice, or is not JSON.
    """
    _require_short(len(text), label, limits)
    most = _VALUES_PER_TENSOR * limits.max_tensors
    if _count_values(text) > most:
        raise ReadError(f"{label} holds more than {most} values, which is the limit (--max-tensors).")
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ReadError(f"{label} is nested too deep.") from None
    except ValueError as error:
        raise ReadError(f"{label} is not valid JSON ({error}).") from None


def _require_short(nbytes: int, label: str, limits: Limits) -> None:
    if nbytes > limits.max_metadata:
        raise ReadError(
            f"{label} is {nbytes} bytes long; at most {limits.max_metadata} are read (--max-metadata)."
        )


def _count_values(text: str | bytes) -> int:
    """Return at least how many values a document has, since a parsed one takes up to 30 times its bytes."""
    if isinstance(text, str):
        return sum(map(text.count, ",[{"))
    return sum(map(text.count, (b",", b"[", b"{")))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        # Readers disagree on which one counts, so a check of one proves nothing about the other.
        raise ValueError("a key is there twice")
    return result
