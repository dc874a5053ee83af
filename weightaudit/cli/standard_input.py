"""A model that comes through standard input, as ``-`` among the paths."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.discover import Target, gather, search
from weightaudit.errors import ReadError, UsageError
from weightaudit.storage.termination import terminable

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from weightaudit.discover import Search

_PIECE = 1 << 20
"""Bytes that are copied at once."""


@contextmanager
def searched(paths: Sequence[str]) -> Generator[Search]:
    """Find the models of a command line, of which ``-`` is the one on standard input; see `search`.

    That one is kept in a temporary file for the block, because no format of a model can be read
    from front to back; its label is ``-``.

    Raises:
        UsageError: Standard input is a terminal; or see `search`.
        ReadError: What comes cannot be read, or there is no room for it.
    """
    others = [path for path in paths if path != "-"]
    if len(others) == len(paths):
        yield search(paths)
        return
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - so Python has it where it was closed
        raise UsageError("- stands for standard input, which is closed; pipe a model into it.")
    if sys.stdin.isatty():
        raise UsageError("- stands for standard input, which is a terminal; pipe a model into it.")
    found = gather(others)
    with terminable(), tempfile.TemporaryDirectory(prefix="weightaudit-") as folder:
        own = Target(_received(Path(folder)), "-", explicit=True)
        yield replace(found, targets=(own, *found.targets))


def _received(folder: Path) -> Path:
    file = folder / "standard input"
    try:
        with file.open("xb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy, _PIECE)
    except OSError as error:
        raise ReadError(
            f"Standard input cannot be kept below {folder.parent}: {error.strerror or error}; "
            "name another directory by TMPDIR."
        ) from error
    return file
