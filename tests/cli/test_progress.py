"""The progress bar: on standard error, for those who wait at a terminal, and for nobody else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from weightaudit.cli import progress
from weightaudit.cli.progress import ProgressBar

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    """A terminal that remembers what was shown."""

    def isatty(self) -> bool:
        """Say that somebody looks."""
        return True


def shown(monkeypatch: pytest.MonkeyPatch, *, patience: float, enabled: bool = True) -> str:
    """Return what an audit of two models shows on a terminal."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "PATIENCE", patience)
    monkeypatch.setenv("TERM", "xterm-256color")
    with ProgressBar(enabled=enabled) as bar:
        for label in ("first", "second\x1b[2J[bold]"):
            for done in (0, 500, 1000):
                bar.update(label, done, 1000)
    return terminal.getvalue()


def test_long_work_shows_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each model is shown under its name, which is neither markup nor a terminal command."""
    text = shown(monkeypatch, patience=0.0)
    assert "first" in text
    assert "second\\x1b[2J[bold]" in text


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar that would flash up and vanish is never drawn."""
    assert shown(monkeypatch, patience=60.0) == ""


def test_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal there is no bar, however long the work takes."""
    assert shown(monkeypatch, patience=0.0, enabled=False) == ""
