"""HDF5 files with wrong bytes: cut off, pointing elsewhere, or made to send libhdf5 in circles."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import h5py
import numpy as np

from tests.hostile.canary import weights
from tests.hostile.case import Case, Make, found, read, refused
from tests.hostile.hdf5_links import KERNEL, model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UNDEFINED = (1 << 64) - 1
LAYOUT = struct.pack("<BB", 3, 1)
"""How the layout message of contiguous values begins; their address and size follow."""


def bytes_of(content: bytes) -> Make:
    """Return what writes these bytes."""

    def make(folder: Path) -> Path:
        (folder / "m.weights.h5").write_bytes(content)
        return folder / "m.weights.h5"

    return make


SOUND = model(lambda _: None)


def damaged(change: Callable[[bytearray], None], make: Make = SOUND) -> Make:
    """Return what makes a file and changes its bytes."""

    def made(folder: Path) -> Path:
        path = make(folder)
        raw = bytearray(path.read_bytes())
        change(raw)
        path.write_bytes(raw)
        return path

    return made


def _two(file: h5py.File) -> None:
    file["layers/e/vars/0"] = weights() * np.float32(0.5)


def _attributes(file: h5py.File) -> None:
    file.attrs["keras_version"] = "2.0"
    file.attrs["backend"] = "tensorflow"


def _tiles(file: h5py.File) -> None:
    file.create_dataset("layers/e/vars/0", data=weights(), chunks=(8, 8))


def _places(raw: bytearray, nbytes: int = 1024) -> list[int]:
    """Return where layout messages keep the address of values of this size."""
    found_at: list[int] = []
    place = raw.find(LAYOUT)
    while place >= 0:
        if struct.unpack_from("<Q", raw, place + 10)[0] == nbytes:
            found_at.append(place + 2)
        place = raw.find(LAYOUT, place + 1)
    return found_at


def _move(address: int) -> Callable[[bytearray], None]:
    """Return what moves the values of the only dataset to another address."""

    def change(raw: bytearray) -> None:
        (place,) = _places(raw)
        struct.pack_into("<Q", raw, place, address)

    return change


def _same_place(shift: int) -> Callable[[bytearray], None]:
    """Return what moves the values of one dataset to those of the other, or between both."""

    def change(raw: bytearray) -> None:
        one, other = _places(raw)
        low, high = sorted(struct.unpack_from("<Q", raw, place)[0] for place in (one, other))
        struct.pack_into("<Q", raw, one, low)
        struct.pack_into("<Q", raw, other, min(low + shift, high))

    return change


def _one_tile_twice(raw: bytearray) -> None:
    """Let two chunks of a dataset lie at one place."""
    first = struct.pack("<IIQQQ", 256, 0, 0, 0, 0)
    second = struct.pack("<IIQQQ", 256, 0, 0, 8, 0)
    here, there = raw.index(first) + len(first), raw.index(second) + len(second)
    raw[there : there + 8] = raw[here : here + 8]


def _circle_of_strings(raw: bytearray) -> None:
    """Let the free space of a heap of strings have no length: libhdf5 never gets beyond it."""
    heap = raw.index(b"GCOL")
    place = heap + 16
    while (object_number := struct.unpack_from("<H", raw, place)[0]) != 0:
        if object_number > 100:
            raise ValueError(object_number)
        place += 16 + (struct.unpack_from("<Q", raw, place + 8)[0] + 7 & ~7)
    struct.pack_into("<Q", raw, place + 8, 0)


def _put(place: int, value: bytes) -> Callable[[bytearray], None]:
    """Return what writes bytes at a place."""

    def change(raw: bytearray) -> None:
        raw[place : place + len(value)] = value

    return change


def _cut(share: float) -> Callable[[bytearray], None]:
    """Return what cuts a file after a share of it."""

    def change(raw: bytearray) -> None:
        del raw[int(share * len(raw)) :]

    return change


def _continued_in_itself(raw: bytearray) -> None:
    """Let the header of the root group go on in itself."""
    root = struct.unpack_from("<Q", raw, 64)[0]
    struct.pack_into("<HHB3xQQ", raw, root + 16, 0x10, 16, 0, root + 16, 24)


def _child_is_parent(raw: bytearray) -> None:
    """Let the first node of the root's B-tree lead to itself."""
    tree = raw.index(b"TREE")
    struct.pack_into("<BB", raw, tree + 4, 0, 1)
    struct.pack_into("<Q", raw, tree + 32, tree)


