"""Open files of a model: opened once, read by position, and compared again at the end."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, cast

from weightaudit.checksums import checksum
from weightaudit.errors import ReadError
from weightaudit.kernels import NO_OUTLINE, has_one_pass, native

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

    from weightaudit.kernels import Sums

_DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
"""How a directory is opened: to be searched is enough, where the system tells that from being listed."""

LFS_POINTER = "a Git LFS pointer (`git lfs pull` fetches the file itself)"
"""What a file is that Git LFS left in place of a large one, and what to do."""

_LFS_MAGIC = b"version https://git-lfs"
_LFS_LIMIT = 1024
"""Bytes of a pointer at most, as its specification says."""


class ByteSource(Protocol):
    """Bytes that can be read by position from several threads at once."""

    @property
    def label(self) -> str:
        """Name for messages."""
        ...

    @property
    def size(self) -> int:
        """Length in bytes."""
        ...

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return exactly `nbytes` bytes from `offset`; ReadError if they are not all there."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` from `offset`; ReadError if the file ends before it is full."""
        ...


class LocalFile:
    """A regular file, held open so that its name is never resolved a second time.

    The file is not mapped: one that shrinks under a map kills the process, where a
    positioned read of missing bytes is an error that can be reported.

    Args:
        path: Where it is.
        label: Its name in messages; the last part of `path` by default.
        folder: Descriptor of the directory that a relative `path` begins at; the working directory
            by default.

    Raises:
        ReadError: It is missing, may not be read, or is not a regular file.
    """

    def __init__(self, path: Path, *, label: str | None = None, folder: int | None = None) -> None:
        self.label = label or path.name
        # O_NONBLOCK: opening a FIFO would otherwise wait for a writer for ever.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            self.fd = os.open(path, flags, dir_fd=folder)
        except OSError as error:
            raise ReadError(f"{self.label} cannot be opened: {error.strerror or error}.") from error
        status = os.fstat(self.fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self.fd)
            raise ReadError(f"{self.label} is not a regular file.")
        self.size = status.st_size
        self._identity = _identity(status)

    def read(self, offset: int, nbytes: int) -> bytes:
        # One call and no copy: what is read here may be as large as a chunk of a tensor.
        try:
            data = os.pread(self.fd, nbytes, offset)
        except OSError as error:
            raise ReadError(f"{self.label} cannot be read: {error.strerror or error}.") from error
        if len(data) == nbytes:
            return data
        buffer = bytearray(nbytes)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self.fd, [buffer[done:]], offset + done)
            except OSError as error:
                raise ReadError(f"{self.label} cannot be read: {error.strerror or error}.") from error
            if count == 0:
                raise self._truncated(offset + done)
            done += count

    def scan(
        self,
        offset: int,
        nbytes: int,
        buffer: memoryview,
        *,
        dtype: str = "",
        kind: str = "",
        value: int = 0,
        outline: memoryview = NO_OUTLINE,
    ) -> tuple[int, int, Sums | None]:
        """Read bytes through a buffer, and checksum and sum them up while they are in the CPU's cache.

        Args:
            offset: Where to read.
            nbytes: How much to read.
            buffer: What to read into. Where `kernels.has_one_pass` says so it may be smaller, a multiple
                of 64 bytes, and is filled again and again.
            dtype: Storage type to sum up, one of `kernels.SUMMED_TYPES`; empty for no sums.
            kind: ``crc32``, ``crc32c``, or empty for no checksum.
            value: Checksum to go on from.
            outline: What the sums of each `kernels.CHUNK_BYTES` are written to, where
                `kernels.has_one_pass` says so; see `kernels.Native.scan`.

        Returns:
            The checksum; how many pages may repeat an earlier one, -1 if that is not known; and the
            sums, or None if none were asked for or no kernels are compiled.

        Raises:
            ReadError: The file ends too early, or cannot be read.
        """
        if native is None or not has_one_pass(kind):
            self.read_into(offset, buffer[:nbytes])
            value = checksum(kind, buffer[:nbytes], value) if kind else 0
            return value, -1, (native.summarize(buffer[:nbytes], dtype) if native and dtype else None)
        try:
            count, value, repeats, *sums = native.scan(
                self.fd, offset, nbytes, buffer, dtype, kind, value, outline
            )
        except OSError as error:
            raise ReadError(f"{self.label} cannot be read: {error.strerror or error}.") from error
        if count < nbytes:
            raise self._truncated(offset + count)
        return value, repeats, (cast("Sums", sums) if dtype else None)

    def _truncated(self, place: int) -> ReadError:
        return ReadError(
            f"{self.label} ends at byte {place} where more data is expected; "
            "it is truncated or was changed while it was read."
        )

    def check_unchanged(self) -> None:
        """Raise ReadError if the file was written to since it was opened."""
        if _identity(os.fstat(self.fd)) != self._identity:
            raise ReadError(
                f"{self.label} changed while it was read; audit it again once nothing writes to it."
            )

    def close(self) -> None:
        os.close(self.fd)


