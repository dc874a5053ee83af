"""What is counted and added up of two tensors, against naive float64 numpy."""

from __future__ import annotations

from math import inf, isnan, nan, sqrt
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.comparison.conftest import Models, entry, normal
from weightaudit.comparison import Difference, Status, compare_checkpoints, jobs, steps
from weightaudit.engine import reading
from weightaudit.engine.plan import Run
from weightaudit.source import Files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SPECIAL = [0.0, -0.0, 1.0, -1.0, nan, inf, -inf, 1e-45, 3.4e38, -3.4e38, 1e-3]


@pytest.fixture(autouse=True, scope="module")
def _small_pieces() -> Iterator[None]:
    """Cut tensors of a few elements as large ones are cut: into stretches, pieces and blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PIECE_BYTES", 40)
        patch.setattr(steps, "UNIT_BYTES", 72)
        patch.setattr(steps, "BLOCK_NUMBERS", 7)
        yield


def difference(root: Path, before: NDArray[Any], after: NDArray[Any]) -> Difference | None:
    """Compare two arrays as the only tensors of two models."""
    with Files(root) as files:
        model = Models(files)
        (one,) = compare_checkpoints(model({"w": before}), model({"w": after}), workers=2).tensors
    assert (one.status is Status.EQUAL) == (one.difference is None)
    return one.difference


def naive(before: NDArray[Any], after: NDArray[Any]) -> dict[str, Any]:
    """Return what `Difference` says, computed at once in float64."""
    a, b = before.ravel(), after.ravel()
    if before.dtype == after.dtype:
        word = f"u{before.dtype.itemsize}"
        differ = a.view(word) != b.view(word)
    else:
        differ = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    a, b = a.astype(np.float64), b.astype(np.float64)
    fine = np.isfinite(a) & np.isfinite(b)
    with np.errstate(all="ignore"):
        gap = np.where(fine, b - a, 0.0)
    x, y = a[fine], b[fine]
    norm, change = sqrt(float(x @ x)), sqrt(float(gap @ gap))
    cross = norm * sqrt(float(y @ y))
    return {
        "size": a.size,
        "elements": int(differ.sum()),
        "relative": change / norm if norm else inf if change else 0.0,
        "largest": float(np.abs(gap).max(initial=0.0)),
        "sign_flips": int(((a > 0) & (b < 0)).sum() + ((a < 0) & (b > 0)).sum()),
        "zeros_before": int((a == 0).sum()),
        "zeros_after": int((b == 0).sum()),
        "nonfinite_before": int((~np.isfinite(a)).sum()),
        "nonfinite_after": int((~np.isfinite(b)).sum()),
        "nonfinite_new": int((np.isfinite(a) & ~np.isfinite(b)).sum()),
        "nonfinite_gone": int((~np.isfinite(a) & np.isfinite(b)).sum()),
        "nonfinite_other": int((~np.isfinite(a) & ~np.isfinite(b) & differ).sum()),
        "cosine": float(x @ y) / cross if cross else nan,
    }


def assert_as_naive(found: Difference, before: NDArray[Any], after: NDArray[Any]) -> None:
    """Every figure is as computed naively: counts exactly, sums within rounding."""
    for name, expected in naive(before, after).items():
        value = getattr(found, name)
        if isinstance(expected, int):
            assert value == expected, name
        else:
            assert value == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True), name
    if found.largest:
        assert found.place is not None
        fine = np.isfinite(before) & np.isfinite(after)
        wide = (np.where(fine, one, 0).astype(np.float64) for one in (after, before))
        first = np.abs(np.subtract(*wide))
        assert found.place == np.unravel_index(first.argmax(), first.shape)
        assert (found.before, found.after) == (before[found.place], after[found.place])
        assert abs(float(after[found.place]) - float(before[found.place])) == found.largest
    else:
        assert found.place is None


def pairs(dtype: type[np.floating[Any]]) -> st.SearchStrategy[tuple[NDArray[Any], NDArray[Any]]]:
    """Two arrays of one shape, many of whose elements are the same, zero, huge or no numbers."""
    width: Literal[32, 64] = 64 if dtype is np.float64 else 32
    # Squares of larger float64 values overflow, which has a test of its own.
    bound = 1e100 if dtype is np.float64 else float(np.finfo(np.float32).max)
    value = st.one_of(
        st.sampled_from(SPECIAL), st.floats(-bound, bound, width=width), st.floats(-2, 2, width=width)
    )
    shape = hnp.array_shapes(max_dims=3, max_side=9)
    whole = shape.flatmap(lambda one: hnp.arrays(dtype, (2, *one), elements=value))
    same = whole.flatmap(
        lambda both: hnp.arrays(np.bool_, both.shape[1:]).map(
            lambda mask: (both[0], np.where(mask, both[0], both[1]))
        )
    )
    return st.one_of(whole.map(lambda both: (both[0], both[1])), same)


@settings(deadline=None, max_examples=150)
@given(both=pairs(np.float32))
def test_float32_as_naive(both: tuple[NDArray[Any], NDArray[Any]], tmp_path_factory: Any) -> None:
    """Every statistic of float32 tensors is what float64 numpy gives, wherever they are cut."""
    before, after = both
    found = difference(tmp_path_factory.getbasetemp(), before, after)
    if found is None:
        assert before.tobytes() == after.tobytes()
    else:
        assert before.tobytes() != after.tobytes()
        assert_as_naive(found, before, after)


@settings(deadline=None, max_examples=75)
@given(both=pairs(np.float64))
def test_float64_as_naive(both: tuple[NDArray[Any], NDArray[Any]], tmp_path_factory: Any) -> None:
    """Every statistic of float64 tensors is what float64 numpy gives."""
    found = difference(tmp_path_factory.getbasetemp(), *both)
    if found is not None:
        assert_as_naive(found, *both)


@settings(deadline=None, max_examples=75)
@given(both=pairs(np.float32))
def test_retyped_as_naive(both: tuple[NDArray[Any], NDArray[Any]], tmp_path_factory: Any) -> None:
    """Tensors of different types are compared by value, and NaN is the same as NaN."""
    before, after = both[0], both[1].astype(np.float64)
    found = difference(tmp_path_factory.getbasetemp(), before, after)
    assert found is not None
    assert_as_naive(found, before, after)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "uint64", "bool", "float16"])
def test_other_types_as_naive(tmp_path: Path, dtype: str) -> None:
    """Whatever type both are stored in, the figures are those of their values."""
    before, after = (np.arange(60) % 7).astype(dtype), (np.arange(60) % 5).astype(dtype)
    found = difference(tmp_path, before, after)
    assert found is not None
    assert_as_naive(found, before, after)


def test_the_last_bits_of_large_integers_count(tmp_path: Path) -> None:
    """Integers beyond 2**53 that decode to the same float64 are still told apart, by their bits."""
    before = np.array([2**53, 5, -(2**62)], np.int64)
    found = difference(tmp_path, before, before + 1)
    assert found is not None
    assert found.elements == 3
    assert found.largest == 1


def test_complex_numbers_count_by_parts(tmp_path: Path) -> None:
    """Real and imaginary parts are numbers of their own; the place is that of the element."""
    before = np.array([[1 + 2j, 3 + 4j]], np.complex64)
    after = np.array([[1 + 2j, 3 - 4j]], np.complex64)
    found = difference(tmp_path, before, after)
    assert found is not None
    assert (found.size, found.elements, found.largest, found.sign_flips) == (4, 1, 8.0, 1)
    assert (found.place, found.before, found.after) == ((0, 1), 4.0, -4.0)


def test_complex_and_real_are_not_measured(model: Models) -> None:
    """A complex tensor that became real is retyped, without figures that would mean nothing."""
    (one,) = compare_checkpoints(
        model({"w": np.ones(3, np.complex64)}), model({"w": np.ones(3, np.float32)})
    ).tensors
    assert (one.status, one.difference) == (Status.RETYPED, None)


def test_nan_is_equal_only_with_the_same_bits(tmp_path: Path) -> None:
    """A NaN at the same place is equal if its bits are; another payload or sign is a change."""
    plain = np.array([1, nan, 2], np.float32)
    assert difference(tmp_path, plain, plain.copy()) is None
    found = difference(tmp_path, plain, -plain * np.array([-1, 1, -1], np.float32))
    assert found is not None
    assert (found.elements, found.nonfinite_other, found.relative) == (1, 1, 0.0)
    assert found.touches_nonfinite


def test_the_sign_of_zero_is_a_change_without_size(tmp_path: Path) -> None:
    """-0.0 for 0.0 differs in its bits and in nothing else."""
    found = difference(tmp_path, np.zeros(4, np.float32), -np.zeros(4, np.float32))
    assert found is not None
    assert (found.elements, found.relative, found.largest, found.sign_flips) == (4, 0.0, 0.0, 0)
    assert isnan(found.cosine)


def test_nan_survives_a_change_of_type(model: Models) -> None:
    """NaN in another storage type is the same value, so the change of type is lossless."""
    before = np.array([1, nan, -inf], np.float32)
    (one,) = compare_checkpoints(model({"w": before}), model({"w": before.astype(np.float64)})).tensors
    assert one.is_lossless
    assert one.difference is not None
    assert not one.difference.touches_nonfinite


def test_from_zero_is_an_infinite_change(tmp_path: Path) -> None:
    """A tensor that was zero has no norm to compare with."""
    found = difference(tmp_path, np.zeros(4, np.float32), np.ones(4, np.float32))
    assert found is not None
    assert (found.relative, found.zeros_before, found.zeros_after) == (inf, 4, 0)


def test_sums_beyond_float64_are_no_small_change(model: Models) -> None:
    """Where a sum of squares overflows, the relative difference is NaN, which no tolerance lets pass."""
    before = np.array([1e200, 2e200])
    comparison = compare_checkpoints(model({"w": before}), model({"w": before * 2}), tolerance=10)
    (one,) = comparison.tensors
    assert one.difference is not None
    assert isnan(one.difference.relative)
    assert one.counts


def test_byte_order_is_no_difference(model: Models) -> None:
    """A checkpoint of a big-endian machine is equal bit for bit to its little-endian twin."""
    values = normal(5, 7)
    comparison = compare_checkpoints(model({"w": values}), model({"w": values.astype(">f4")}))
    assert comparison.is_equal
    changed = values.copy()
    changed[3, 2] = 9
    (one,) = compare_checkpoints(model({"w": changed}), model({"w": values.astype(">f4")})).tensors
    assert one.difference is not None
    assert (one.difference.elements, one.difference.place) == (1, (3, 2))


def test_bfloat16_against_float32(model: Models) -> None:
    """float32 to bfloat16 and back is lossless exactly where the lower half of every word is zero."""
    words = np.arange(0x3F80, 0x3F80 + 50, dtype=np.uint16)
    exact = (words.astype(np.uint32) << 16).view(np.float32)
    short = model({"w": entry("w", words, "bfloat16")})
    (one,) = compare_checkpoints(model({"w": exact}), short).tensors
    assert (one.status, one.is_lossless, one.counts) == (Status.RETYPED, True, True)
    exact[7] = np.nextafter(exact[7], np.float32(2))
    (other,) = compare_checkpoints(model({"w": exact}), short).tensors
    assert other.difference is not None
    assert (other.is_lossless, other.difference.elements, other.difference.place) == (False, 1, (7,))


def test_empty_and_scalar_tensors(model: Models) -> None:
    """A tensor without elements is equal to itself, and a scalar has a place."""
    empty = np.zeros((0, 4), np.float32)
    one, other = (
        compare_checkpoints(model({"e": empty, "s": np.array(1, np.float32)}), second).tensors
        for second in (
            model({"e": empty, "s": np.array(1, np.float32)}),
            model({"e": empty, "s": np.array(3, np.float32)}),
        )
    )
    assert {found.status for found in one} == {Status.EQUAL}
    assert other[1].difference is not None
    assert (other[1].difference.place, other[1].difference.relative) == ((), 2.0)


def test_threads_do_not_change_a_bit(model: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread and several give the same figures to the last bit: they are merged in order."""
    monkeypatch.setattr(jobs, "runs", lambda units: (Run((unit,), None) for unit in units))
    before = {f"w{n}": normal(31, 17, seed=n) for n in range(6)}
    after = {key: values + normal(31, 17, seed=9) * np.float32(1e-3) for key, values in before.items()}
    results = [compare_checkpoints(model(before), model(after), workers=n) for n in (1, 2, 5)]
    assert results[0] == results[1] == results[2]
    assert results[0].count(Status.CHANGED) == 6
