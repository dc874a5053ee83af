"""What an audit cannot be faster than: reading the bytes once, or inflating them once."""

from __future__ import annotations

import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BLOCK = 1 << 20
RAW, ZLIB = -15, 15
"""Window bits of the streams of zip members and of HDF5 chunks."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Work to compare with.

    Attributes:
        work: Does it once, on all threads, and returns how many bytes came out.
        nbytes: How many bytes of the files it reads.
        threads: Threads that do it.
    """

    work: Callable[[], int]
    nbytes: int
    threads: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A deflated stretch of a file: where it is, how long it is, and its window bits."""

    offset: int
    nbytes: int
    bits: int


def reading(path: Path) -> Reference:
    """Return the reading of a model's files with `pread`, in blocks of 1 MiB that threads take in turn."""
    descriptors = [os.open(file, os.O_RDONLY) for file in files_of(path)]
    blocks = [(fd, place) for fd in descriptors for place in range(0, os.fstat(fd).st_size, BLOCK)]
    threads = _threads()

    def work(first: int) -> int:
        buffer = bytearray(BLOCK)
        return sum(os.preadv(fd, [buffer], place) for fd, place in blocks[first::threads])

    return Reference(lambda: _share(work, threads), sum(os.fstat(fd).st_size for fd in descriptors), threads)


def inflating(path: Path) -> Reference:
    """Return the reading and inflating of a file's chunks or members, each once, by ISA-L.

    A stream can only be inflated by one thread; chunks are shared among threads.
    """
    isal: Any = import_module("isal.isal_zlib")
    fd = os.open(path, os.O_RDONLY)
    streams = list(_members(path) if zipfile.is_zipfile(path) else _chunks(path))
    threads = min(_threads(), len(streams))

    def work(first: int) -> int:
        return sum(_inflate(isal, fd, stream) for stream in streams[first::threads])

    return Reference(lambda: _share(work, threads), sum(one.nbytes for one in streams), threads)


def files_of(path: Path) -> list[Path]:
    """Return the files of a model: one, those of a directory, or those of a checkpoint's prefix."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path] if path.is_file() else sorted(path.parent.glob(f"{path.name}.*"))


def _inflate(isal: Any, fd: int, stream: Stream) -> int:
    inflater, end, nbytes = isal.decompressobj(wbits=stream.bits), stream.offset + stream.nbytes, 0
    for place in range(stream.offset, end, BLOCK):
        rest = os.pread(fd, min(BLOCK, end - place), place)
        # As much at a time as stays in a cache, as the audit does.
        while rest:
            nbytes += len(inflater.decompress(rest, BLOCK))
            rest = inflater.unconsumed_tail
    return nbytes + len(inflater.flush())


def _share(work: Callable[[int], int], threads: int) -> int:
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads)))


def _threads() -> int:
    from weightaudit.engine.threads import thread_count

    return thread_count()


def _members(path: Path) -> Iterator[Stream]:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in archive.infolist():
            file.seek(member.header_offset + 26)
            name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
            yield Stream(member.header_offset + 30 + name + extra, member.compress_size, RAW)


def _chunks(path: Path) -> Iterator[Stream]:
    h5py: Any = import_module("h5py")
    found: list[Any] = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
        for dataset in found:
            for number in range(dataset.id.get_num_chunks() if dataset.chunks else 0):
                chunk = dataset.id.get_chunk_info(number)
                yield Stream(chunk.byte_offset, chunk.size, ZLIB)
