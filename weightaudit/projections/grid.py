"""The numbers that a storage type has: rounding onto them, and back to bytes without loss.

Formats: IEEE 754-2019 for float16, float32 and float64; bfloat16 is float32 without its last 16
bits; float8 as in the OCP 8-bit Floating Point Specification (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from weightaudit.dtypes import decode, itemsize

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Grid:
    """The finite numbers of one floating-point type.

    Attributes:
        dtype: Name of the storage type.
        digits: Binary digits of a normal number's significand.
        normal: Smallest normal magnitude.
        largest: Largest finite number.
    """

    dtype: str
    digits: int
    normal: float
    largest: float

    @property
    def epsilon(self) -> float:
        """Distance from 1 to the next larger number."""
        return 2.0 ** (1 - self.digits)

    @property
    def step(self) -> float:
        """Smallest magnitude above zero: the distance of two neighbouring subnormals."""
        return self.normal * self.epsilon


GRIDS = {
    "float16": Grid("float16", 11, 2.0**-14, 65504.0),
    "float32": Grid("float32", 24, 2.0**-126, (2 - 2.0**-23) * 2.0**127),
    "float64": Grid("float64", 53, 2.0**-1022, (2 - 2.0**-52) * 2.0**1023),
    "bfloat16": Grid("bfloat16", 8, 2.0**-126, (2 - 2.0**-7) * 2.0**127),
    "float8_e4m3fn": Grid("float8_e4m3fn", 4, 2.0**-6, 448.0),
    "float8_e5m2": Grid("float8_e5m2", 3, 2.0**-14, 57344.0),
}
"""The real floating-point types, by their names in `weightaudit.dtypes`."""


def grid_of(values: NDArray[Any], dtype: str | None = None) -> Grid:
    """Return the numbers that a projection of these values may use.

    Raises:
        ValueError: They are no real floating-point numbers.
    """
    name = dtype or values.dtype.name
    if name not in GRIDS or values.dtype.kind != "f":
        raise ValueError(f"a projection needs real floating-point numbers, not {name}")
    return GRIDS[name]


def toward_zero(values: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Round to the nearest number whose magnitude is not larger; NaN and Inf stay.

    Args:
        values: float64 array of at least one axis.
        grid: The numbers to choose from.

    Returns:
        float64 array of such numbers; magnitudes beyond the largest become the largest.
    """
    return _rounded(values, grid, "toward zero")


def nearest(values: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Round to the nearest number, of two to the even one; NaN and Inf stay.

    Args:
        values: float64 array of at least one axis.
        grid: The numbers to choose from.

    Returns:
        float64 array of such numbers; magnitudes beyond the largest become the largest.
    """
    return _rounded(values, grid, "to nearest")


def at_most(value: float, grid: Grid) -> float:
    """Return the largest number that is not above the value; -Inf if there is none."""
    number = float(toward_zero(np.array([value], np.float64), grid)[0])
    if number <= value:
        return number
    # A negative number was rounded up: the magnitude behind it has the next code.
    code = encode(np.array([-number]), grid.dtype).view(f"<u{itemsize(grid.dtype)}") + 1
    magnitude = float(decode(code.view(np.uint8), grid.dtype)[0])
    return -magnitude if magnitude <= grid.largest else -inf


def at_least(value: float, grid: Grid) -> float:
    """Return the smallest number that is not below the value; Inf if there is none."""
    return -at_most(-value, grid)


@np.errstate(all="ignore")
def encode(values: NDArray[Any], dtype: str, *, big_endian: bool = False) -> NDArray[np.uint8]:
    """Turn numbers into stored bytes: the inverse of `weightaudit.dtypes.decode`.

    NaN stays NaN, but its payload may not survive where the types differ: exchange only the bytes of
    elements that changed.

    Args:
        values: float16, float32 or float64 array.
        dtype: Storage type, a key of `GRIDS`.
        big_endian: Whether the bytes of an element run from the most significant one.

    Returns:
        Bytes of the elements in row-major order.

    Raises:
        ValueError: A value is not a number of that type, or the type is no real floating-point one.
    """
    grid_of(values, dtype)
    flat = np.ascontiguousarray(values).reshape(-1)
    codes = _codes(flat, dtype)
    raw = codes.view(np.uint8)
    back = decode(raw, dtype)
    lost = ~((back == flat) | (np.isnan(back) & np.isnan(flat)))
    if lost.any():
        raise ValueError(f"{float(flat[lost.argmax()])!r} is not a number of the type {dtype}")
    return codes.byteswap().view(np.uint8) if big_endian else raw


def bits(values: NDArray[Any]) -> NDArray[Any]:
    """Return the bit patterns of an array, flat, which tell -0.0 from 0.0 and any NaN from another."""
    patterns: NDArray[Any] = np.ascontiguousarray(values).reshape(-1).view(f"u{values.dtype.itemsize}")
    return patterns


def _codes(flat: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return the bit pattern of each value as a little-endian unsigned integer, right if it has one."""
    if dtype == "bfloat16":
        words = flat.astype(np.float32).view(np.uint32)
        # A NaN whose payload is in the half that is cut off would become Inf.
        quiet = np.where(np.isnan(flat), np.uint32(0x400000), np.uint32(0))
        return ((words | quiet) >> np.uint32(16)).astype("<u2")
    if dtype.startswith("float8"):
        magnitudes = decode(np.arange(128, dtype=np.uint8), dtype)
        codes: NDArray[Any] = np.searchsorted(magnitudes, np.abs(flat)).clip(0, 127)
        codes |= np.where(np.signbit(flat), 128, 0)
        return codes.astype(np.uint8)
    size = itemsize(dtype)
    return flat.astype(f"<f{size}").view(f"<u{size}")


def _rounded(
    values: NDArray[np.float64], grid: Grid, how: Literal["toward zero", "to nearest"]
) -> NDArray[np.float64]:
    if grid.dtype == "float64":
        return values
    codes = values.view(np.uint64)
    cut = 53 - grid.digits
    if how == "to nearest":
        # Half a unit in the last place, less one where that place is even; a carry is the next exponent.
        codes = codes + (((codes >> np.uint64(cut)) & np.uint64(1)) + np.uint64((1 << (cut - 1)) - 1))
    result = (codes & np.uint64((1 << 64) - (1 << cut))).view(np.float64)
    magnitudes = np.abs(values)
    odd = ~((magnitudes >= grid.normal) & (magnitudes <= grid.largest))
    if odd.any():
        result[odd] = _rounded_odd(values[odd], grid, np.trunc if how == "toward zero" else np.rint)
    return result


def _rounded_odd(values: NDArray[np.float64], grid: Grid, ufunc: np.ufunc) -> NDArray[np.float64]:
    """Round what has fewer digits than a normal number, and bound what is too large."""
    steps = ufunc(np.clip(values, -grid.largest, grid.largest) / grid.step) * grid.step
    return np.where(np.isfinite(values), steps, values)
