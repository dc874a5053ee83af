"""Small HDF5 data that leads to the same structures again and again is refused before it costs much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.formats.hdf5_listings import ours, theirs
from tests.formats.hdf5_writer import Writer
from weightaudit.formats.hdf5_native import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _names_in_names(writer: Writer) -> int:
    """Make a group whose names are the ends of one long name."""
    heap = writer.heap(bytes(8) + b"a" * 2_000_000 + b"b\0")
    empty = writer.group([])
    return writer.header(writer.table(heap, [(8 + number, empty) for number in range(200)]))


def _one_heap(writer: Writer) -> int:
    """Make groups that share a long heap."""
    table = writer.table(writer.heap(bytes(1_000_000)), [])
    return writer.group([writer.header(table) for _ in range(1000)])


def _one_table(writer: Writer) -> int:
    """Make groups that share their links."""
    heap = writer.heap(bytes(8) + b"".join(b"%07d\0" % number for number in range(5000)))
    dataset = writer.dataset(1)
    table = writer.table(heap, [(8 + 8 * number, dataset) for number in range(5000)])
    return writer.group([writer.header(table) for _ in range(1000)])


def _one_large_dataset(writer: Writer) -> int:
    """Make links to a dataset whose values lie in its header."""
    return writer.group([writer.dataset(16_000)] * 10_000)


def _one_long_header(writer: Writer) -> int:
    """Make links to a dataset with thousands of messages that say nothing."""
    return writer.group([writer.dataset(1, *[(0, b"")] * 60_000)] * 10_000)


def _long_path(writer: Writer) -> int:
    """Make a hundred links to a dataset in a group with a name of a million bytes."""
    group = writer.group([writer.dataset(1)] * 100)
    heap = writer.heap(bytes(8) + b"a" * 1_000_000 + b"\0")
    return writer.header(writer.table(heap, [(8, group)]))


@pytest.mark.parametrize(
    "make", [_names_in_names, _one_heap, _one_table, _one_large_dataset, _one_long_header, _long_path]
)
def test_what_is_led_to_too_often(tmp_path: Path, make: Callable[[Writer], int]) -> None:
    """A few megabytes that unfold to hundreds are refused."""
    path = tmp_path / "x.h5"
    writer = Writer()
    writer.save(path, make(writer))
    with pytest.raises(LimitError, match=r"leads to the same structures too often|names the same tensors"):
        ours(path)


@pytest.mark.parametrize("make", [_one_large_dataset, _long_path])
def test_too_often_for_libhdf5_too(tmp_path: Path, make: Callable[[Writer], int]) -> None:
    """Where only libhdf5 knows the structures, the process that asks it counts what it repeats."""
    path = tmp_path / "x.h5"
    writer = Writer()
    writer.save(path, make(writer))
    assert "bytes of names and attributes" in theirs(path)["error"]


def test_writer_is_right(tmp_path: Path) -> None:
    """What the tests above write is HDF5: with fewer links, it is listed as libhdf5 lists it."""
    path = tmp_path / "x.h5"
    writer = Writer()
    writer.save(path, writer.group([writer.dataset(3), writer.group([]), writer.dataset(1, (0, b""))]))
    assert len(ours(path)["datasets"]) == 2
    assert ours(path) == theirs(path)


def test_long_paths_are_no_repetition(tmp_path: Path) -> None:
    """Twenty thousand tensors a dozen groups deep, which say their paths again and again, are all listed."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("/".join(f"a_rather_long_name_of_a_layer_{level}" for level in range(12)))
        for number in range(20_000):
            group.create_dataset(str(number), data=np.zeros(1, "f4"))
    assert len(ours(path)["datasets"]) == 20_000
