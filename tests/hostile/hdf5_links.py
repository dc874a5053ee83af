"""HDF5 files that lead elsewhere, in circles, or to one thing by many names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np

from tests.hostile.canary import weights
from tests.hostile.case import Case, Make, read, refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KERNEL = "layers/dense/vars/0"


def model(change: Callable[[h5py.File], object], *, libver: str = "earliest") -> Make:
    """Return what makes Keras weights with a sound kernel, changed by a function."""

    def make(folder: Path) -> Path:
        path = folder / "m.weights.h5"
        with h5py.File(path, "w", libver=libver) as file:
            file[KERNEL] = weights()
            change(file)
        return path

    return make


def _external_storage(file: h5py.File) -> None:
    place = [("../canary/secret.bin", 0, 1024)]
    file.create_dataset("layers/e/vars/0", (16, 16), np.float32, external=place)


def _external_in_chunks(file: h5py.File) -> None:
    """A user's mistake rather than an attack: an absolute path to a file that is there."""
    place = [("/proc/self/environ", 0, 1024)]
    file.create_dataset("layers/e/vars/0", (16, 16), np.float32, external=place)


def _external_link(file: h5py.File) -> None:
    file["layers/e/vars/0"] = h5py.ExternalLink("../canary/secret.h5", "/x")


def _external_group(file: h5py.File) -> None:
    file["layers/e"] = h5py.ExternalLink("../canary/secret.h5", "/layers/dense")


def _external_layers(file: h5py.File) -> None:
    del file["layers"]
    file["layers"] = h5py.ExternalLink("../canary/secret.h5", "/layers")


def _external_pipe(file: h5py.File) -> None:
    del file["layers"]
    file["layers"] = h5py.ExternalLink("../canary/pipe", "/")


def _soft_link(file: h5py.File) -> None:
    file["layers/e"] = h5py.SoftLink("/layers/dense")


def _soft_circle(file: h5py.File) -> None:
    file["layers/e"] = h5py.SoftLink("/layers/f")
    file["layers/f"] = h5py.SoftLink("/layers/e")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((16, 16), np.float32)
    layout[:] = h5py.VirtualSource("../canary/secret.h5", "x", (16, 16))
    file.create_virtual_dataset("layers/e/vars/0", layout)


def _own_parent(file: h5py.File) -> None:
    file["layers/dense/up"] = file["layers"]


def _billion_paths(file: h5py.File) -> None:
    group = file["layers"]
    for level in range(30):
        child = group.create_group(f"a{level}")
        group[f"b{level}"] = child
        group = child


def _many_names(file: h5py.File) -> None:
    names, kernel = file.create_group("layers/e/vars"), file[KERNEL]
    for number in range(30_000):
        names[str(number)] = kernel


def _second_group_name(file: h5py.File) -> None:
    file["layers/batch_normalization"] = file["layers/dense"]


def _path_as_name(folder: Path) -> Path:
    """Give a hard link a name that is a path through an external link."""

    def change(file: h5py.File) -> None:
        file["sub/ext"] = h5py.ExternalLink("../canary/secret.h5", "/")
        file["aasubXext"] = file[KERNEL]

    path = model(change)(folder)
    path.write_bytes(path.read_bytes().replace(b"aasubXext", b"./sub/ext"))
    return path


def _nothing(_: h5py.File) -> None:
    """Change nothing."""


CASES: list[Case] = [
    read("hdf5: sound weights, as a control", model(_nothing)),
    read("hdf5: sound weights in new structures, as a control", model(_nothing, libver="latest")),
    refused("hdf5: values in a file outside", model(_external_storage), "data of .* in another file"),
    refused("hdf5: values in /proc", model(_external_in_chunks), "data of .* in another file"),
    refused(
        "hdf5: values in a file outside, new structures",
        model(_external_storage, libver="latest"),
        "data of .* in another file",
    ),
    refused("hdf5: external link to a dataset", model(_external_link), "holds a external link|an external"),
    refused("hdf5: external link to a layer", model(_external_group), "holds an? external link"),
    refused("hdf5: external link in place of all layers", model(_external_layers), "holds an? external link"),
    refused("hdf5: external link to a pipe", model(_external_pipe), "holds an? external link"),
    refused("hdf5: soft link", model(_soft_link), "holds a soft link"),
    refused("hdf5: soft links in a circle", model(_soft_circle), "holds a soft link"),
    refused("hdf5: virtual dataset of a file outside", model(_virtual), "from other datasets"),
    refused("hdf5: group that holds its parent", model(_own_parent), "one group twice"),
    refused(
        "hdf5: group that holds its parent, new structures",
        model(_own_parent, libver="latest"),
        "one group twice",
    ),
    refused("hdf5: a billion paths", model(_billion_paths), "one group twice"),
    refused("hdf5: 30,000 names for one dataset", model(_many_names), "names the same tensors"),
    refused("hdf5: a kernel that is a moving variance too", model(_second_group_name), "one group twice"),
    refused("hdf5: hard link whose name is a path", _path_as_name, "whose name is a path"),
]
