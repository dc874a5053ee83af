"""Our parser of HDF5 lists exactly what libhdf5 lists, or says that it does not know the file."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.formats.hdf5_listings import ours, theirs, write_sample
from weightaudit.errors import ReadError
from weightaudit.formats import Kind, sniff
from weightaudit.formats.hdf5_native import DamagedError, LimitError, Reader, UnfamiliarError
from weightaudit.limits import Limits

DTYPES = ("<f2", "<f4", ">f4", "<f8", ">f8", "i1", "<i4", ">i8", "u1", "<u2", "?", "V2", "V3", "S5", "c8")


def test_same_on_small_models(fixtures_dir: Path) -> None:
    """Every HDF5 model of this repository is listed as libhdf5 lists it."""
    assert _same(fixtures_dir) >= 10


def test_same_on_real_models(corpus: Path) -> None:
    """Every HDF5 model of the collection is listed as libhdf5 lists it, without asking libhdf5."""
    assert _same(corpus) > 30


def test_same_on_models_of_many_versions(zoo: Path) -> None:
    """So is every HDF5 model in the collection of many framework versions."""
    assert _same(zoo) > 200


def _same(folder: Path) -> int:
    """Compare the lists of all HDF5 models in a folder, and return how many there are."""
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and _is_hdf5(path):
            assert ours(path) == theirs(path), path
            count += 1
    return count


def _is_hdf5(path: Path) -> bool:
    kind = sniff(path)
    packed = kind is Kind.KERAS_ARCHIVE and not path.read_bytes().count(b"\x89HDF\r\n\x1a\n")
    return kind in {Kind.HDF5, Kind.KERAS_ARCHIVE} and not packed


@st.composite
def _members(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Draw the paths of some datasets, and how each one is made."""
    names = st.text(st.characters(codec="utf-8", exclude_characters="/.\0"), min_size=1, max_size=12)
    paths = st.lists(names, min_size=1, max_size=4).map("/".join)
    members: list[tuple[str, dict[str, Any]]] = []
    for path in draw(st.lists(paths, max_size=12, unique=True)):
        shape = draw(st.lists(st.integers(0, 5), max_size=3).map(tuple))
        options: dict[str, Any] = {"shape": shape, "dtype": draw(st.sampled_from(DTYPES))}
        if shape and all(shape) and draw(st.booleans()):
            options["chunks"] = tuple(draw(st.integers(1, length)) for length in shape)
            options["compression"] = draw(st.sampled_from([None, "gzip"]))
            options["shuffle"] = draw(st.booleans())
            options["fletcher32"] = draw(st.booleans())
        if options["dtype"][1:] in {"f4", "i4", "f8"} and draw(st.booleans()):
            options["fillvalue"] = 3
        members.append((path, options))
    return members


@st.composite
def _attributes(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Draw some attributes of groups: those that are told, and others."""
    text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    names = st.sampled_from(["name", "model_config", "backend", "nb_layers", "other"])
    raw = st.binary(max_size=5).filter(lambda value: b"\0" not in value)
    lists = st.lists(raw, min_size=1, max_size=4).map(lambda items: np.array(items, "S6"))
    numbers = st.lists(st.integers(-9, 9), max_size=3).map(lambda items: np.array(items, ">i4"))
    values = st.one_of(text, lists, numbers, st.integers(-3, 3), st.floats(0, 1), st.booleans())
    listed = st.lists(text, max_size=3).map(lambda items: np.array(items, h5py.string_dtype()))
    # What has to be a list of text is refused where it is not.
    layers = st.tuples(st.just("layer_names0"), st.one_of(text, lists, listed))
    return draw(st.lists(st.one_of(layers, st.tuples(names, st.one_of(values, listed))), max_size=5))


HOW = st.fixed_dictionaries(
    {
        "userblock_size": st.sampled_from([0, 512, 1024]),
        "libver": st.sampled_from(["earliest", "earliest", "latest"]),
        "track_order": st.sampled_from([False, False, True]),
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=_members(), attributes=_attributes(), how=HOW)
def test_same_on_drawn_files(
    tmp_path: Path,
    members: list[tuple[str, dict[str, Any]]],
    attributes: list[tuple[str, Any]],
    how: dict[str, Any],
) -> None:
    """Whatever h5py writes is listed as libhdf5 lists it, or not at all; by default, most is."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", **how) as file:
        for number, (name, options) in enumerate(members):
            if name in file or any(isinstance(file.get(part), h5py.Dataset) for part in _above(name)):
                continue
            made = file.create_dataset(name, **options)
            # Every other one stays unwritten.
            if number % 2 and made.size:
                made[...] = np.zeros(made.shape, made.dtype)
            for key, value in attributes:
                made.parent.attrs[key] = value
    try:
        found = ours(path)
    except UnfamiliarError:
        by_default = how["libver"] == "earliest" and not how["track_order"]
        assert not by_default or any(options["dtype"] in {"c8", "S5"} for _, options in members)
        return
    assert found == theirs(path)


