"""Starts the process that lists HDF5 files, and asks it.

Importing h5py takes about as long as the rest of a small audit, so it is imported once, by a
server process that forks for every file: the fork may crash, hang or run out of memory, and the
server still serves the next one. It is started as soon as it is likely to be needed, and ends
with the process that started it.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from weightaudit.errors import ReadError
from weightaudit.formats.hdf5_native import allowance

if TYPE_CHECKING:
    from weightaudit.limits import Limits
    from weightaudit.source import LocalFile

_SCRIPT = Path(__file__).with_name("hdf5_lister.py")
_PIECE = 1 << 16

_BYTES_PER_SECOND = 1 << 16
"""Bytes of a file for which the parser gets a second of processor time, after the first; it takes
0.02 s for as many where they hold nothing but small datasets."""

_USUAL_TIMEOUT = 60.0
"""The time-out with which it gets that; with another it gets more or less in proportion."""


class _Server:
    """The server process, and the socket on which it takes requests."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._socket, theirs = socket.socketpair()
        # "::" switches HDF5's search for filter plugins off: it would load any library on its path.
        environment = {
            **os.environ,
            "HDF5_PLUGIN_PRELOAD": "::",
            "HDF5_USE_FILE_LOCKING": "FALSE",
            "OPENBLAS_NUM_THREADS": "1",
        }
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own script, run by the interpreter that runs us
                [sys.executable, "-P", str(_SCRIPT)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )

    def ask(self, request: dict[str, Any], fd: int, timeout: float) -> tuple[int, bytes]:
        """Send a request and return the exit status of the process that answered, and its answer.

        Raises:
            TimeoutError: There was no answer in time.
            OSError: The server is gone.
        """
        deadline = monotonic() + timeout
        reader, writer = os.pipe()
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], [fd, writer])
            os.close(writer)
            writer = -1
            answer = _read_all(reader, deadline)
            _wait(self._socket.fileno(), deadline)
            status = self._socket.recv(_PIECE)
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)
        if not status:
            raise ConnectionResetError
        return int(status), answer

    def stop(self) -> None:
        """End the process, and the one that it may have forked, whatever they are doing."""
        self._socket.close()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


_servers: list[_Server] = []
"""The server of this process, if one was started."""

_lock = threading.RLock()


def prepare() -> None:
    """Start the server, unless it runs already."""
    with _lock:
        # A fork of this process has a copy of the socket, and must leave it to its parent.
        if _servers and _servers[0].owner != os.getpid():
            _servers.clear()
        if _servers and _servers[0].process.poll() is not None:
            discard()
        if not _servers:
            _servers.append(_Server())


@atexit.register
def discard() -> None:
    """End the server."""
    with _lock:
        while _servers:
            server = _servers.pop()
            if server.owner == os.getpid():
                server.stop()


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
        "max_metadata": min(limits.max_metadata, allowance(size)),
        "max_depth": limits.max_depth,
        "max_aliases": limits.max_aliases,
        "memory": limits.parser_memory,
        "cpu_seconds": _cpu_seconds(size, limits.timeout),
    }
    with _lock:
        prepare()
        try:
            status, answer = _servers[0].ask(request, file.fd, limits.timeout)
        except TimeoutError:
            discard()
            raise ReadError(
                f"{file.label} keeps the HDF5 parser busy for more than {limits.timeout:g} s (--timeout); "
                "it is very large, or its metadata is damaged or hostile."
            ) from None
        except (OSError, ValueError):
            discard()
            raise ReadError(f"{file.label} could not be listed: the HDF5 parser was ended.") from None
    if status == -signal.SIGXCPU:
        raise ReadError(
            f"{file.label} keeps the HDF5 parser busy for more than the {request['cpu_seconds']} s that "
            "suffice for a file of its size (--timeout gives more); its metadata is damaged or hostile."
        )
    if status != 0:
        cause = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise ReadError(f"{file.label} breaks the HDF5 parser ({cause}); its metadata is damaged or hostile.")
    try:
        return cast("dict[str, Any]", json.loads(answer))
    except ValueError:
        raise ReadError(
            f"{file.label} breaks the HDF5 parser (no answer); its metadata is damaged."
        ) from None


def _cpu_seconds(size: int, timeout: float) -> int:
    """Return the whole seconds of processor time that listing `size` bytes may take, at least one.

    A file of a few kilobytes that holds the parser for a minute is no model: libhdf5 goes round in
    circles in some damaged ones.
    """
    share = timeout / _USUAL_TIMEOUT
    return max(1, int(min(timeout, share * (1 + size / _BYTES_PER_SECOND))))


def _read_all(fd: int, deadline: float) -> bytes:
    pieces: list[bytes] = []
    while True:
        _wait(fd, deadline)
        piece = os.read(fd, _PIECE)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)


def _wait(fd: int, deadline: float) -> None:
    """Wait until there is something to read, or raise TimeoutError."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(max(0.0, deadline - monotonic()) * 1000):
        raise TimeoutError
