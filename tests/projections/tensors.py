"""Tensors as they come out of files, of every floating-point storage type, and projections of all kinds."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from weightaudit.dtypes import decode, itemsize
from weightaudit.projections import (
    Clip,
    ClipNorm,
    FitDtype,
    L1Ball,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    Projection,
    Prune,
    ReplaceNonfinite,
    Shrink,
    SoftThreshold,
    SpectralNorm,
    UnitNorm,
)
from weightaudit.projections.grid import GRIDS, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

DTYPES = tuple(GRIDS)
FEW_BITS = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
TARGETS = ("float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")

_AXES = (0, 1, -1, None, (0,), (0, 1), (-2, -1), (0, 2), ())
_BOUNDS = st.sampled_from([0.0, 1e-30, 0.01, 0.3, 1.0, 2.0, 100.0, 1e30])


def stored(values: object, dtype: str) -> NDArray[Any]:
    """Return numbers as they are read from a file that stores them with that type."""
    wide = np.asarray(values, np.float64)
    rounded = nearest(wide.reshape(-1), GRIDS[dtype]).reshape(wide.shape)
    return rounded.astype(np.float64 if dtype == "float64" else np.float32)


@st.composite
def tensors(draw: st.DrawFn, dtypes: tuple[str, ...] = DTYPES) -> tuple[NDArray[Any], str]:
    """Draw a tensor of up to four axes and its storage type.

    Random bits give NaN, Inf, subnormals and the whole range; else numbers around some scale. Some
    tensors have zeros, equal values or single NaN and Inf among them.
    """
    dtype = draw(st.sampled_from(dtypes))
    shape = tuple(draw(st.lists(st.integers(0, 6), max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = int(np.prod(shape, dtype=int))
    if draw(st.booleans()):
        values = decode(np.frombuffer(rng.bytes(size * itemsize(dtype)), np.uint8), dtype).copy()
    else:
        scale = draw(st.sampled_from([1e-310, 1e-42, 1e-6, 0.1, 1.0, 100.0, 1e30, 1e37, 1e307]))
        values = stored(rng.normal(0, scale, size), dtype)
    values[rng.random(size) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = 0
    if draw(st.booleans()):
        values[:] = values[:1]
    values[rng.random(size) < draw(st.sampled_from([0.0, 0.1]))] = rng.choice([np.nan, np.inf, -np.inf])
    if dtype == "float8_e4m3fn":
        values[np.isinf(values)] = np.nan
    return values.reshape(shape), dtype


def projections() -> st.SearchStrategy[Projection]:
    """Draw a projection that comes with weightaudit, with parameters that it may have."""
    axes = st.sampled_from(_AXES)
    shares = st.sampled_from([0.0, 0.1, 0.5, 0.55, 0.9, 1.0])
    intervals = st.tuples(_BOUNDS, _BOUNDS | st.just(inf)).map(sorted)
    patterns = st.sampled_from(["1:1", "1:2", "2:4", "1:3", "4:8"])
    rates = st.sampled_from([0.1, 0.5, 1.0, 1.0, 1.0])
    ends = st.sampled_from([-inf, -1e10, -0.1, 0.0, 1e-50, 0.1, 0.5, 3.0, inf])
    return st.one_of(
        st.builds(MaxNorm, _BOUNDS, axes),
        st.builds(lambda ends, rate, axis: MinMaxNorm(ends[0], ends[1], rate, axis), intervals, rates, axes),
        st.builds(UnitNorm, axes),
        st.builds(ClipNorm, _BOUNDS),
        st.builds(L1Ball, _BOUNDS, axes),
        st.builds(SpectralNorm, _BOUNDS),
        st.just(NonNeg()),
        st.tuples(ends, ends).map(sorted).map(lambda pair: Clip(*pair)),
        st.builds(FitDtype, st.sampled_from(TARGETS)),
        st.builds(ReplaceNonfinite, ends.filter(np.isfinite), st.sampled_from([None, 0.0, 1e9])),
        st.builds(SoftThreshold, _BOUNDS),
        st.builds(Shrink, _BOUNDS),
        st.builds(Prune, shares),
        st.builds(lambda pattern, axis: Prune(None, pattern, axis), patterns, st.sampled_from([0, -1, -2])),
    )
