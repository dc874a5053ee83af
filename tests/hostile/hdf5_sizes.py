"""Small HDF5 files that declare much, unfold to much, or nest without end."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import h5py
import numpy as np

from tests.formats.hdf5_writer import Writer
from tests.hostile.canary import weights
from tests.hostile.case import Case, found, read, refused
from tests.hostile.hdf5_links import KERNEL, model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20


def _late(shape: tuple[int, ...], count: int = 1) -> Callable[[h5py.File], object]:
    """Return a change that declares datasets and writes none of their values."""

    def change(file: h5py.File) -> None:
        for number in range(count):
            chunks = tuple(min(length, 1 << 10) for length in shape)
            file.create_dataset(f"layers/e{number}/vars/0", shape, np.float32, chunks=chunks)

    return change


def _bomb(folder: Path, chunks: int, mebibytes: int) -> Path:
    """Write chunks of zeros, each packed a thousandfold."""
    path = folder / "m.weights.h5"
    elements = mebibytes * MIB // 4
    packed = zlib.compress(bytes(4 * elements), 9)
    with h5py.File(path, "w", libver="latest") as file:
        file[KERNEL] = weights()
        data = file.create_dataset(
            "layers/e/vars/0", (elements * chunks,), np.float32, chunks=(elements,), compression="gzip"
        )
        for number in range(chunks):
            data.id.write_direct_chunk((number * elements,), packed)
    return path


def _many_bombs(folder: Path) -> Path:
    """Write tensors of one chunk each, as large as a chunk may be, for as many threads."""
    path = _bomb(folder, 1, 64)
    with h5py.File(path, "r+", libver="latest") as file:
        packed = file["layers/e/vars/0"].id.read_direct_chunk((0,))[1]
        for number in range(7):
            data = file.create_dataset_like(f"layers/f{number}/vars/0", file["layers/e/vars/0"])
            data.id.write_direct_chunk((0,), packed)
    return path


def _deflated_twice(folder: Path) -> Path:
    """Name the filter deflate twice, so that a few kilobytes become a gibibyte."""
    path = folder / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file[KERNEL] = weights()
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((12,))
        plist.set_deflate(9)
        plist.set_deflate(9)
        space = h5py.h5s.create_simple((12,))
        group = file.create_group("layers/e/vars")
        data = h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, plist)
        data.write_direct_chunk((0,), zlib.compress(zlib.compress(bytes(64 * MIB))))
    return path


def _lying_chunk(folder: Path) -> Path:
    """Pack more into a chunk than it has room for."""
    path = folder / "m.weights.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(KERNEL, (16, 16), np.float32, chunks=(16, 16), compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(bytes(64 * MIB), 9))
    return path


def _short_chunk(folder: Path) -> Path:
    """Pack less into a chunk than it has room for."""
    path = folder / "m.weights.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(KERNEL, (16, 16), np.float32, chunks=(16, 16), compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(weights().tobytes()[:-4]))
    return path


def _wide_strings(file: h5py.File) -> None:
    kind = h5py.h5t.C_S1.copy()
    kind.set_size((1 << 31) - 1)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    group = file.create_group("notes")
    h5py.h5d.create(group.id, b"0", kind, h5py.h5s.create_simple((2,)), plist)


def _deep(file: h5py.File) -> None:
    file["/".join(["layers", *"a" * 3000, "vars/0"])] = weights()


def _wide_chunks(file: h5py.File) -> None:
    for number in range(64):
        file.create_dataset(
            f"layers/e{number}/vars/0", (1,), np.float32, chunks=(16 * MIB,), maxshape=(None,)
        )


def _long_attribute(file: h5py.File) -> None:
    file.attrs["layer_names"] = np.array([b"x" * 60_000])
    file.attrs["keras_version"] = "9" * 60_000


def _wrong_attributes(file: h5py.File) -> None:
    file.attrs["layer_names"] = np.arange(3)
    file.attrs["model_config"] = np.float32(1.0)


def _reference_attribute(file: h5py.File) -> None:
    file.attrs["layer_names"] = file[KERNEL].ref


def _unheard_of_filter(folder: Path) -> Path:
    """Ask for a filter that HDF5 would look for among its plugins, and load."""
    path = folder / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(KERNEL, data=weights(), chunks=(16, 16), compression="gzip")
    raw = path.read_bytes()
    place = raw.index(b"deflate\0")
    code = struct.unpack_from("<H", raw, place - 8)[0]
    if code != 1:
        raise ValueError(code)
    path.write_bytes(raw[: place - 8] + struct.pack("<H", 32_015) + raw[place - 6 :])
    return path


def _million_objects(folder: Path) -> Path:
    """Write 200,000 datasets of 28 bytes each, in groups of 10,000."""
    writer = Writer()
    layers: list[tuple[str, int]] = []
    for number in range(20):
        variables = writer.group([writer.dataset(1) for _ in range(10_000)])
        layers.append((f"d{number:02}", writer.named([("vars", variables)])))
    path = folder / "m.weights.h5"
    writer.save(path, writer.named([("layers", writer.named(layers))]))
    return path


CASES: list[Case] = [
    refused("hdf5: a tensor of 8 TiB", model(_late((1 << 41,))), "declares 8796093"),
    refused("hdf5: a tensor of 2^33 x 2^33", model(_late((1 << 33, 1 << 33))), "room for more than"),
    refused("hdf5: 64 tensors of 3 GiB", model(_late((768 * MIB,), 64)), "--max-tensors|declares"),
    refused("hdf5: 4 GiB of zeros in 4 MB", lambda folder: _bomb(folder, 64, 64), "declares \\d+ bytes"),
    read("hdf5: 512 MiB of zeros in 500 kB, as a control", lambda folder: _bomb(folder, 8, 64)),
    read("hdf5: eight tensors of 64 MiB of zeros, eight threads, as a control", _many_bombs, "--jobs", "8"),
    refused("hdf5: a chunk of 80 MiB", lambda folder: _bomb(folder, 1, 80), "not plausible"),
    refused("hdf5: a chunk deflated twice", _deflated_twice, "packs .* with HDF5 filter"),
    refused("hdf5: a chunk that inflates to more than it is", _lying_chunk, "chunk|inflate|damaged"),
    refused("hdf5: a chunk that inflates to less than it is", _short_chunk, "chunk|inflate|damaged"),
    read("hdf5: strings of 2 GiB each, which are not read, as a control", model(_wide_strings)),
    refused("hdf5: 3,000 nested groups", model(_deep), "nests groups more than 200 deep"),
    refused("hdf5: 64 chunks of 64 MiB for 64 numbers", model(_wide_chunks), "not plausible|plausible"),
    found("hdf5: attributes of 60,000 bytes", model(_long_attribute), "WA112"),
    refused("hdf5: attributes of wrong types", model(_wrong_attributes), "not a list of text"),
    refused("hdf5: a reference for an attribute", model(_reference_attribute), "not a list of text"),
    refused("hdf5: a filter of a plugin", _unheard_of_filter, "HDF5 filter 32015"),
    refused("hdf5: 200,000 tensors", _million_objects, "--max-tensors"),
    refused(
        "hdf5: more tensors than the user wants",
        model(_late((4,), 20)),
        "--max-tensors",
        "--max-tensors",
        "9",
    ),
    refused("hdf5: more names than the user wants", model(_deep), "--max-metadata", "--max-metadata", "99"),
]
