"""The inner loops of an audit, compiled from `kernels.c` where it was installed with a C compiler.

Without it everything works, several times slower: numpy adds up, and libraries checksum. The two
differ by rounding only: in either, sums are of float64, exact products, in some order.

`native` is None then. One call of `native.scan` reads, checksums and sums up while the bytes are in
the CPU's cache, and no other thread waits for Python's lock meanwhile.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INTERFACE = 5
"""What this code expects; a module that was compiled from other sources is not used."""

Sums = tuple[float, float, float, float, float, float, float]
"""Total, sum of squares, minimum, maximum, smallest magnitude, gap, lone zeros: fields of `Sketch`, in order.

The sum of squares is Inf, and all else but the last means nothing, if an element is not finite. No zero has
a sign.
"""

CHUNK_BYTES = 256 << 10
"""`CHUNK` of `kernels.c`: the bytes of which each row of an outline tells."""

PAGE_BYTES = 4096
"""`PAGE` of `pages.h`: the unit in which files are read, written and lost."""

NO_OUTLINE = memoryview(bytearray())
"""For who wants no outline."""

SUMMED_TYPES = frozenset({"float32", "float64", "float16", "bfloat16"})
"""Storage types, little-endian, that `native` sums up."""


class Native(Protocol):
    """The functions of `kernels.c`."""

    @property
    def FAST_CHECKSUMS(self) -> int:  # noqa: N802 - a constant of a module
        """Whether `checksum` is as fast as the best library."""
        ...

    def scan(  # noqa: PLR0917 - functions in C take arguments by position fastest
        self,
        fd: int,
        offset: int,
        nbytes: int,
        buffer: memoryview,
        dtype: str,
        kind: str,
        value: int,
        outline: memoryview,
        /,
    ) -> tuple[int, int, int, float, float, float, float, float]:
        """Read a file through a buffer, and checksum and sum up what was read.

        Args:
            fd: File descriptor.
            offset: Where to read.
            nbytes: How much to read.
            buffer: What to read into, again and again if it is smaller, from its beginning; then its
                length must be a multiple of 64.
            dtype: One of `SUMMED_TYPES`, or empty for no sums.
            kind: ``crc32``, ``crc32c``, or empty for no checksum.
            value: Checksum to go on from.
            outline: Takes the `Sums` of each `CHUNK_BYTES`, as float64, of as many as there is room for;
                the length of `buffer` must be a multiple of that then.

        Returns:
            Number of bytes read, fewer than asked for at the end of the file; the checksum; what
            `repeats` gives, or -1 without sums; `Sums`.

        Raises:
            OSError: The file cannot be read.
        """
        ...

    def summarize(self, data: NDArray[Any] | memoryview | bytes, dtype: str, /) -> Sums:
        """Sum up elements of one of `SUMMED_TYPES`."""
        ...

    def largest(self, data: NDArray[Any], itemsize: int, /) -> list[int]:
        """Return the places of the nine elements of largest magnitude, largest first.

        Of equal magnitudes the first come first. NaN counts as larger than infinity.

        Args:
            data: Elements of float32 or float64.
            itemsize: Bytes of an element.
        """
        ...

    def patterns(self, data: NDArray[Any] | memoryview | bytes, /) -> tuple[int, int, int, int, int, int]:
        """Count what float32 elements would be if their bytes were read in another way.

        Returns:
            Elements that are not zero; those of a magnitude from 2**-24 to below 2**14, as they are, and
            with their bytes in the other order; those whose lower 16 bits are not zero; and those in
            which these are a bfloat16 number of 2**-19 to 32, and a float16 number of 2**-11 to 8.
        """
        ...

    def repeats(self, data: NDArray[Any] | memoryview | bytes, place: int, /) -> int:
        """Count the pages of which a sample of 64 bytes is that of an earlier page.

        Pages whose sample is one word of 64 bits again and again do not count, nor does the page that
        is repeated.

        Args:
            data: Bytes of a file; pages that lie in them only in part are not looked at.
            place: Where in the file they begin: pages begin at multiples of `PAGE_BYTES` there.

        Returns:
            The count; -1 if it is not known, because there are more than 65536 pages.
        """
        ...

    def checksum(self, kind: str, data: object, value: int, /) -> int:
        """Return the checksum of a buffer, going on from `value`."""
        ...

    def use_level(self, level: int, /) -> int:
        """Choose the instructions that sums are computed with, for tests: they differ in speed only.

        Args:
            level: 0 for those that every CPU has, 1 for AVX2, 2 for AVX-512.

        Returns:
            The level that is used from now on: the highest that this CPU has, if that is lower.
        """
        ...


def _load() -> Native | None:
    try:
        module = import_module("_weightaudit_kernels")
    except ImportError:
        return None
    return cast("Native", module) if getattr(module, "INTERFACE", None) == _INTERFACE else None


native = _load()


def has_one_pass(kind: str) -> bool:
    """Say whether `native.scan` is the fastest way to read and checksum; no kind means no checksum."""
    return native is not None and (not kind or native.FAST_CHECKSUMS > 0)
