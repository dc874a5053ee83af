"""HDF5 as it is read: values equal h5py's, tricks are refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from weightaudit.catalog import Extent, Fill, Inline, Tiles
from weightaudit.dtypes import decode
from weightaudit.engine.reading import read_pieces
from weightaudit.errors import ReadError, UnsupportedFormatError
from weightaudit.formats.hdf5 import Hdf5Data, Listing, catalog_hdf5, list_hdf5
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.source import Files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _list(path: Path, limits: Limits = DEFAULT_LIMITS) -> Listing:
    with Files(path.parent) as files:
        return list_hdf5(Hdf5Data.whole(files[files.open(path.name)], 0), limits)


def _values(path: Path) -> dict[str, np.ndarray]:
    with Files(path.parent) as files:
        listing = list_hdf5(Hdf5Data.whole(files[files.open(path.name)], 0), DEFAULT_LIMITS)
        result: dict[str, np.ndarray] = {}
        for entry in listing.entries:
            count = int(np.prod(entry.shape))
            raw = [piece for _, piece in read_pieces(files, entry, 0, count)]
            joined = np.concatenate(raw) if raw else np.zeros(0, np.uint8)
            result[entry.key] = decode(joined, entry.dtype, big_endian=entry.big_endian).reshape(entry.shape)
        return result


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("user_block", [0, 512])
def test_every_storage_gives_the_values_of_h5py(tmp_path: Path, libver: str, user_block: int) -> None:
    """Datasets of every layout, dtype and byte order read as h5py reads them."""
    path = tmp_path / "x.h5"
    values = np.random.default_rng(0).normal(size=(37, 19))
    with h5py.File(path, "w", libver=libver, userblock_size=user_block) as file:
        for dtype in ("<f2", "<f4", "<f8", ">f4", ">f8", "<i1", "<i2", ">i4", "<i8", "u1", "<u2", ">u8"):
            file[f"plain/{dtype}"] = (values * 10).astype(dtype)
        file["bool"] = values > 0
        file["scalar"] = np.float32(3)
        options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("packed", data=values, chunks=(10, 7), **options)
        file.create_dataset("one_chunk", data=values, chunks=values.shape)
        sparse = file.create_dataset("sparse", shape=(30, 30), chunks=(8, 8), dtype="f4", fillvalue=2.5)
        sparse[3:5, 20:] = 1
        file.create_dataset("unwritten", shape=(4, 4), dtype="f4", fillvalue=7)
        file.create_dataset("resizable", data=values, maxshape=(None, None), compression="gzip")
        file.create_dataset("nothing", shape=(0, 3), dtype="f4")
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((3,))
        compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, plist)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 2, 3], np.float32))
    found = _values(path)
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in names:
            np.testing.assert_array_equal(found[name], file[name][()].astype(np.float64))
    assert set(found) == set(names)


def test_kinds_of_storage(tmp_path: Path) -> None:
    """Each layout becomes the storage that says where its bytes are."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros(4)
        file.create_dataset("b", data=np.zeros((4, 4)), chunks=(2, 2))
        file.create_dataset("c", shape=(4,), dtype="f4")
    kinds = {entry.key: type(entry.storage) for entry in _list(path).entries}
    assert kinds == {"a": Extent, "b": Tiles, "c": Fill}
    assert Inline not in kinds.values()


