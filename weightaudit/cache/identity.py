"""What must be the same for a model to be taken for the one that was measured."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from weightaudit.catalog import Extent, Fill, Inline, Tiles
from weightaudit.kernels import native
from weightaudit.source import SpooledFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.catalog import Entry, Region
    from weightaudit.engine.scanning import Subject
    from weightaudit.source import Files
    from weightaudit.tensor import TensorInfo

MARGIN = 2_000_000_000
"""Nanoseconds for which a file must have been left alone before it was opened.

A later write could otherwise leave the same stamps: clocks of file systems tick every 2 s (FAT) to
every few milliseconds (ext4, xfs), and those of servers may be behind ours.
"""


_IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs", "hugetlbfs", "overlay"}
_IMAGES = {"squashfs", "erofs", "iso9660", "cramfs"}
_FAT = {"vfat", "msdos", "exfat"}
TIMELESS = _IN_MEMORY | _IMAGES | _FAT
"""File systems that may hold other bytes under the same stamps.

In memory, a page that a map has read is written through it without a new time; what an overlay lies
on cannot be seen from a container. Images are made with whatever times and inodes somebody chose, and
one takes the place of another under the same device. FAT keeps no time of change.
"""


class Stamp(NamedTuple):
    """What the operating system says of an open file; times in nanoseconds since 1970."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def stamps(files: Files) -> tuple[Stamp, ...]:
    """Return the stamps of a model's files, from their open descriptors, in the order of `files`.

    What was unpacked into a temporary file stands for its archive, which is one of the files too.
    """
    return tuple(_stamp(files, number) for number in range(len(files)))


def _stamp(files: Files, number: int) -> Stamp:
    file = files[number]
    if isinstance(file, SpooledFile):
        return Stamp(0, 0, file.size, 0, 0)
    status = os.fstat(file.fd)
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def is_settled(files: Files, since: int) -> bool:
    """Say whether every later change of the files will show in their stamps.

    Args:
        files: Open files of the model.
        since: Time at which nothing of the model had been read yet, in nanoseconds since 1970.
    """
    now = stamps(files)
    newest = max((max(one.modified, one.changed) for one in now), default=since)
    if newest + MARGIN > since or any(file_system(one.device) in TIMELESS for one in now):
        return False
    opened = (files[number] for number in range(len(files)))
    return not any(has_writer(file.fd) for file in opened if not isinstance(file, SpooledFile))


def file_system(device: int) -> str:
    """Return the type of the file system on a device, such as ``ext4``; empty if Linux does not tell.

    Args:
        device: Number of the device, as `Stamp.device`.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - speed
        for line in file:
            words = line.split()
            # Any number of optional fields ends with a hyphen; then comes the type.
            if words[2] == number:
                return words[words.index("-", 6) + 1]
    return ""


def has_writer(fd: int) -> bool:
    """Say whether a file is known to be open for writing, or mapped so, in any process.

    A page that was written through a map can be written again without a new stamp: until it has
    reached the disk, and on tmpfs for ever. Linux gives a read lease only for files that nobody can
    write to; it is given back at once. False where that cannot be asked: on other systems, on some
    network file systems, and for files of other users.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # Somebody who opens the file in between makes the kernel send a signal; this one is ignored.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def place(files: Files, engine: str) -> str:
    """Return what stands for a model's place and its engine, as 64 hexadecimal digits: it names its entry.

    It is the place and not the stamps, so that a model that is replaced replaces its entry too.
    """
    labels = [files[number].label for number in range(len(files))]
    words = (str(files.root), engine, *labels)
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()


@lru_cache(maxsize=1)
def program() -> str:
    """Return what stands for the code that measures: its own files, and the version of numpy.

    A number that has to be raised with every change of a fold would be forgotten once.
    """
    home = Path(__file__).parents[1]
    engines = home / "engine"
    folders = (home, engines, engines / "tensorflow", home / "kernels", home / "statistics")
    paths = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    compiled = getattr(native, "__file__", None)
    if compiled:
        paths.append(Path(compiled))
    return f"numpy {np.__version__} {fingerprint(paths)}"


def fingerprint(paths: Sequence[Path]) -> str:
    """Return a digest of the names, sizes and times of files."""
    parts = [f"{path} {status.st_size} {status.st_mtime_ns}" for path in paths for status in [path.stat()]]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def layout(subjects: Sequence[Subject], regions: Sequence[Region]) -> str:
    """Return a digest of what is measured and verified: where each tensor lies, and how it is decoded."""
    digest = hashlib.sha256()
    for subject in subjects:
        digest.update(repr((*_stored(subject.entry), *_decoded(subject))).encode("utf-8", "surrogatepass"))
    for region in regions:
        words = (region.label, _extent(region.extent), region.checksum.kind, region.checksum.value)
        digest.update(repr(words).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _stored(entry: Entry) -> tuple[object, ...]:
    sum_ = entry.checksum
    return (
        entry.key,
        entry.shape,
        entry.dtype,
        entry.big_endian,
        (sum_.kind, sum_.value) if sum_ else None,
        _storage(entry),
    )


def _storage(entry: Entry) -> object:
    """Return the storage as tuples: the repr of dataclasses takes ten times as long."""
    storage = entry.storage
    if isinstance(storage, Extent):
        return _extent(storage)
    if isinstance(storage, Tiles):
        return storage.fill, [
            (one.origin, one.shape, _extent(one.extent), one.filters) for one in storage.tiles
        ]
    if isinstance(storage, Inline):
        return "inline", storage.data
    return ("fill", storage.element) if isinstance(storage, Fill) else ("absent",)


def _extent(extent: Extent) -> tuple[int, int, int]:
    return extent.file, extent.offset, extent.nbytes


def _decoded(subject: Subject) -> tuple[object, ...]:
    """Return what decides how bytes become numbers, and how folds see them."""
    info: TensorInfo = subject.info
    if info.quantization is None:
        return info.name, info.shape, info.dtype
    return (
        info.name,
        info.shape,
        info.dtype,
        info.role,
        info.output_axes,
        info.quantization,
        subject.decoder.info.shape,
    )
