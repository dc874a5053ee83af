"""What is no file, or is not the same from one moment to the next; and every format under others' names."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.hostile.bundles import DATA, bundle, tensor
from tests.hostile.case import Case, Make, Outcome, read, refused
from tests.hostile.hdf5_links import model
from tests.hostile.hdf5_sizes import MIB
from tests.hostile.saved_models import saved
from tests.hostile.zips import archive, members, pack


def _weights(folder: Path) -> Path:
    return model(lambda _: None)(folder)


def _link(target: str) -> Make:
    """Return what makes a symbolic link."""

    def make(folder: Path) -> Path:
        (folder / "m.keras").symlink_to(target)
        return folder / "m.keras"

    return make


def _found_link(folder: Path) -> Path:
    """Put a link out of the folder beside a sound model, and audit the folder."""
    _weights(folder)
    (folder / "n.weights.h5").symlink_to("../canary/secret.h5")
    return folder


def _circle(folder: Path) -> Path:
    """Let a folder hold a link to itself."""
    _weights(folder)
    (folder / "again").symlink_to(".")
    return folder


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "m.keras")
    return folder / "m.keras"


def _socket(folder: Path) -> Path:
    path = folder / "m.keras"
    here = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/m.keras" if len(str(path)) > 100 else str(path))
    finally:
        os.close(here)
    return path


def _hole(folder: Path) -> Path:
    """Make a file of a tebibyte of nothing behind the beginning of an HDF5 file."""
    path = _weights(folder)
    os.truncate(path, 1 << 40)
    return path


def _hidden_zeros(folder: Path) -> Path:
    path = folder / "m.keras"
    path.touch()
    os.truncate(path, 1 << 40)
    return path


def _long_name(folder: Path) -> Path:
    path = folder / ("\x1b[31m\n::error::" + "a" * 200)
    shutil.move(_weights(folder), path)
    return path


def _renamed(make: Make, name: str) -> Make:
    """Return what makes a model and gives its file another name."""

    def made(folder: Path) -> Path:
        return make(folder).rename(folder / name)

    return made


def _large(folder: Path) -> Path:
    """Make a model that takes a moment to read."""
    path = folder / "m.weights.h5"
    import h5py
    import numpy as np

    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.random.default_rng(1).normal(0, 0.01, (4096, 4096)).astype(np.float32)
    return path


def _shrink(path: Path) -> None:
    """Cut the file, and make it whole again in name only."""
    with suppress(OSError):
        os.truncate(path, 5 * MIB)


def _grow(path: Path) -> None:
    with suppress(OSError), path.open("ab") as file:
        file.write(b"more")


def _rewrite(path: Path) -> None:
    with suppress(OSError), path.open("r+b") as file:
        file.seek(32 * MIB)
        file.write(os.urandom(64))


def _replace(path: Path) -> None:
    """Put a link to the bait where the file was."""
    beside = path.with_name("next")
    with suppress(OSError):
        beside.symlink_to("../canary/secret.h5")
        beside.replace(path)


def _moving(name: str, during: object, says: str) -> Case:
    return Case(name, _large, Outcome.REFUSED, says, during)  # type: ignore[arg-type]


ZIP = archive(lambda: pack(members()))
CHECKPOINT = bundle(tensor())
SAVED = partial(saved(b""))
SUFFIXES = ("m.keras", "m.h5", "m.weights.h5", "m.weights.json", "saved_model.pb", "m.txt")

CASES: list[Case] = [
    refused("place: a name that is not there", lambda folder: folder / "m.keras", "does not exist|no such"),
    refused("place: an empty folder", lambda folder: folder, "no saved model"),
    refused("place: a pipe", _pipe, "neither a file|not a regular"),
    refused("place: a socket", _socket, "neither a file|not a regular|cannot be opened"),
    refused("place: a link to a pipe", _link("../canary/pipe"), "neither a file|not a regular"),
    refused("place: /dev/zero", lambda _: Path("/dev/zero"), "neither a file|not a regular"),
    refused("place: a link to /dev/zero", _link("/dev/zero"), "neither a file|not a regular"),
    refused("place: a link to itself", _link("m.keras"), "link|does not exist|cannot"),
    refused("place: a link that leads nowhere", _link("nothing"), "link|does not exist"),
    refused("place: a link out of a folder that is searched", _found_link, "leads out of the directory"),
    Case("place: a folder in a circle", _circle, Outcome.READ, "1 of 1 tensor"),
    refused("place: a tebibyte of nothing", _hidden_zeros, "is not a saved"),
    Case("place: a tebibyte of nothing behind HDF5", _hole, Outcome.READ, "1 of 1 tensor"),
    Case("place: a file name that commands a terminal", _long_name, Outcome.READ, "1 of 1 tensor"),
    _moving("moving: a file that shrinks", _shrink, "changed|truncated|damaged|ends at"),
    _moving("moving: a file that grows", _grow, "changed"),
    _moving("moving: a file that is rewritten in place", _rewrite, "changed"),
    Case("moving: a file that becomes a link to the bait", _large, Outcome.READ, "1 of 1 tensor", _replace),
    *(Case(f"suffix: HDF5 called {name}", _renamed(_weights, name), Outcome.READ, "1 of 1 tensor")
      for name in SUFFIXES if name != "m.keras"),
    Case("suffix: HDF5 called m.keras", _renamed(_weights, "m.keras"), Outcome.READ, "1 of 1 tensor"),
    *(Case(f"suffix: a Keras archive called {name}", _renamed(ZIP, name), Outcome.READ, "2 of 2 tensors")
      for name in SUFFIXES),
    *(refused(f"suffix: a checkpoint's index called {name}", _renamed(CHECKPOINT, name), "not audited")
      for name in SUFFIXES),
    *(refused(f"suffix: saved_model.pb called {name}",
              lambda folder, name=name: (SAVED(folder) / "saved_model.pb").rename(folder / name), "not audited|is not")
      for name in SUFFIXES if name != "saved_model.pb"),
    *(refused(f"suffix: values alone called {name}",
              lambda folder, name=name: [(folder / name).write_bytes(DATA), folder / name][1], "is not a saved")
      for name in SUFFIXES),
]  # fmt: skip