def _user_block(inside: bytes) -> Make:
    """Return what writes sound weights behind a block of the user's with these bytes."""

    def make(folder: Path) -> Path:
        path = folder / "m.weights.h5"
        with h5py.File(path, "w", userblock_size=1024) as file:
            file[KERNEL] = weights()
        with path.open("r+b") as raw:
            raw.write(inside)
        return path

    return make


def _file_in_block(folder: Path) -> Path:
    """Write a file whose user block is another whole file, which is the one that Keras reads."""
    inner = model(lambda file: file.__setitem__("layers/e/vars/0", weights() * np.float32(np.nan)))(folder)
    raw = inner.read_bytes()
    with h5py.File(inner, "w", userblock_size=8192) as file:
        file[KERNEL] = weights()
    with inner.open("r+b") as block:
        block.write(raw)
    return inner


CASES: list[Case] = [
    refused("hdf5: an empty file", bytes_of(b""), "is empty"),
    refused("hdf5: one byte", bytes_of(b"\x89"), "is not a saved"),
    refused("hdf5: nothing but the magic", bytes_of(b"\x89HDF\r\n\x1a\n"), "not audited"),
    refused("hdf5: the magic and zeros", bytes_of(b"\x89HDF\r\n\x1a\n" + bytes(4096)), "not audited"),
    refused("hdf5: cut in the middle", damaged(_cut(0.5)), "is damaged|truncated|not readable"),
    refused("hdf5: cut before its last byte", damaged(_cut(0.9999)), "is damaged|truncated|not readable"),
    refused("hdf5: superblock of an unknown version", damaged(_put(8, b"\x09")), "not readable|damaged"),
    refused("hdf5: addresses of two bytes", damaged(_put(13, b"\x02")), "not readable|damaged"),
    refused("hdf5: a base address beyond the end", damaged(_put(24, b"\xff" * 7)), "not readable|damaged"),
    refused("hdf5: an end beyond the end", damaged(_put(40, b"\xff" * 7)), "not readable|damaged|truncated"),
    refused("hdf5: root beyond the end", damaged(_put(64, b"\xff" * 7)), "not readable|damaged"),
    refused("hdf5: root in the superblock", damaged(_put(64, bytes(8))), "not readable|damaged"),
    refused("hdf5: values beyond the end", damaged(_move(1 << 40)), "not readable"),
    refused("hdf5: values that wrap around", damaged(_move(UNDEFINED - 1023)), "not readable"),
    found("hdf5: values that are the superblock", damaged(_move(0)), "WA\\d+"),
    found("hdf5: two tensors of the same bytes", damaged(_same_place(0), model(_two)), "WA114"),
    found("hdf5: two tensors that overlap", damaged(_same_place(512), model(_two)), "WA114"),
    found("hdf5: two chunks of the same bytes", damaged(_one_tile_twice, model(_tiles)), "WA114"),
    refused("hdf5: a string heap without end", damaged(_circle_of_strings, model(_attributes)), "--timeout"),
    refused(
        "hdf5: a header that goes on in itself", damaged(_continued_in_itself), "damaged|not readable|breaks"
    ),
    refused("hdf5: a B-tree node that leads to itself", damaged(_child_is_parent), "damaged"),
    read("hdf5: behind a block of the user's, as a control", _user_block(b"#!/bin/sh\nexit\n")),
    refused("hdf5: a zip archive in the block of the user's", _user_block(b"PK\3\4" + bytes(100)), "zip"),
    found("hdf5: another file in the block of the user's, with NaN", _file_in_block, "WA101"),
]
