"""Lets a process that is told to end clean up first, and not in the middle of what should be whole."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

_SIGNALS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
"""Signals that end a process, and what Python does about each if nobody told it otherwise."""

INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a process that was interrupted, as shells report it."""


class Terminated(BaseException):
    """Raised in the main thread when the process is told to end; no error, so nothing catches it on the way.

    Attributes:
        exit_code: 128 and the number of the signal, as shells report it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class _Shield:
    """Whether signals are held back, and the one that was."""

    depth = 0
    held: int | None = None


@contextmanager
def terminable() -> Generator[None]:
    """Raise Terminated in the block on SIGTERM and SIGHUP, so that what it began is cleaned up.

    SIGINT raises KeyboardInterrupt, as ever. Signals that the process ignores (``nohup``) stay
    ignored, and a second one does not disturb the clean-up. Does nothing outside the main thread,
    which alone receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    mine = [number for number, handler in before.items() if handler is _SIGNALS[number]]
    for number in mine:
        signal.signal(number, _receive)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, before[number])


@contextmanager
def uninterrupted() -> Generator[None]:
    """Hold the signals of `terminable` back until the end of the block, which had better be quick."""
    _Shield.depth += 1
    try:
        yield
    finally:
        _Shield.depth -= 1
        if _Shield.held is not None and not _Shield.depth:
            number, _Shield.held = _Shield.held, None
            _end(number)


def _receive(number: int, _frame: FrameType | None) -> None:
    for other in _SIGNALS:
        if signal.getsignal(other) is _receive:
            signal.signal(other, signal.SIG_IGN)
    if _Shield.depth:
        _Shield.held = number
    else:
        _end(number)


def _end(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(number)
