"""How far a value may lie beyond a bound and still count as rounding."""

from __future__ import annotations

_EPSILON = {
    "float64": 2.0**-52,
    "complex128": 2.0**-52,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float8_e4m3fn": 2.0**-3,
    "float8_e5m2": 2.0**-2,
}


def relative_tolerance(dtype: str, tolerance: float | None = None) -> float:
    """Return `tolerance`, or if it is None twice the storage type's epsilon plus 1e-5.

    Keras projects in the variable's own precision and divides by the norm plus 1e-7: in
    float32 the result was measured to miss a norm bound by 2.2e-7, in bfloat16 by 5.9e-3.
    """
    if tolerance is not None:
        return tolerance
    return 2 * _EPSILON.get(dtype, 2.0**-23) + 1e-5
