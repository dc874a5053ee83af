"""Starts the process that lists HDF5 files, ahead of time, and asks it.

The process needs about as long to import h5py as the rest of an audit takes, so one is started
as soon as it is likely to be needed, and waits. Each process lists one file and ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from weightaudit.limits import Limits
    from weightaudit.source import LocalFile

_SCRIPT = Path(__file__).with_name("hdf5_lister.py")


class _Lister:
    """A process that waits for one request: a file descriptor, and bounds on what it may do."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # "::" switches HDF5's search for filter plugins off: it would load any library on its path.
        environment = {
            **os.environ,
            "HDF5_PLUGIN_PRELOAD": "::",
            "HDF5_USE_FILE_LOCKING": "FALSE",
            "OPENBLAS_NUM_THREADS": "1",
        }
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own script, run by the interpreter that runs us
                [sys.executable, "-P", str(_SCRIPT)],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
        self._socket = ours

    def ask(self, request: dict[str, Any], fd: int, timeout: float) -> tuple[int, bytes, bytes]:
        """Send the request and return (exit status, output, errors).

        Raises:
            TimeoutExpired: There was no answer in time; the process was killed.
        """
        try:
            with self._socket, contextlib.suppress(BrokenPipeError):
                socket.send_fds(self._socket, [json.dumps(request).encode()], [fd])
            output, errors = self._process.communicate(timeout=timeout)
        except BaseException:
            self.stop()
            raise
        return self._process.returncode, output, errors

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._socket.close()
        self._process.kill()
        self._process.communicate()


_waiting: list[_Lister] = []


def prepare() -> None:
    """Start a process that will list the next HDF5 file, unless one waits already."""
    if not _waiting:
        _waiting.append(_Lister())


@atexit.register
def discard() -> None:
    """End a process that was started and not needed."""
    while _waiting:
        _waiting.pop().stop()


def _take() -> _Lister:
    # Two threads may want the one that waits.
    try:
        return _waiting.pop()
    except IndexError:
        return _Lister()


def ask_lister(file: LocalFile, base: int, size: int, limits: Limits) -> dict[str, Any]:
    """Have a part of a file listed by a confined process.

    Args:
        file: The open file.
        base: Where the HDF5 data begins in it.
        size: How many bytes it has.
        limits: Bounds on what the data may ask for, and on the process.

    Returns:
        The answer of `hdf5_lister`: ``datasets`` and ``groups``, or ``error``.

    Raises:
        ReadError: The process crashed, or did not answer in time.
    """
    request = {
        "base": base,
        "size": size,
        "max_tensors": limits.max_tensors,
        "max_metadata": limits.max_metadata,
        "max_depth": limits.max_depth,
        "memory": limits.parser_memory,
        "cpu_seconds": int(limits.timeout) + 1,
    }
    try:
        status, output, errors = _take().ask(request, file.fd, limits.timeout)
    except subprocess.TimeoutExpired:
        raise ReadError(
            f"{file.label} keeps the HDF5 parser busy for more than {limits.timeout:g} s; "
            "it is very large, or its metadata is damaged or hostile."
        ) from None
    if status != 0:
        cause = _last_line(errors) if status > 0 else f"signal {-status}"
        raise ReadError(f"{file.label} breaks the HDF5 parser ({cause}); its metadata is damaged or hostile.")
    try:
        return cast("dict[str, Any]", json.loads(output))
    except ValueError:
        raise ReadError(
            f"{file.label} breaks the HDF5 parser (no answer); its metadata is damaged."
        ) from None


def _last_line(raw: bytes) -> str:
    lines = raw.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else "no message"
