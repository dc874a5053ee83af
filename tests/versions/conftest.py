"""A store, copies of the small models, and short ways to commit them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from weightaudit import open_checkpoint
from weightaudit.versions.committing import Committed, commit
from weightaudit.versions.store import Store, create_store

KINDS = {
    "keras": "healthy.keras",
    "h5": "legacy.h5",
    "weights": "plain.weights.h5",
    "sharded": "sharded.weights.json",
    "checkpoint": "ckpt-1",
    "saved_model": "exported",
}
"""One small model of every kind, by what it is called on the way to it."""


@dataclass(frozen=True)
class Bench:
    """A directory with models and a store in it."""

    root: Path
    store: Store

    def put(self, path: Path, message: str = "a message", *, always: bool = False) -> Committed:
        """Commit a model."""
        with open_checkpoint(path) as checkpoint:
            return commit(self.store, checkpoint, message=message, author="somebody@somewhere", always=always)

    def model(self, name: str, source: Path) -> Path:
        """Copy a fixture, with all its files, and return its path."""
        return copied(source, self.root / name)


def copied(source: Path, target: Path) -> Path:
    """Copy a model under another name; a checkpoint with its data, shards with their own names."""
    if source.is_dir():
        return Path(shutil.copytree(source, target))
    for file in source.parent.glob(f"{source.name}.*"):
        shutil.copy(file, target.with_name(target.name + file.name.removeprefix(source.name)))
    if source.name.endswith(".weights.json"):
        for shard in source.parent.glob(f"{source.name.removesuffix('.weights.json')}_*.h5"):
            shutil.copy(shard, target.parent / shard.name)
    if source.is_file():
        shutil.copy(source, target)
    return target


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty store in an empty directory."""
    return Bench(tmp_path, create_store(tmp_path / "store"))


@pytest.fixture(scope="session")
def sources(fixtures_dir: Path) -> dict[str, Path]:
    """One small model of every kind."""
    folders = {"checkpoint": fixtures_dir / "checkpoint"}
    return {kind: folders.get(kind, fixtures_dir) / name for kind, name in KINDS.items()}


def flip(path: Path, offset: int) -> None:
    """Change one bit of a byte of a file, whatever its permissions."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    path.chmod(0o444)


def places(folder: Path) -> list[str]:
    """Return the names in a directory, sorted."""
    return sorted(item.name for item in folder.iterdir())
