"""Tells which files of a folder were opened or changed, by the kernel's own account (inotify)."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_OPENED, _CHANGED, _CREATED, _DELETED, _MOVED = 0x20, 0x2, 0x100, 0x200, 0xC0
_NOT_BLOCKING = os.O_NONBLOCK
_EVENT = struct.Struct("iIII")

CAN_WATCH = sys.platform == "linux"


class Watch:
    """Watches the files of a folder for as long as it is open.

    Args:
        folder: The folder; folders in it are not watched.
    """

    def __init__(self, folder: Path) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        self._fd = self._library.inotify_init1(_NOT_BLOCKING)
        events = _OPENED | _CHANGED | _CREATED | _DELETED | _MOVED
        if self._fd < 0 or self._library.inotify_add_watch(self._fd, os.fsencode(folder), events) < 0:
            raise OSError(ctypes.get_errno(), f"{folder} cannot be watched")

    def touched(self) -> list[str]:
        """Return the sorted names of what was touched since the last call; that of the folder is empty."""
        names: set[str] = set()
        try:
            while raw := os.read(self._fd, 1 << 16):
                place = 0
                while place < len(raw):
                    *_, length = _EVENT.unpack_from(raw, place)
                    place += _EVENT.size + length
                    names.add(raw[place - length : place].rstrip(b"\0").decode())
        except BlockingIOError:
            return sorted(names)
        return sorted(names)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
