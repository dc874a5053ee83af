"""What tests of the version store's commands share."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def copied(source: Path, target: Path) -> Path:
    """Copy a file."""
    shutil.copy(source, target)
    return target


def documents(text: str) -> Any:
    """Parse what a command wrote with --format json."""
    assert text.isascii()
    return json.loads(text)
