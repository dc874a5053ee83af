"""The models that the fault tests write: pairs of one kind and name, an old one and a new one."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from weightaudit import open_checkpoint
from weightaudit.catalog import Extent
from weightaudit.source import LocalFile

CHECKOUT = Path(__file__).resolve().parents[2]
FIXTURES = CHECKOUT / "fixtures" / "models"

Maker = Callable[[Path], None]
"""Makes a model in a directory, under the name that it has in its scenario."""


class Pair(NamedTuple):
    """Two models of one kind and name."""

    name: str
    old: Maker
    new: Maker


def checkpoint(prefix: str, shards: int = 1) -> Maker:
    """Return the maker of a checkpoint, with all data in the first of some shards."""

    def make(folder: Path) -> None:
        from weightaudit.writing.table import renumbered_index

        index = LocalFile(FIXTURES / f"{prefix}.index")
        try:
            (folder / "m.index").write_bytes(renumbered_index(index, shards))
        finally:
            index.close()
        for number in range(shards):
            (folder / f"m.data-{number:05d}-of-{shards:05d}").touch()
        _copy(FIXTURES / f"{prefix}.data-00000-of-00001", folder / f"m.data-00000-of-{shards:05d}")

    return make


def old_saved_model(folder: Path) -> None:
    """Make a SavedModel."""
    shutil.copytree(FIXTURES / "exported", folder / "m", copy_function=_copy)


def new_saved_model(folder: Path) -> None:
    """Make one with the same graph, other variables, and a file more."""
    old_saved_model(folder)
    for kind in ("index", "data-00000-of-00001"):
        _copy(FIXTURES / f"checkpoint/ckpt-1.{kind}", folder / f"m/variables/variables.{kind}")
    # git keeps no empty directories: there may be none for assets in the fixture.
    (folder / "m/assets").mkdir(exist_ok=True)
    (folder / "m/assets/words.txt").write_text("one\ntwo\n")


def old_shards(folder: Path) -> None:
    """Make Keras weights in two shards."""
    for path in FIXTURES.glob("sharded*"):
        _copy(path, folder / path.name)


def turned(name: str, make: Maker) -> Maker:
    """Return the maker of the same model with every number's sign turned."""

    def turn(folder: Path) -> None:
        make(folder)
        with open_checkpoint(folder / name) as model:
            places = [(model.entry(info), info) for info in model if info.dtype == "float32"]
            for entry, info in places:
                assert isinstance(entry.storage, Extent)
                path = folder / model.files[entry.storage.file].label
                data = bytearray(path.read_bytes())
                for place in range(info.size):
                    data[entry.storage.offset + 4 * place + 3] ^= 0x80
                path.write_bytes(data)

    return turn


def single(model: str, name: str) -> Maker:
    """Return the maker of a file."""
    return lambda folder: _copy(FIXTURES / model, folder / name)


def unpacked(model: str) -> Maker:
    """Return the maker of a directory with the members of a ``.keras`` file."""

    def make(folder: Path) -> None:
        with zipfile.ZipFile(FIXTURES / model) as archive:
            archive.extractall(folder / "m")

    return make


def _copy(source: str | Path, target: str | Path) -> None:
    shutil.copyfile(source, target)


FILE = Pair("m.keras", single("healthy.keras", "m.keras"), single("overflow.keras", "m.keras"))
DIRECTORY = Pair("m", old_saved_model, new_saved_model)
CHECKPOINT = Pair("m", checkpoint("checkpoint/ckpt-1"), checkpoint("exported/variables/variables"))
OTHER_SHARDS = CHECKPOINT._replace(new=checkpoint("exported/variables/variables", 2))
SHARDS = Pair("sharded.weights.json", old_shards, turned("sharded.weights.json", old_shards))
_HDF5, _WEIGHTS = single("legacy.h5", "m.h5"), single("plain.weights.h5", "m.weights.h5")
HDF5 = Pair("m.h5", _HDF5, turned("m.h5", _HDF5))
WEIGHTS = Pair("m.weights.h5", _WEIGHTS, turned("m.weights.h5", _WEIGHTS))
UNPACKED = Pair("m", unpacked("healthy.keras"), unpacked("overflow.keras"))
DEFLATED = Pair("m.keras", single("deflated.keras", "m.keras"), single("overflow.keras", "m.keras"))

CONTAINERS = {
    ".keras": FILE,
    "deflated .keras": DEFLATED,
    ".h5": HDF5,
    ".weights.h5": WEIGHTS,
    "sharded weights": SHARDS,
    "unpacked .keras": UNPACKED,
    "SavedModel": DIRECTORY,
    "checkpoint": CHECKPOINT,
}
"""A pair of each container, by what people call it."""
