"""What is no file, or is not the same from one moment to the next; and every format under others' names."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from tests.hostile.bundles import DATA, bundle, tensor
from tests.hostile.case import Case, Make, Outcome, refused
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


def _linked_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return _link("pipe")(folder)


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
    """Give a file a name that commands a terminal."""
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
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = (
            np.random.default_rng(1).normal(0, 0.01, (4096, 4096)).astype(np.float32)
        )
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
    """Put another sound model where the file was: one of both is read, and no mixture."""
    beside = path.parent / "next"
    beside.mkdir(exist_ok=True)
    _weights(beside).replace(path)


def _graph_alone(name: str) -> Make:
    """Return what writes the graph of a SavedModel under another name."""

    def make(folder: Path) -> Path:
        return (SAVED(folder) / "saved_model.pb").rename(folder / name)

    return make


def _values_alone(name: str) -> Make:
    """Return what writes bytes of a tensor and nothing else."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(DATA)
        return folder / name

    return make


ZIP = archive(lambda: pack(members()))
CHECKPOINT = bundle(tensor())
SAVED = saved(b"")
SUFFIXES = ("m.keras", "m.h5", "m.weights.h5", "m.weights.json", "m.txt")
WRONG = "suffix: {} called saved_model.pb"

CASES: list[Case] = [
    Case(
        "place: a name that is not there",
        lambda folder: folder / "m.keras",
        Outcome.UNKNOWN,
        "does not exist",
    ),
    refused("place: an empty folder", lambda folder: folder, "no saved model"),
    refused("place: a pipe", _pipe, "neither a file|not a regular"),
    refused("place: a socket", _socket, "neither a file|not a regular|cannot be opened"),
    refused("place: a link to a pipe", _linked_pipe, "not a regular"),
    refused("place: /dev/zero", lambda _: Path("/dev/zero"), "neither a file|not a regular"),
    refused("place: a link to /dev/zero", _link("/dev/zero"), "neither a file|not a regular"),
    Case("place: a link to itself", _link("m.keras"), Outcome.UNKNOWN, "does not exist"),
    Case("place: a link that leads nowhere", _link("nothing"), Outcome.UNKNOWN, "does not exist"),
    refused("place: a link out of a folder that is searched", _found_link, "leads out of the directory"),
    Case("place: a folder in a circle", _circle, Outcome.READ, "1 of 1 tensor"),
    refused("place: a tebibyte of nothing", _hidden_zeros, "is not a saved"),
    Case("place: a tebibyte of nothing behind HDF5", _hole, Outcome.READ, "1 of 1 tensor"),
    Case("place: a file name that commands a terminal", _long_name, Outcome.READ, "1 of 1 tensor"),
    Case(
        "moving: a file that shrinks", _large, Outcome.REFUSED, "changed|truncated|damaged|ends at", _shrink
    ),
    Case("moving: a file that grows", _large, Outcome.REFUSED, "changed", _grow),
    Case("moving: a file that is rewritten in place", _large, Outcome.REFUSED, "changed", _rewrite),
    Case(
        "moving: a file that is replaced by others",
        _large,
        Outcome.EITHER,
        "1 of 1 tensor|changed while",
        _replace,
    ),
    *(
        Case(f"suffix: HDF5 called {name}", _renamed(_weights, name), Outcome.READ, "1 of 1 tensor")
        for name in SUFFIXES
    ),
    *(
        refused(WRONG.format(what), _renamed(make, "saved_model.pb"), "is damaged")
        for what, make in (("HDF5", _weights), ("a Keras archive", ZIP), ("a checkpoint's index", CHECKPOINT))
    ),
    *(
        Case(f"suffix: a Keras archive called {name}", _renamed(ZIP, name), Outcome.READ, "2 of 2 tensors")
        for name in SUFFIXES
    ),
    *(
        refused(f"suffix: a checkpoint's index called {name}", _renamed(CHECKPOINT, name), "not audited")
        for name in SUFFIXES
    ),
    *(
        refused(f"suffix: saved_model.pb called {name}", _graph_alone(name), "is not a saved")
        for name in SUFFIXES
    ),
    *(
        refused(f"suffix: values alone called {name}", _values_alone(name), "is not a saved")
        for name in SUFFIXES
    ),
]
