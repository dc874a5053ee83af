"""Commands that write a small file: a report, a baseline, an entry of the cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.faults.models import CHECKOUT, single
from tests.faults.scenarios import HERE, Arm, Done, Scenario, command
from weightaudit.cache.store import Store
from weightaudit.storage.termination import terminable

OLD = "old"


def reporting() -> Scenario:
    """Return the scenario of a page about a model that replaces an older one."""
    options = ("--format", "html=page.html", "--no-cache", "--no-progress")
    return _writing("healthy.keras", "page.html", "check", "healthy.keras", *options)


def noting() -> Scenario:
    """Return the scenario of a first baseline."""
    options = ("--output", "known.json", "--no-progress")
    return _writing("nan.keras", "known.json", "baseline", "write", "nan.keras", *options)


def caching() -> Scenario:
    """Return the scenario of an entry of the cache that replaces another one."""
    entry, new = "0" * 64, b"new" * 999

    def build(world: Path) -> None:
        (world / HERE).mkdir(parents=True)
        (world / "cache").mkdir(mode=0o700)
        Store(world / "cache").write(entry, OLD.encode())

    def act(world: Path, arm: Arm) -> Done:
        with terminable():  # as all of the command line
            arm()
            Store(world / "cache").write(entry, new)
        # A cache does not tell what it could not keep, so here is a look.
        done = (world / "cache" / f"{entry}.stats").read_bytes() == new
        return (0, "") if done else (3, "It is not kept.")

    def state(world: Path) -> str:
        return {OLD.encode(): "old", new: "new"}.get(Store(world / "cache").read(entry) or b"", "neither")

    return Scenario(build, act, state)


def _writing(model: str, name: str, *arguments: str) -> Scenario:
    """Return the scenario of a file that a command writes, which is the same each time."""

    def build(world: Path) -> None:
        (world / HERE).mkdir(parents=True)
        single(model, model)(world / HERE)
        if name == "page.html":  # a baseline that is there is read, too
            (world / HERE / name).write_text(OLD)

    def state(world: Path) -> str:
        path = world / HERE / name
        text = path.read_text() if path.exists() else OLD
        return {OLD: "old", _written(model, name, arguments): "new"}.get(text, "neither")

    return Scenario(build, command(*arguments), state)


@cache
def _written(model: str, name: str, arguments: tuple[str, ...]) -> str:
    """Return what a command writes where nothing goes wrong."""
    with tempfile.TemporaryDirectory() as folder:
        single(model, model)(Path(folder))
        subprocess.run(
            [sys.executable, "-m", "weightaudit", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (CHECKOUT, CHECKOUT / "rules")))},
            capture_output=True,
            check=True,
        )
        return Path(folder, name).read_text()
