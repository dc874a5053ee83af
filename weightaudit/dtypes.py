"""Storage types of tensors, and how their bytes become numbers that numpy can reduce.

Every type is decoded without loss into float32 or float64, except 64-bit integers, whose
values beyond 2**53 are rounded to the nearest float64.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["float", "complex", "int", "uint", "bool", "opaque"]


class _Storage(NamedTuple):
    kind: Kind
    itemsize: int


_TYPES: dict[str, _Storage] = {
    "float16": _Storage("float", 2),
    "float32": _Storage("float", 4),
    "float64": _Storage("float", 8),
    "bfloat16": _Storage("float", 2),
    "float8_e4m3fn": _Storage("float", 1),
    "float8_e5m2": _Storage("float", 1),
    "complex64": _Storage("complex", 8),
    "complex128": _Storage("complex", 16),
    "int8": _Storage("int", 1),
    "int16": _Storage("int", 2),
    "int32": _Storage("int", 4),
    "int64": _Storage("int", 8),
    "uint8": _Storage("uint", 1),
    "uint16": _Storage("uint", 2),
    "uint32": _Storage("uint", 4),
    "uint64": _Storage("uint", 8),
    "bool": _Storage("bool", 1),
}

WITHOUT_NUMBERS = frozenset({"string", "resource", "variant"})
"""Types of elements that are no numbers; any other that is not known above has numbers, not measured."""


def kind_of(dtype: str) -> Kind:
    """Return the family of a storage type; every name that is not known is ``opaque``."""
    found = _TYPES.get(dtype)
    return found.kind if found else "opaque"


def itemsize(dtype: str) -> int:
    """Return the bytes of one element, 0 for opaque types."""
    found = _TYPES.get(dtype)
    return found.itemsize if found else 0


def components(dtype: str) -> int:
    """Return how many real numbers one element holds: 2 for complex types, else 1."""
    return 2 if kind_of(dtype) == "complex" else 1


@lru_cache(maxsize=8)
def _float8_table(dtype: str) -> NDArray[np.float32]:
    """Return the value of each of the 256 codes (OCP 8-bit floating point formats, 2023)."""
    import numpy as np

    exponent_bits, mantissa_bits, bias = (4, 3, 7) if dtype == "float8_e4m3fn" else (5, 2, 15)
    code = np.arange(256, dtype=np.uint32)
    exponent = ((code >> mantissa_bits) & ((1 << exponent_bits) - 1)).astype(np.int32)
    mantissa = (code & ((1 << mantissa_bits) - 1)).astype(np.float32) / np.float32(1 << mantissa_bits)
    value = np.where(
        exponent == 0,
        np.ldexp(mantissa, 1 - bias),
        np.ldexp(np.float32(1) + mantissa, exponent - bias),
    )
    if dtype == "float8_e4m3fn":
        value[(code & 0x7F) == 0x7F] = np.nan
    else:
        value[(code & 0x7F) == 0x7C] = np.inf
        value[(code & 0x7F) > 0x7C] = np.nan
    table: NDArray[np.float32] = np.where(code & 0x80, -value, value).astype(np.float32)
    table.flags.writeable = False
    return table


def decode(raw: NDArray[np.uint8], dtype: str, *, big_endian: bool = False) -> NDArray[Any]:
    """Turn stored bytes into a one-dimensional float32 or float64 array.

    Args:
        raw: Bytes, a multiple of `itemsize(dtype)` long.
        dtype: Storage type.
        big_endian: Whether the bytes of an element run from the most significant one.

    Returns:
        float32 for every type that float32 holds exactly, else float64; complex types give
        real and imaginary parts in turn. float32 and float64 input is viewed, not copied.
    """
    import numpy as np

    kind, size = _TYPES[dtype]
    if dtype == "bfloat16":
        words = raw.view(">u2" if big_endian else "<u2")
        return (words.astype(np.uint32) << 16).view(np.float32)
    if dtype == "float16":
        # Some processors, ARM's among them, call it an invalid operation to widen a signalling NaN.
        with np.errstate(invalid="ignore"):
            return raw.view(">f2" if big_endian else "<f2").astype(np.float32)
    if dtype.startswith("float8"):
        return _float8_table(dtype)[raw]
    if kind == "bool":
        truth: NDArray[np.bool_] = raw != 0
        return truth.astype(np.float32)
    width = size // components(dtype)
    letter = {"float": "f", "complex": "f", "int": "i", "uint": "u"}[kind]
    values = raw.view(f"{'>' if big_endian else '<'}{letter}{width}")
    exact_in_float32 = width <= 2 or (letter == "f" and width == 4)
    return values.astype(np.float32 if exact_in_float32 else np.float64, copy=False)
