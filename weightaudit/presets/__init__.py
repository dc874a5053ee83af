"""Policies that come with weightaudit, as readable files; ``extends = "strict"`` builds on one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def preset_path(name: str) -> Path:
    """Return the file of a preset."""
    return _FOLDER / f"{name}.toml"
