"""The compiled kernels: what they compute is what numpy, zlib and google-crc32c compute."""

from __future__ import annotations

import struct
from itertools import pairwise
from math import inf, isfinite, nan
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.kernels.reference import HALVES, HIGHEST, TYPES, at_level, expected, raw_of, using
from weightaudit.dtypes import decode, itemsize
from weightaudit.kernels import NO_OUTLINE, native

if native is None:
    pytest.skip("the kernels were not compiled", allow_module_level=True)


@settings(deadline=None)
@given(
    dtype=st.sampled_from(TYPES), count=st.integers(0, 9000), seed=st.integers(0, 99), skip=st.integers(0, 9)
)
def test_sums_equal_numpy(dtype: str, count: int, seed: int, skip: int) -> None:
    """Extremes are exact and sums right to float64 rounding, for any length and alignment."""
    assert native is not None
    raw = raw_of(dtype, count, seed)
    got = native.summarize(memoryview(bytes(skip) + raw)[skip:], dtype)
    want = expected(decode(np.frombuffer(raw, np.uint8), dtype))
    assert got[2:5] == want[2:]
    bound = (count + 16) * 2.0**-53
    assert abs(got[1] - want[1]) <= bound * want[1]
    assert abs(got[0] - want[0]) <= bound * np.sqrt(count * want[1])


def test_squares_are_rounded_before_they_are_added() -> None:
    """The sum of two squares of float64 has no bits that a CPU with fused additions alone would give."""
    values = np.random.default_rng(5).standard_normal((400, 33))
    values[:, 1:32] = 0  # elements 0 and 32 go to one sum, before the others are added to it
    for number, row in enumerate(values):
        squares = at_level(number % 3, row.tobytes(), "float64")[1]
        assert squares == row[0] * row[0] + row[32] * row[32]


