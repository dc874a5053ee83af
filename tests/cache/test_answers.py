"""Answers from what is known equal what measuring gives, whatever the thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cache.models import audit, require_disk, write
from tests.statistics.arrays import arrays
from weightaudit.cache import Store
from weightaudit.statistics import (
    Above,
    AxisNorm,
    Below,
    Extremes,
    Moments,
    Negative,
    NonFinite,
    Peak,
    SpectralNorm,
    Statistic,
    Stats,
    Tiny,
    TinyCount,
    Uniform,
    WeakGroups,
    Zeros,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIMITS = st.one_of(
    st.sampled_from([0.1, 0.7, 1.0, 1e-30, 1e3, 65520.0, 1e300]),
    st.floats(0, 1e3, allow_subnormal=False),
    st.integers(-140, 20).map(lambda power: 2.0**power),
)
POWERS = st.integers(-140, 4).map(lambda power: 2.0**power)
SHARES = st.sampled_from([0.0, 1e-9, 1e-6, 1e-3, 0.5])
RELATIVE = st.sampled_from([0.0, 1e-7, 1e-6, 1e-3, 0.5])
FLOORS = st.sampled_from([0.0, 1e-20, 1e-3])


@st.composite
def statistics(draw: st.DrawFn, rank: int) -> Statistic[Any]:
    """Draw any statistic that is kept, with any thresholds, for a tensor of that rank."""
    some = st.sets(st.sampled_from(range(-rank, rank))) if rank else st.just(set[int]())
    axes = draw(st.one_of(st.none(), some.map(lambda one: tuple(sorted(one)))))
    plain: tuple[Statistic[Any], ...] = (
        NonFinite(),
        Extremes(),
        Moments(),
        Zeros(),
        Peak(),
        Uniform(),
        Negative(),
        SpectralNorm(),
        AxisNorm(axes, draw(st.sampled_from([1, 2, inf]))),
    )
    flush, normal = sorted((draw(POWERS), draw(POWERS)))
    with_bounds: tuple[Statistic[Any], ...] = (
        Above(draw(LIMITS)),
        Below(draw(st.one_of(POWERS, st.floats(0, 1e3, width=32)))),  # those that its docstring allows
        Tiny(flush, normal, draw(SHARES)),
        WeakGroups(axes, draw(RELATIVE), draw(FLOORS)),
    )
    return draw(st.one_of(st.sampled_from(plain), st.sampled_from(with_bounds)))


@dataclass(frozen=True)
class Case:
    """A tensor, and what two audits ask of it."""

    array: NDArray[Any]
    first: tuple[Statistic[Any], ...]
    second: tuple[Statistic[Any], ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a tensor of a type of numpy's own, and two lists of statistics."""
    own = ("float16", "float32", "float64", "complex64", "int8", "int64", "uint32", "bool")
    array = draw(arrays(own))
    asked = st.lists(statistics(array.ndim), min_size=1, max_size=6, unique=True).map(tuple)
    return Case(array, draw(asked), draw(asked))


@settings(deadline=None, max_examples=150)
@given(cases())
def test_second_audit_gives_what_measuring_gives(
    tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    """Whatever was asked first, the second audit's results are those of an audit without a store."""
    require_disk(tmp_path_factory.getbasetemp())
    with TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        model, store = write(Path(folder, "model"), {"x": case.array}), Store(Path(folder, "cache"))
        audit(store, model, case.first)
        recalled = audit(store, model, case.second).result.stats["x"]
        measured = audit(Store(Path(folder, "other")), model, case.second).result.stats["x"]
        for what in case.second:
            assert _says(what, recalled) == _says(what, measured), what
        again = audit(store, model, (*case.first, *case.second))
        assert again.recalled.subjects == ()


def _says(what: Statistic[Any], stats: Stats) -> object:
    """Return what a result says: its exact value, and of groups among which none is weak, just that."""
    value = stats[what]
    if isinstance(what, WeakGroups):
        bound = max(what.floor, what.relative * float(value.max(initial=0)))
        if not (value < bound).any():
            return value.shape
    return (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)


def test_tiny_elements_of_a_large_tensor(tmp_path: Path) -> None:
    """Where tiny elements fill a block of their own, a smaller share finds what a larger one passed over."""
    array = np.ones(3_000_000, np.float32)
    array[-1_000_000:] = 1e-9
    model, store = write(tmp_path / "model", {"x": array}), Store(tmp_path / "cache")
    coarse, fine = Tiny(2**-25, 2**-14, 0.5), Tiny(2**-25, 2**-14, 1e-30)
    audit(store, model, (coarse,))
    found = audit(store, model, (fine,)).result.stats["x"][fine]
    assert found.flushed == 1_000_000
    assert audit(store, model, (fine,)).result.stats["x"][fine] == found != TinyCount()


def test_weak_group_is_found_by_higher_thresholds(tmp_path: Path) -> None:
    """A group that a low threshold calls strong is measured again when a higher one is asked."""
    array = np.ones((1000, 8), np.float32)
    array[:, 3] = 1e-4
    model, store = write(tmp_path / "model", {"x": array}), Store(tmp_path / "cache")
    low, high = WeakGroups((0,), 1e-6), WeakGroups((0,), 1e-2)
    audit(store, model, (low,))
    assert (audit(store, model, (high,)).result.stats["x"][high] < 1e-2).sum() == 1
