"""A progress bar on standard error, for people who wait."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID

PATIENCE = 0.5
"""Seconds before a bar appears; most audits are over by then."""


class ProgressBar:
    """Shows how much of which model was read; nothing at all while the work is short.

    Args:
        enabled: Whether to show anything; a bar is for a terminal, never for a log.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._since = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._label = ""

    def update(self, label: str, done: int, total: int) -> None:
        """Take in how many bytes of a model were read, of how many."""
        if not self._enabled or (self._bar is None and time.monotonic() - self._since < PATIENCE):
            return
        bar = self._bar or self._start()
        if self._task is None or label != self._label:
            if self._task is not None:
                bar.remove_task(self._task)
            self._task = bar.add_task(_short(label), total=total)
            self._label = label
        bar.update(self._task, completed=done, total=total)

    def _start(self) -> Progress:
        # Imported only now: an audit that is over at once never pays for it.
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._bar.start()
        return self._bar

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _short(label: str) -> str:
    from weightaudit.render.escape import printable

    return printable(label, 40)