@settings(deadline=None, max_examples=300)
@given(
    dtype=st.sampled_from(TYPES),
    count=st.integers(0, 400),
    seed=st.integers(0, 10**6),
    skip=st.integers(0, 9),
    mask=st.sampled_from([0xFFFFFFFF, 0x80008000, 0x80FF80FF, 0x7FFF7FFF, 0xBFFFBFFF]),
    sign=st.sampled_from([0, 0x80008000]),
)
def test_every_level_gives_the_same_bits(
    *, dtype: str, count: int, seed: int, skip: int, mask: int, sign: int
) -> None:
    """Any bits, subnormal numbers, NaN and zeros of both signs among them, give one result on all CPUs."""
    words = np.random.default_rng(seed).integers(0, 2**32, (count * itemsize(dtype) + 3) // 4, np.uint32)
    raw = ((words & mask) | sign).astype("<u4").tobytes()[: count * itemsize(dtype)]
    plain, *others = (at_level(level, memoryview(bytes(skip) + raw)[skip:], dtype) for level in range(3))
    for got in others:
        if isfinite(plain[1]):
            assert struct.pack("7d", *got) == struct.pack("7d", *plain)
        else:
            assert got[1] == plain[1] == inf


@pytest.mark.parametrize("level", range(3))
@pytest.mark.parametrize("count", [1, 31, 32, 33, 200])
@pytest.mark.parametrize("dtype", sorted(HALVES))
def test_extremes_of_halves(dtype: str, count: int, level: int) -> None:
    """Extremes are exact where all elements have one sign, and with zeros and subnormal numbers."""
    every = np.arange(HALVES[dtype], dtype="<u2")
    draw = np.random.default_rng(count)
    for start, sign in ((0, 0), (1, 0), (0, 0x8000), (1, 0x8000), (HALVES[dtype] - 300, 0x8000)):
        for last in (start + 1, start + 300, HALVES[dtype]):
            codes = draw.choice(every[start:last], count) | np.uint16(sign)
            mixed = codes ^ (draw.integers(0, 2, count).astype("<u2") << np.uint16(15))
            for chosen in (codes, mixed):
                want = expected(decode(chosen.view(np.uint8), dtype))
                got = at_level(level, chosen.tobytes(), dtype)
                assert got[2:5] == want[2:]
                assert got[:2] == pytest.approx(want[:2], rel=1e-9, abs=1e-9 * want[1] ** 0.5)


@pytest.mark.parametrize("level", range(3))
@pytest.mark.parametrize("dtype", TYPES)
def test_no_zero_has_a_sign(dtype: str, level: int) -> None:
    """Zeros of either sign are told as 0, so that it does not matter which of them comes first."""
    size = itemsize(dtype)
    zero, minus = bytes(size), bytes(size - 1) + b"\x80"
    for raw in (zero * 40, minus * 40, (zero + minus) * 40, (minus + zero) * 40, minus * 3):
        assert struct.pack("5d", *at_level(level, raw, dtype)[:5]) == bytes(40)


def widest(magnitudes: NDArray[Any]) -> float:
    """Return the largest ratio of two neighbours among the four largest magnitudes."""
    largest: list[float] = sorted(magnitudes.astype(np.float64).tolist())[-4:]
    return max(above / below for below, above in pairwise(largest))


@settings(deadline=None)
@given(
    dtype=st.sampled_from(TYPES),
    count=st.integers(4, 9000),
    seed=st.integers(0, 10**6),
    level=st.integers(0, 2),
    outlier=st.sampled_from([1.0, 8.0, 1000.0]),
)
def test_no_gap_is_wider_than_told(dtype: str, count: int, seed: int, level: int, outlier: float) -> None:
    """The ratio that is told bounds those of the four largest magnitudes, and is theirs in few elements."""
    values = decode(np.frombuffer(raw_of(dtype, count, seed), np.uint8), dtype).astype(np.float32)
    values[seed % count] *= outlier
    raw = (values.view(np.uint32) >> 16).astype("<u2") if dtype == "bfloat16" else values.astype(dtype)
    magnitudes = np.abs(decode(raw.view(np.uint8), dtype))
    got = at_level(level, raw.tobytes(), dtype)[5]
    assert got >= widest(magnitudes)
    if count <= 32:
        assert got == widest(magnitudes)


@pytest.mark.parametrize("values", [[], [1.0] * 3, [1.0, 0.0, -1.0, 1.0, -0.0]])
def test_no_gap_is_known_of_too_few(values: list[float]) -> None:
    """Of fewer than four elements that are not zero it is not said how far apart they lie."""
    assert at_level(HIGHEST, np.array(values, np.float32).tobytes(), "float32")[5] == inf


@settings(deadline=None, max_examples=300)
@given(
    dtype=st.sampled_from(TYPES),
    count=st.integers(0, 9000),
    places=st.lists(st.integers(0, 8999), max_size=30),
    runs=st.lists(st.tuples(st.integers(0, 8999), st.integers(1, 9)), max_size=2),
    level=st.integers(0, 2),
)
def test_lone_zeros_are_counted(
    dtype: str, count: int, places: list[int], runs: list[tuple[int, int]], level: int
) -> None:
    """A count is right, and told only where no eight zeros follow each other and neither end is one."""
    codes = np.frombuffer(raw_of(dtype, count, 1), f"<u{itemsize(dtype)}").copy()
    codes[[place for place in places if place < count]] = 0
    for place, length in runs:
        codes[place : place + length] = 1 << (8 * itemsize(dtype) - 1)  # -0
    is_zero = decode(codes.view(np.uint8), dtype) == 0
    bounds = np.flatnonzero(np.diff(is_zero, prepend=False, append=False))
    longest = (bounds[1::2] - bounds[::2]).max(initial=0)
    is_inside = not count or not (is_zero[0] or is_zero[-1])
    got = at_level(level, codes.tobytes(), dtype)[6]
    if got >= 0:
        assert (got, is_inside) == (is_zero.sum(), True)
        assert longest < 8
    if is_inside and longest < (4 if itemsize(dtype) == 2 else 1):
        assert got == is_zero.sum()


@pytest.mark.parametrize("level", range(3))
@pytest.mark.parametrize("dtype", sorted(HALVES))
def test_every_half_is_read_exactly(dtype: str, level: int) -> None:
    """Each of the 65,536 codes counts as what it stands for, and none that is not finite passes."""
    codes = np.arange(1 << 16, dtype="<u2").view(np.uint8)
    with using(level) as kernels:
        for code, value in enumerate(decode(codes, dtype).tolist()):
            count = 1 if code % 2 else 32  # alone, and in every lane
            raw = codes[2 * code :][:2].tobytes() * count
            total, squares, minimum, maximum, smallest, *_ = kernels.summarize(raw, dtype)
            if isfinite(value):
                assert (total, squares) == (count * value, count * value**2)
                assert (minimum, maximum, smallest) == (value, value, abs(value))
            else:
                assert squares == inf


@pytest.mark.parametrize("level", range(3))
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bad", [nan, -nan, inf, -inf])
def test_no_bad_value_hides(dtype: str, bad: float, level: int) -> None:
    """One NaN or Inf anywhere makes the sum of squares infinite."""
    for place in (0, 31, 32, 4095, 4096, 4999):
        values = np.ones(5000, np.float32)
        values[place] = bad
        raw = (
            (values.view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else values.astype(dtype)
        )
        assert at_level(level, raw.tobytes(), dtype)[1] == inf


@settings(deadline=None, max_examples=60)
@given(
    place=st.integers(0, 9000),
    pages=st.integers(0, 20),
    copies=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=3),
    rest=st.integers(0, 4095),
)
def test_repeated_pages_are_counted(place: int, pages: int, copies: list[tuple[int, int]], rest: int) -> None:
    """Whole pages of a file that hold the bytes of an earlier one are counted, in memory and in a scan."""
    assert native is not None
    first = -place % 4096
    raw = np.random.default_rng(1).integers(0, 256, (first + pages * 4096 + rest) // 8 * 8, np.uint8)
    whole = raw[first:][: (raw.size - first) // 4096 * 4096].reshape(-1, 4096)
    for source, target in copies:
        if max(source, target) < len(whole):
            whole[target] = whole[source]
    want = len(whole) - len(np.unique(whole, axis=0)) if len(whole) else 0
    assert native.repeats(raw, place) == want
    with TemporaryFile() as file:
        file.write(bytes(place) + raw.tobytes())
        file.flush()
        room = memoryview(bytearray(1 << 19))
        got = native.scan(file.fileno(), place, raw.size, room, "float32", "", 0, NO_OUTLINE)
    assert got[2] == want


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 700), scale=st.sampled_from([1e-6, 0.1, 1e5]))
def test_patterns_equal_numpy(seed: int, count: int, scale: float) -> None:
    """Numbers, swapped ones, pairs of halves and random bits are counted as numpy counts them."""
    assert native is not None
    draw = np.random.default_rng(seed)
    numbers = (draw.standard_normal(count) * scale).astype("<f4")
    halves = (draw.standard_normal(2 * count) * min(scale, 1e3)).astype("<f2").view("<u4")
    wide = (draw.standard_normal(2 * count) * scale).astype("<f4").view("<u4") >> 16
    codes = np.concatenate(
        [
            numbers.view("<u4"),
            numbers.view("<u4").byteswap(),
            halves,
            wide[::2] << 16 | wide[1::2],
            draw.integers(0, 2**32, count, np.uint32),
            np.array([0, 0x80000000, 0x7F800000, 0x7FC00000, 0x10000], np.uint32),
        ]
    )
    values, swapped = np.abs(codes.view("<f4")), np.abs(codes.byteswap().view("<f4"))
    lower = codes & 0xFFFF
    as_wide, as_half = np.abs((lower << 16).view("<f4")), np.abs(lower.astype("<u2").view("<f2"))
    want = (
        values != 0,
        (values >= 2.0**-24) & (values < 2.0**14),
        (swapped >= 2.0**-24) & (swapped < 2.0**14),
        lower != 0,
        (as_wide >= 2.0**-19) & (as_wide < 32),
        (as_half >= 2.0**-11) & (as_half < 8),
    )
    assert native.patterns(codes.tobytes()) == tuple(int(one.sum()) for one in want)


def test_pages_of_one_value_are_no_repeats() -> None:
    """Pages of zeros, or of one word again and again, tell nothing; unknown places neither."""
    assert native is not None
    assert native.repeats(bytes(40960), 0) == 0
    assert native.repeats(b"12345678" * 5120, 0) == 0
    assert native.repeats(bytes(range(256)) * 160, 0) == 9
    assert native.repeats(bytes(range(256)) * 160, -1) == -1


@settings(deadline=None)
@given(
    dtype=st.sampled_from(["float32", "float64"]),
    count=st.integers(0, 400),
    seed=st.integers(0, 99),
    few=st.booleans(),
)
def test_largest_are_found(*, dtype: str, count: int, seed: int, few: bool) -> None:
    """The nine largest magnitudes come in falling order, of equal ones the first."""
    assert native is not None
    draw = np.random.default_rng(seed)
    values = (draw.integers(-3, 4, count) if few else draw.normal(size=count)).astype(dtype)
    want = np.argsort(-np.abs(values), kind="stable")[:9]
    assert native.largest(values, values.itemsize) == want.tolist()
