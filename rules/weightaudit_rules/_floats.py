"""Limits of the floating point formats that weights are cast to for serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Target = Literal["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
"""Floating point formats that weights are cast to."""


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """One format, IEEE 754 or OCP OFP8, with rounding to nearest even.

    Attributes:
        largest: Largest finite value.
        overflow: Smallest float32 magnitude that does not round to a finite value.
        becomes: What it becomes then.
        digits: Binary digits of a normal number, the hidden one included.
        normal: Smallest normal magnitude.
        flush: Largest magnitude that rounds to zero: half the smallest subnormal.
        loss: Share of a tensor's energy that underflow may take before a warning. float16,
            bfloat16: a signal-to-noise ratio of 60 and 45 dB; float8: of 25 and 19 dB, each about
            6 to 14 dB below what rounding alone leaves.
        narrower_than: Storage types that hold values which this one does not.
    """

    largest: float
    overflow: float
    becomes: str
    digits: int
    normal: float
    flush: float
    loss: float
    narrower_than: frozenset[str]

    @property
    def step(self) -> float:
        """Distance of two neighbouring subnormals."""
        return 2 * self.flush


_WIDE = frozenset({"float32", "float64", "complex64", "complex128"})
_SIXTEEN = frozenset({"float16", "bfloat16"})

FORMATS: dict[Target, FloatFormat] = {
    "float16": FloatFormat(65504.0, 65520.0, "infinite", 11, 2.0**-14, 2.0**-25, 1e-6, _WIDE | {"bfloat16"}),
    "bfloat16": FloatFormat(
        (2 - 2.0**-7) * 2.0**127,
        (2 - 2.0**-8) * 2.0**127,
        "infinite",
        8,
        2.0**-126,
        2.0**-134,
        10**-4.5,
        _WIDE,
    ),
    "float8_e4m3fn": FloatFormat(
        448.0, 464 + 2.0**-15, "NaN", 4, 2.0**-6, 2.0**-10, 10**-2.5, _WIDE | _SIXTEEN | {"float8_e5m2"}
    ),
    "float8_e5m2": FloatFormat(
        57344.0, 61440.0, "infinite", 3, 2.0**-14, 2.0**-17, 10**-1.9, _WIDE | _SIXTEEN
    ),
}
"""Their limits, by name of the storage type."""