def _above(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


@pytest.mark.parametrize("seed", range(4))
def test_never_less_than_libhdf5(tmp_path: Path, seed: int) -> None:
    """With random damage there is an error of ours, or exactly the list of libhdf5 if it gives one."""
    path = tmp_path / "x.h5"
    write_sample(path)
    whole = path.read_bytes()
    drawn = random.Random(seed)  # noqa: S311 - damage, not secrets
    outcomes = {"same": 0, "refused": 0, "unknown": 0}
    for _ in range(150):
        path.write_bytes(_damaged(whole, drawn))
        try:
            found = ours(path)
        except (DamagedError, LimitError):
            outcomes["refused"] += 1
        except UnfamiliarError:
            outcomes["unknown"] += 1
        else:
            other = theirs(path)
            assert "error" in other or found == other
            outcomes["same"] += 1
    assert all(outcomes.values())


def _damaged(whole: bytes, drawn: random.Random) -> bytes:
    """Return bytes with one to four of them, or of their words, replaced, or cut short."""
    raw = bytearray(whole)
    for _ in range(drawn.choice((1, 1, 2, 4))):
        place, other = drawn.randrange(len(raw) - 8) & ~7, drawn.randrange(len(raw) - 8) & ~7
        how = drawn.randrange(6)
        if how == 0:
            raw[place : place + 8] = raw[other : other + 8]
        elif how == 1:
            raw[place : place + 8] = drawn.choice((b"\xff" * 8, bytes(8), other.to_bytes(8, "little")))
        elif how == 2:
            raw[place] ^= 1 << drawn.randrange(8)
        else:
            raw[place + drawn.randrange(8)] = drawn.randrange(256)
    return bytes(raw[: drawn.randrange(len(raw))] if drawn.random() < 0.03 else raw)


def test_no_other_process_and_no_h5py(fixtures_dir: Path) -> None:
    """An audit of models that Keras wrote starts no process, and loads no h5py."""
    paths = [str(fixtures_dir / name) for name in ("legacy.h5", "healthy.keras")]
    code = (
        "import sys, weightaudit\n"
        "from weightaudit.formats import lister\n"
        f"for path in {paths!r}:\n"
        "    assert weightaudit.audit(path).models[0].is_complete\n"
        "assert not lister._servers\n"
        "print(sorted({'h5py', 'tensorflow', 'keras'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _sample(file: h5py.File) -> None:
    file.create_dataset("chunks", data=np.ones((5, 5)), chunks=(1, 1))
    for number in range(26):
        file[f"a/b/{number}"] = np.ones(1)


def _chunked(file: h5py.File) -> None:
    for name in "ab":
        file.create_dataset(name, data=np.ones(9), chunks=(1,))


def _wide(file: h5py.File) -> None:
    for number in range(400):
        file.create_group(f"{number:200}")


def _deep(file: h5py.File) -> None:
    file.create_group("/".join("abcdefghijklm"))


@pytest.mark.parametrize(
    ("make", "limits", "reason"),
    [
        (_sample, Limits(max_tensors=26), "more than 26 tensors"),
        (_sample, Limits(max_tensors=24), "more than 24 chunks"),
        (_chunked, Limits(max_tensors=17), "more than 17 chunks"),
        (_wide, Limits(max_tensors=100), "more than 200 links in a group"),
        (_wide, Limits(max_metadata=90_000), "a structure of [0-9]+ bytes, where 90000 are the limit"),
        (_deep, Limits(max_tensors=5), "more than 10 groups"),
        (_deep, Limits(max_depth=3), "nests groups more than 3 deep at a/b/c/d"),
        (_deep, Limits(max_metadata=150), "more than 150 bytes of names and attributes"),
    ],
)
def test_limits(tmp_path: Path, make: Callable[[h5py.File], None], limits: Limits, reason: str) -> None:
    """A file that asks for more than it may is refused with the limit."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        make(file)
    with pytest.raises(LimitError, match=reason):
        ours(tmp_path / "x.h5", limits)


def test_time_limit(tmp_path: Path) -> None:
    """A link to an object header of many messages, many times over, ends when the time is over."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(9, "f4")
        for number in range(3000):
            file[f"x{number}"] = file["x"]
    whole = bytearray(path.read_bytes())
    header = int.from_bytes(whole[whole.index(b"SNOD") + 16 :][:8], "little")
    # Its room goes on, at the end of the file, with 60,000 messages that say nothing.
    more, room = 60_000, header + 16
    while whole[room]:
        room += 8 + int.from_bytes(whole[room + 2 : room + 4], "little")
    whole[room] = 0x10
    whole[room + 8 : room + 24] = struct.pack("<QQ", len(whole), 8 * more)
    count = int.from_bytes(whole[header + 2 : header + 4], "little")
    whole[header + 2 : header + 4] = (count + more).to_bytes(2, "little")
    whole += bytes(8 * more)
    whole[40:48] = len(whole).to_bytes(8, "little")
    path.write_bytes(whole)
    with pytest.raises(TimeoutError):
        ours(path, Limits(timeout=0.3))


def test_shuffled_in_other_pieces(tmp_path: Path) -> None:
    """A dataset whose filter takes other pieces than its elements reads differently elsewhere: refused."""
    from weightaudit.formats.hdf5 import Hdf5Data, list_hdf5
    from weightaudit.source import Files

    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.ones(9, "f4"), chunks=(3,), shuffle=True)
    name = b"shuffle\0"
    raw = path.read_bytes()
    place = raw.index(name) + len(name)
    assert raw[place : place + 4] == b"\4\0\0\0"
    path.write_bytes(raw[:place] + b"\2" + raw[place + 1 :])
    with Files(tmp_path) as files, pytest.raises(ReadError, match="shuffles x in pieces of 2 bytes"):
        list_hdf5(Hdf5Data.whole(files[files.open("x.h5")], 0), Limits())


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_reader(data: st.DataObject) -> None:
    """Bytes are the same wherever they lie, within a block or across, and there are none outside."""
    whole = random.Random(0).randbytes(50_000)  # noqa: S311 - content of a file
    origin = data.draw(st.integers(0, 3000))
    size = len(whole) - origin
    reader = Reader(lambda place, count: whole[place : place + count], origin, size, 20_000, 60)
    for _ in range(20):
        address, count = data.draw(st.integers(0, size)), data.draw(st.integers(1, 20_000))
        if address + count > size:
            with pytest.raises(DamagedError, match="lies beyond its end"):
                reader.at(address, count)
            continue
        raw, place = reader.at(address, count)
        assert raw[place : place + count] == whole[origin + address :][:count]
