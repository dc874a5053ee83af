"""Numbers for the compiled kernels, and what numpy makes of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from weightaudit.kernels import SUMMED_TYPES, Native, native

TYPES = sorted(SUMMED_TYPES)
HALVES = {"float16": 0x7C00, "bfloat16": 0x7F80}
"""Codes of infinity: those above are NaN, and the sign is the highest bit."""
HIGHEST = 9
"""More than there are levels: the highest of this CPU."""
CRC = {"crc32": zlib.crc32, "crc32c": lambda data, value: google_crc32c.extend(value, data)}


def raw_of(dtype: str, count: int, seed: int) -> bytes:
    """Make elements of a type with any bits but those of NaN and Inf, of moderate size."""
    values = np.random.default_rng(seed).standard_normal(count).astype(np.float32)
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.astype(dtype).tobytes()


def expected(values: NDArray[Any]) -> tuple[float, ...]:
    """Return the sums as float64 numpy has them."""
    wide = values.astype(np.float64)
    least = float(np.abs(wide).min(initial=inf))
    return float(wide.sum()), float((wide * wide).sum()), wide.min(initial=inf), wide.max(initial=-inf), least


@contextmanager
def using(level: int) -> Iterator[Native]:
    """Compute sums with the instructions of a level, or a lower one where this CPU has no others."""
    assert native is not None
    try:
        assert native.use_level(level) <= level
        yield native
    finally:
        native.use_level(HIGHEST)


def at_level(level: int, raw: bytes | memoryview, dtype: str) -> tuple[float, ...]:
    """Sum up elements with the instructions of one level."""
    with using(level) as kernels:
        return kernels.summarize(raw, dtype)
