"""Tries what a guarded run must not do, and swallows every error, as a library would that phones home."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

with suppress(OSError):
    socket.create_connection(("127.0.0.1", 9), timeout=1)
with suppress(OSError):
    socket.socket(socket.AF_INET)
with suppress(OSError):
    os.system("true")  # noqa: S605, S607 - it is refused, which is what is tried
with suppress(OSError):
    subprocess.run(["true"], check=False)  # noqa: S607 - as above
# Without Python's knowledge.
ctypes.CDLL(None).socket(int(socket.AF_INET), int(socket.SOCK_STREAM), 0)
Path("../made").mkdir()
(Path("../other") / "made").touch()
