"""Whether there is room for what is to be written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from weightaudit.errors import WriteError
from weightaudit.storage.failures import writing

if TYPE_CHECKING:
    from pathlib import Path


def require_space(directory: Path, nbytes: int, name: str = "") -> None:
    """Raise WriteError if a directory's file system has less than `nbytes` bytes free.

    What passes may still fail later: others write, too.

    Args:
        directory: Where it will be written.
        nbytes: How much.
        name: What cannot be written then, for the message; by default the directory.
    """
    with writing(f"{name} cannot be written" if name else f"{directory} cannot be written to"):
        status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    # Some network file systems do not tell their size.
    if status.f_blocks and free < nbytes:
        raise WriteError(
            f"{f'{name} cannot be written: its disk' if name else directory} has {free} bytes free, and "
            f"{nbytes} are needed; free some space, or choose another place."
        )