class SpooledFile(LocalFile):
    """Bytes that had to be inflated first: an unlinked temporary file that only this process sees."""

    def __init__(self, fd: int, label: str) -> None:
        self.fd = os.dup(fd)
        self.label = label
        status = os.fstat(self.fd)
        self.size = status.st_size
        self._identity = _identity(status)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def is_lfs_pointer(file: LocalFile) -> bool:
    """Say whether a file only tells Git LFS which file belongs in its place."""
    return len(_LFS_MAGIC) <= file.size < _LFS_LIMIT and file.read(0, len(_LFS_MAGIC)) == _LFS_MAGIC


class Files:
    """The open files of one model, numbered in the order in which they were opened.

    The directory is held open and all names are resolved in it, so that a directory that is put in
    its place meanwhile gives no file to a model that was begun in the old one.

    Args:
        root: Directory of the model, or of its main file. A symbolic link inside it is
            followed only to a place inside it.

    Raises:
        ReadError: There is no such directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self._open: list[LocalFile] = []
        self._numbers: dict[str, int] = {}
        try:
            self._folder = os.open(self.root, _DIRECTORY)
        except OSError as error:
            raise ReadError(f"{self.root.name} cannot be opened: {error.strerror or error}.") from error

    def open(self, relative: str) -> int:
        """Open a file below the root once and return its number.

        Raises:
            ReadError: It is missing, not a regular file, or lies outside the root.
        """
        if relative in self._numbers:
            return self._numbers[relative]
        number = self.adopt(self._find(relative))
        self._numbers[relative] = number
        return number

    def exists(self, relative: str, *, even_dangling: bool = False) -> bool:
        """Say whether there is something of that name below the root.

        Args:
            relative: The name.
            even_dangling: Whether a symbolic link that leads nowhere is something.
        """
        return self._status(relative, follow=not even_dangling) is not None

    def listing(self, relative: str = "") -> list[str]:
        """Return the sorted names in a directory below the root; none if it is no readable directory."""
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            folder = os.open(relative or ".", flags, dir_fd=self._folder)
        except OSError:
            return []
        try:
            with os.scandir(folder) as found:
                return sorted(entry.name for entry in found)
        finally:
            os.close(folder)

    @contextmanager
    def borrow(self, relative: str) -> Generator[LocalFile]:
        """Give a file below the root: the one that is open, or one that is open for this block only.

        Raises:
            ReadError: It is missing, not a regular file, lies outside the root, or changes meanwhile.
        """
        if relative in self._numbers:
            yield self._open[self._numbers[relative]]
            return
        file = self._find(relative)
        try:
            yield file
            file.check_unchanged()
        finally:
            file.close()

    def adopt(self, file: LocalFile) -> int:
        """Take over an already open file and return its number."""
        self._open.append(file)
        return len(self._open) - 1

    @property
    def names(self) -> tuple[str, ...]:
        """Paths below the root of the files that were opened by name, sorted."""
        return tuple(sorted(self._numbers))

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._folder < 0

    def __getitem__(self, number: int) -> LocalFile:
        return self._open[number]

    def __len__(self) -> int:
        return len(self._open)

    def check_unchanged(self) -> None:
        """Raise ReadError if any file was written to, or one of several replaced, since it was opened.

        A model that is one file is whole as it was opened, whatever its name leads to now. Of several
        files the first may have been of an old model, and the next of the one that replaced it.
        """
        for file in self._open:
            file.check_unchanged()
        for relative, number in self._numbers.items() if len(self._numbers) > 1 else ():
            status = self._status(relative)
            if status is None or not os.path.samestat(status, os.fstat(self._open[number].fd)):
                raise ReadError(f"{relative} was replaced while the model was read; audit it again.")

    def close(self) -> None:
        while self._open:
            self._open.pop().close()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _find(self, relative: str) -> LocalFile:
        real = Path(os.path.realpath(self.root / relative))
        if not real.is_relative_to(self.root):
            raise ReadError(f"{relative} leads outside the model's directory and is not followed.")
        inside = real.relative_to(self.root)
        with self._folder_of(inside, relative) as folder:
            file = LocalFile(Path(inside.name), label=relative, folder=folder)
        if is_lfs_pointer(file):
            file.close()
            raise ReadError(f"{relative} is {LFS_POINTER}.")
        return file

    @contextmanager
    def _folder_of(self, inside: Path, label: str) -> Generator[int]:
        """Give a descriptor of the directory of a resolved path below the root.

        No link is followed on the way: there was none, and one that is put there now may lead outside.
        """
        opened: list[int] = []
        folder = self._folder
        try:
            for part in inside.parts[:-1]:
                folder = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
                opened.append(folder)
            yield folder
        except OSError as error:
            raise ReadError(f"{label} cannot be opened: {error.strerror or error}.") from error
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _status(self, relative: str, *, follow: bool = True) -> os.stat_result | None:
        try:
            return os.stat(relative, dir_fd=self._folder, follow_symlinks=follow)
        except (OSError, ValueError):  # ValueError: a name with a null character
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
