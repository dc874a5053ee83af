"""The record that is written into a model itself, and users' own files that happen to have its name."""

from __future__ import annotations

import json
from typing import Any

NAME = "weightaudit.json"
_FIELDS = frozenset({"format", "model", "version", "container", "tensors", "changes"})


def is_record(data: bytes) -> bool:
    """Say whether some bytes are a record of ours, which the next one replaces; a user's own file is not."""
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.keys() >= _FIELDS