def test_complex_bfloat16_and_strings(tmp_path: Path) -> None:
    """Complex numbers, Keras' opaque bfloat16 and strings are recognised by what HDF5 says of them."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["complex"] = np.array([1 + 2j], np.complex64)
        file["opaque"] = np.zeros(3, "V2")
        file["text"] = ["a", "b"]
        file["bytes"] = np.array([b"abc"])
    dtypes = {entry.key: entry.dtype for entry in _list(path).entries}
    assert dtypes == {"complex": "complex64", "opaque": "bfloat16", "text": "string", "bytes": "string"}


def _external_link(file: h5py.File) -> None:
    file["link"] = h5py.ExternalLink("other.h5", "/secret")


def _soft_link(file: h5py.File) -> None:
    file["link"] = h5py.SoftLink("/x")


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("y", shape=(4,), dtype="f4", external=[("other.bin", 0, 16)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4,))
    file.create_virtual_dataset("y", layout)


def _lzf(file: h5py.File) -> None:
    file.create_dataset("y", data=np.zeros((100, 100)), compression="lzf")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_external_link, "external link"),
        (_soft_link, "soft link"),
        (_external_storage, "in another file"),
        (_virtual, "assembles y from other datasets"),
        (_lzf, "HDF5 filter 32000"),
    ],
)
def test_what_leads_elsewhere_is_refused(
    tmp_path: Path, make: Callable[[h5py.File], None], reason: str
) -> None:
    """Links, external and virtual data, and filters that need a plugin are refused with the reason."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.zeros(4, "f4")
        make(file)
    with pytest.raises(ReadError, match=reason):
        _list(tmp_path / "x.h5")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_hard_link_cycle(tmp_path: Path, libver: str) -> None:
    """A group that contains itself is refused: by the second name it holds what is not listed under it."""
    with h5py.File(tmp_path / "x.h5", "w", libver=libver) as file:
        file["x"] = np.zeros(4, "f4")
        file["self"] = file["/"]
    with pytest.raises(ReadError, match="leads to one group twice, at self too"):
        _list(tmp_path / "x.h5")


def test_hard_link_dag(tmp_path: Path) -> None:
    """Groups that a billion paths lead to are refused at the second."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("g0")
        for level in range(1, 30):
            child = group.create_group(f"a{level}")
            group[f"b{level}"] = child
            group = child
        group["leaf"] = np.zeros(2)
    with pytest.raises(ReadError, match="leads to one group twice"):
        _list(tmp_path / "x.h5")


def test_declared_size_without_bytes(tmp_path: Path) -> None:
    """A file of a few KiB that declares terabytes is refused before anything is allocated."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", shape=(1 << 40,), chunks=(1 << 16,), dtype="f4", compression="gzip")
    with pytest.raises(ReadError, match="declares"):
        _list(tmp_path / "x.h5")


def test_deep_groups(tmp_path: Path) -> None:
    """Groups that nest without end are refused at a bound."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["/".join("a" * 300)] = np.zeros(1)
    with pytest.raises(ReadError, match="nests groups more than 200 deep"):
        _list(tmp_path / "x.h5")


def test_truncated_anywhere(tmp_path: Path) -> None:
    """A file that is cut short at any length is an error, never a shorter list of tensors."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name in "abc":
            file[name] = np.arange(1000.0)
    whole = path.read_bytes()
    for size in (8, 100, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ReadError):
            _values(path)


def test_not_a_keras_file(tmp_path: Path) -> None:
    """HDF5 that holds other data is refused with a sentence that says so."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["measurements"] = np.zeros(4)
    with (
        Files(tmp_path) as files,
        pytest.raises(UnsupportedFormatError, match="neither a Keras model nor Keras weights"),
    ):
        catalog_hdf5(Hdf5Data.whole(files[files.open("x.h5")], 0), DEFAULT_LIMITS)


def test_time_limit(tmp_path: Path) -> None:
    """A file that takes longer than the limit is an error that says so."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.zeros(4)
    with pytest.raises(ReadError, match=r"x\.h5 keeps the HDF5 parser busy for more than 0 s"):
        _list(tmp_path / "x.h5", Limits(timeout=0))


def test_public_crash_files(corpus: Path) -> None:
    """No public reproducer of a libhdf5 crash or hang gets past our parser and the confined process."""
    folder = corpus.parent / "hdf5-cve"
    if not folder.is_dir():
        pytest.skip("no folder of crash files beside the corpus")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "COPYING"]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(_outcome, paths))
    assert sum(outcome is not None for outcome in outcomes) > 50
    for path, outcome in zip(paths, outcomes, strict=True):
        assert outcome is None or path.name in outcome


def _outcome(path: Path) -> str | None:
    try:
        _list(path, Limits(timeout=5.0))
    except ReadError as error:
        return str(error)
    return None
