"""Loaded by every interpreter of a guarded run: notes and refuses what would reach beyond this machine.

What is refused is also written down, because a library may catch the error and go on in silence. Python's
audit events are complete for Python's own modules; what C code does by itself is for strace to see.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

LOG = "WEIGHTAUDIT_GUARD"
"""Environment variable with the file that notes go to, one a line."""

HERE = {"socket.__new__", "socket.gethostname", "socket.sendmsg"}
"""Events of sockets that a pair of connected Unix sockets and the name of this machine need."""

BEYOND = (
    "socket.",
    "urllib.",
    "http.",
    "ftplib.",
    "smtplib.",
    "imaplib.",
    "poplib.",
    "nntplib.",
    "telnetlib.",
)
PROGRAMS = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "subprocess.Popen",
    "pty.spawn",
    "webbrowser.",
)
OURS = "hdf5_lister.py"
"""The one program that weightaudit starts, with this interpreter."""
H5PY_ASKS = ["uname", "-p"]
"""What h5py has the standard library run when it is imported, to know the processor."""


def _is_refused(event: str, arguments: tuple[Any, ...]) -> bool:
    """Say whether an audit event is one of reaching out."""
    if event == "socket.__new__":
        # Without a family it wraps a descriptor that is there.
        return arguments[1] not in {1, -1}
    if event == "socket.sendmsg":
        return arguments[1] is not None
    if event == "subprocess.Popen":
        words = [os.fsdecode(word) for word in arguments[1]]
        return words != H5PY_ASKS and (words[0] != sys.executable or not words[-1].endswith(OURS))
    return event not in HERE


def _guard(environment: Mapping[str, str]) -> None:
    log = os.open(environment[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not event.startswith((*BEYOND, *PROGRAMS)):
            return
        is_refused = _is_refused(event, arguments)
        # What is known of a socket that is about to be is its family; its first argument is not there yet.
        told = arguments[1:] if event.startswith("socket.") else arguments[:2]
        os.write(log, f"{'refused' if is_refused else 'allowed'} {event} {told}\n".encode(errors="replace"))
        if is_refused:
            raise PermissionError(f"{event} in a guarded run")

    sys.addaudithook(hook)


if LOG in os.environ:
    _guard(os.environ)
