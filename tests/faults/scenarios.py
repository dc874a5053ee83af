"""What the fault tests do to a world; see `harness` for how to add to it."""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path

from tests.faults.models import (
    CHECKPOINT,
    DIRECTORY,
    FILE,
    OTHER_SHARDS,
    SHARDS,
    Maker,
)
from weightaudit import open_checkpoint
from weightaudit.digests import tensor_digests
from weightaudit.errors import WeightauditError
from weightaudit.formats import Kind
from weightaudit.source import LocalFile
from weightaudit.storage.copying import clone_file
from weightaudit.storage.failures import writing
from weightaudit.storage.publishing import save_bytes
from weightaudit.storage.replacing import publish_model, replace_model
from weightaudit.storage.staging import Staging
from weightaudit.writing.files import ModelFiles, model_files

HERE, SOURCE = "here", "source"
"""Directories of a world: where the model is, and where the one is that is put there."""

PAUSES, LONGEST_PAUSE = "pauses", 0.2
"""A file in the world of an endless scenario that lets a reader have a chance, and seconds."""

Arm = Callable[[], None]
Done = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One change of a world.

    Attributes:
        build: Makes the old world in an empty directory.
        act: Changes it into the new one; calls its second argument when faults may begin. Returns
            exit code and message, or raises WeightauditError.
        state: Says what is there: ``old``, ``new``, or what is wrong.
        repeatable: Whether the action can be done again once it is done.
        main: Name in `HERE` of the file or directory that makes the world new when it gets its
            name; empty if the order of calls is not to be looked at.
    """

    build: Callable[[Path], None]
    act: Callable[[Path, Arm], Done]
    state: Callable[[Path], str]
    repeatable: bool = True
    main: str = ""


def command(*arguments: str) -> Callable[[Path, Arm], Done]:
    """Return the action of a command line, given in the directory where the model is."""

    def act(world: Path, arm: Arm) -> Done:
        from weightaudit.__main__ import main

        os.chdir(world / HERE)
        sys.argv = ["weightaudit", *arguments]
        with tempfile.TemporaryFile() as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            arm()
            code = main()
            sys.stdout.flush()
            return code, os.pread(output.fileno(), 1 << 16, 0).decode(errors="replace")

    return act


def publishing(name: str, new: Maker, main: str = "") -> Scenario:
    """Return the scenario of a model that gets a name which nothing has yet."""

    def act(world: Path, arm: Arm) -> Done:
        source = files_of(world / SOURCE / name)
        arm()
        with Staging(world / HERE / name) as staging:
            publish_model(staged(source, staging.path), world / HERE / name)
        return 0, ""

    return Scenario(_builder(None, new), act, _looker(name, None, new), False, main or name)


def replacing(name: str, old: Maker, new: Maker, main: str = "") -> Scenario:
    """Return the scenario of a model that replaces another one."""

    def act(world: Path, arm: Arm) -> Done:
        source, destination = files_of(world / SOURCE / name), files_of(world / HERE / name)
        arm()
        _replace(source, destination)
        return 0, ""

    return Scenario(_builder(old, new), act, _looker(name, old, new), main=main or name)


def alternating(name: str, old: Maker, new: Maker) -> Scenario:
    """Return the scenario of two models that replace each other until the process is killed."""

    def build(world: Path) -> None:
        _builder(old, new)(world)
        (world / "again").mkdir()
        old(world / "again")

    def act(world: Path, arm: Arm) -> Done:
        arm()
        for folder in cycle((SOURCE, "again")):
            _replace(files_of(world / folder / name), files_of(world / HERE / name))
            if (world / PAUSES).exists():
                time.sleep(random.uniform(0, LONGEST_PAUSE))  # noqa: S311 - no secret
        return 0, ""

    return Scenario(build, act, _looker(name, old, new))


def saving() -> Scenario:
    """Return the scenario of a small file that is written anew."""

    def build(world: Path) -> None:
        (world / HERE).mkdir(parents=True)
        (world / HERE / "report.txt").write_text("old")

    def act(world: Path, arm: Arm) -> Done:
        arm()
        save_bytes(b"new", world / HERE / "report.txt")
        return 0, ""

    return Scenario(build, act, lambda world: (world / HERE / "report.txt").read_text(), main="report.txt")


def _replace(source: ModelFiles, destination: ModelFiles) -> None:
    with Staging(destination.path) as staging:
        replace_model(staged(source, staging.path), destination)


def staged(files: ModelFiles, into: Path) -> ModelFiles:
    """Copy a model into a staging directory, as a writer of models does."""
    with writing(f"A copy of {files.path.name} cannot be written"):
        root = into / "new" if files.is_directory else into
        root.mkdir(exist_ok=True)
        for folder in files.folders:
            (root / folder).mkdir()
        for name in files.names:
            source = LocalFile(files.root / name)
            try:
                clone_file(source.fd, root / name)
            finally:
                source.close()
    return ModelFiles(files.kind, root, files.main, files.names, files.folders)


def files_of(path: Path) -> ModelFiles:
    """Return the files of a model, as `model_files` does, but without a reader where that is possible."""
    if path.suffix == ".json":
        placed = json.loads(path.read_text())["weight_map"].values()
        shards = {shard for where in placed for shard in where}
        return ModelFiles(Kind.SHARD_INDEX, path.parent, path.name, tuple(sorted({*shards, path.name})))
    if path.suffix == ".keras":
        return ModelFiles(Kind.KERAS_ARCHIVE, path.parent, path.name, (path.name,))
    if path.is_dir():
        below = {each.relative_to(path).as_posix(): each.is_dir() for each in sorted(path.rglob("*"))}
        names = tuple(name for name, is_folder in below.items() if not is_folder)
        return ModelFiles(Kind.SAVED_MODEL, path, "", names, tuple(below.keys() - set(names)))
    with open_checkpoint(path) as model:
        return model_files(model)


def look(path: Path, *, check: bool = True) -> tuple[object, ...]:
    """Return what makes a model the one that it is: all its tensors, by digest, and its damage.

    Args:
        path: The model.
        check: Whether it must be as it was opened when everything has been read.

    Raises:
        WeightauditError: It cannot be read, or changed meanwhile.
    """
    with open_checkpoint(path) as model:
        found = tuple(sorted(tensor_digests(model, workers=1).items())), model.defects
        if check:
            model.check_unchanged()
        return found


def _builder(old: Maker | None, new: Maker) -> Callable[[Path], None]:
    def build(world: Path) -> None:
        for folder in (HERE, SOURCE):
            (world / folder).mkdir(parents=True)
        if old is not None:
            old(world / HERE)
        new(world / SOURCE)

    return build


def _looker(name: str, old: Maker | None, new: Maker) -> Callable[[Path], str]:
    def state(world: Path) -> str:
        path = world / HERE / name
        if old is None and not path.exists() and not path.with_name(f"{name}.index").exists():
            return "old"
        makers = {"new": new} if old is None else {"new": new, "old": old}
        if path.suffix == ".json" and not path.with_name("sharded_00000.weights.h5").exists():
            return "without the shard that Keras opens first"
        # The reader need not be asked about the very bytes that it has been asked about.
        present = content(path)
        for word, make in makers.items():
            if present == known(name, make)[0]:
                return word
        try:
            found = look(path)
        except WeightauditError as error:
            return f"unreadable: {error}"
        for word, make in makers.items():
            if found == known(name, make)[1]:
                return word
        return f"mixed: {found}"

    return state


def listing(folder: Path) -> list[str]:
    """Return the names in a directory, sorted."""
    return sorted(path.name for path in folder.iterdir())


def content(model: Path) -> dict[str, bytes]:
    """Return the content of all files that a model may have, by name: those beside it that are like it."""
    root = model if model.is_dir() else model.parent
    paths = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


@cache
def known(name: str, make: Maker) -> tuple[dict[str, bytes], tuple[object, ...]]:
    """Return content and tensors of a model that nothing has happened to."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        return content(Path(folder) / name), look(Path(folder) / name)


SCENARIOS = {
    "publish a file": publishing(FILE.name, FILE.new),
    "publish a directory": publishing(DIRECTORY.name, DIRECTORY.new),
    "publish a checkpoint": publishing(CHECKPOINT.name, CHECKPOINT.new, "m.index"),
    "publish shards": publishing(SHARDS.name, SHARDS.new),
    "replace a file": replacing(*FILE),
    "replace a directory": replacing(*DIRECTORY),
    "replace a checkpoint": replacing(*CHECKPOINT, "m.index"),
    "replace by other shards": replacing(*OTHER_SHARDS, "m.index"),
    "replace shards": replacing(*SHARDS),
    "save a report": saving(),
}
"""All scenarios that end, by name."""

PAIRS = {
    "replace a file": FILE,
    "replace a directory": DIRECTORY,
    "replace a checkpoint": CHECKPOINT,
    "replace shards": SHARDS,
}
"""The models of some of them."""

ENDLESS = {f"{name} again and again": alternating(*pair) for name, pair in PAIRS.items()}
"""Scenarios that end when their process is killed."""
