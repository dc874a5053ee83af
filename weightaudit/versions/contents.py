"""What a version's directory really holds, whatever its record says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from pathlib import Path


class Contents(NamedTuple):
    """Everything below a directory, by path with ``/``.

    Attributes:
        files: What is no directory, and whether it is a regular file. A link never is.
        folders: Directories, outer ones first.
    """

    files: dict[str, bool]
    folders: list[str]


def contents(directory: Path) -> Contents:
    """Look at everything below a directory, and follow no link.

    Raises:
        ReadError: A directory cannot be listed.
    """
    found = Contents({}, [])
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(directory / inside) as items:
                for item in items:
                    path = f"{inside}{item.name}"
                    if item.is_dir(follow_symlinks=False):
                        found.folders.append(path)
                        waiting.append(f"{path}/")
                    else:
                        found.files[path] = item.is_file(follow_symlinks=False)
        except OSError as error:
            raise ReadError(f"{directory / inside} cannot be listed: {error.strerror}.") from error
    return found
