"""Records survive as bytes, and nothing else is taken for one."""

from __future__ import annotations

import json
from math import inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightaudit.cache import codec
from weightaudit.cache.forms import FORMS
from weightaudit.cache.identity import Stamp
from weightaudit.cache.record import Record, column, results
from weightaudit.statistics import (
    OVERVIEW,
    Above,
    AboveCount,
    AxisNorm,
    AxisSum,
    Below,
    ByteLayout,
    Coarse,
    Coarseness,
    ExponentCounts,
    Exponents,
    Extremes,
    Isolated,
    Isolation,
    MagnitudeCounts,
    Magnitudes,
    Misread,
    Moments,
    MomentSums,
    Negative,
    NegativeCount,
    NonFinite,
    NonFiniteCount,
    Peak,
    Range,
    RepeatedPages,
    Repeats,
    SpectralNorm,
    Spectrum,
    Statistic,
    Summary,
    Tiny,
    TinyCount,
    Uniform,
    WeakGroups,
    ZeroRuns,
    Zeros,
    ZeroStretches,
)
from weightaudit.statistics.equal_channels import EqualChannels, Equals
from weightaudit.statistics.surroundings import Outlier, Standout
from weightaudit.statistics.zero_gaps import LongestZeros, ZeroGaps

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPES = [(2, 3), (), (0, 4)]
STAMPS = (Stamp(1, 2, 3, 4, 5), Stamp(0, 0, 9, 0, 0))
LAYOUT = "0" * 64

RESULTS: dict[Statistic[Any], dict[int, Any]] = {
    Above(1e300): {0: AboveCount(3, inf), 2: AboveCount()},
    Above(0.1): {1: AboveCount(2**62, 5e-324)},
    AxisNorm(None, inf): {0: np.array(2.5), 2: np.array(0.0)},
    AxisNorm((-1,), 2): {0: np.array([nan, -0.0])},
    AxisSum((-1,)): {0: np.array([nan, -0.0])},
    Below(0.5): {0: 1, 1: 2, 2: 3},
    ByteLayout(): {0: Misread(), 1: Misread(0.95, 0.125, 0.0, 0.0)},
    Coarseness(): {0: Coarse(), 2: Coarse(16, 127)},
    EqualChannels(2): {0: Equals(), 1: Equals(3, 5, 2)},
    Exponents(): {0: ExponentCounts(), 1: ExponentCounts(-1074, (1, 0), (0, 2**52), 7)},
    Extremes(): {0: Range(nan, nan), 1: Range(-0.0, 0.0)},
    Isolation(1.2, 10.0, 2.0): {0: Isolated(), 1: Isolated(1, -1.5, 7, 1.5, 0.1)},
    LongestZeros(): {0: ZeroGaps(), 1: ZeroGaps(2**40, 128, 7, 64, 1024)},
    Magnitudes(): {0: MagnitudeCounts(-9, (1, 2), (3, 4), 5), 2: MagnitudeCounts(zeros=3)},
    Moments(): {1: MomentSums(7, -1e308, inf)},
    Negative(): {0: NegativeCount(0, nan)},
    NonFinite(): {0: NonFiniteCount(1, 2, 3, 4)},
    OVERVIEW: {0: Summary(), 1: Summary(1, 0.1, 0.2, 0.3, 0.4, 0.5)},
    Peak(): {0: 0.1},
    RepeatedPages(): {0: Repeats(), 1: Repeats(1, 2048, 1024)},
    SpectralNorm(): {0: Spectrum(1.5, 2.5)},
    Standout(1.2, 10.0, 2.0, 1.1): {0: Outlier(), 1: Outlier(1, -1.5, 7, 1.5, 0.1, 3.0)},
    Tiny(2**-25, 2**-14, 1e-6): {2: TinyCount(1, 1e-30, 2)},
    Uniform(): {0: None, 1: -0.0, 2: 0.5},
    WeakGroups((0,), 1e-6, 1e-20): {0: np.array([1.0, 2.0, 3.0]), 2: np.zeros(4)},
    ZeroStretches(): {0: ZeroRuns(), 1: ZeroRuns(2, 2**40, 1024, 5, 8, 1024, 2048, 1)},
    Zeros(): {1: 0},
}


def _record() -> Record:
    return Record(STAMPS, LAYOUT, {what: column(what, rows) for what, rows in RESULTS.items()})


def test_every_statistic_survives() -> None:
    """Every statistic that is kept is the same after it was bytes, to NaN, infinities and signs of zero."""
    assert {type(what) for what in RESULTS} == set(FORMS)
    record = codec.decode(codec.encode(_record(), "us"), "us")
    assert (record.stamps, record.layout) == (STAMPS, LAYOUT)
    assert list(record.columns) == list(RESULTS)
    for what, known in record.columns.items():
        found = results(what, known, SHAPES)
        assert repr(found) == repr(RESULTS[what])
        assert {type(value) for value in found.values()} == {type(value) for value in RESULTS[what].values()}


def test_entries_hold_no_pickle() -> None:
    """What is written is a head in JSON and plain numbers."""
    data = codec.encode(_record(), "us")
    length = int.from_bytes(data[32:40], "little")
    head = json.loads(data[40 : 40 + length])
    numbers = sum(array.nbytes for one in _record().columns.values() for array in (one.rows, *one.numbers))
    assert head["format"] == codec.FORMAT
    assert len(data) == 40 + length + numbers


def test_another_program_made_it() -> None:
    """A record of another version of the program is not used."""
    with pytest.raises(codec.DamagedError):
        codec.decode(codec.encode(_record(), "us"), "them")


@pytest.mark.parametrize("length", [0, 1, 31, 32, 40, 100, 1000, -1])
def test_torn_entry(length: int) -> None:
    """An entry that is not whole is no record."""
    with pytest.raises(codec.DamagedError):
        codec.decode(codec.encode(_record(), "us")[:length], "us")


@given(st.integers(0, 10**6), st.integers(0, 7))
def test_flipped_bit(place: int, bit: int) -> None:
    """An entry in which one bit is another is no record."""
    data = bytearray(codec.encode(_record(), "us"))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(codec.DamagedError):
        codec.decode(bytes(data), "us")


@given(st.binary(max_size=200))
def test_foreign_bytes(data: bytes) -> None:
    """Bytes of another origin are no record."""
    with pytest.raises(codec.DamagedError):
        codec.decode(data, "us")


def _forged(change: Callable[[dict[str, Any]], Any], body: bytes | None = None) -> bytes:
    """Return an entry with a right digest and another head, as an attacker would write it."""
    data = codec.encode(_record(), "us")
    length = int.from_bytes(data[32:40], "little")
    head = json.loads(data[40 : 40 + length])
    changed = change(head)
    text = json.dumps(head if changed is None else changed).encode()
    rest = len(text).to_bytes(8, "little") + text + (data[40 + length :] if body is None else body)
    return codec._digest(rest) + rest


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no object": lambda _: [],
    "deep": lambda head: head.update(columns=json.loads("[" * 900 + "]" * 900)),
    "unknown statistic": lambda head: head["columns"][0].__setitem__(0, ["Popen", "rm"]),
    "no name": lambda head: head["columns"][0].__setitem__(0, []),
    "name of no text": lambda head: head["columns"][0].__setitem__(0, [{}, 1]),
    "field too many": lambda head: head["columns"][0][0].append(1),
    "text as limit": lambda head: head["columns"][0][0].__setitem__(1, "1"),
    "axes of text": lambda head: head["columns"][2][0].__setitem__(1, ["0"]),
    "axes as text": lambda head: head["columns"][2][0].__setitem__(1, "0"),
    "negative rows": lambda head: head["columns"][0].__setitem__(1, -1),
    "endless rows": lambda head: head["columns"][0].__setitem__(1, 1 << 60),
    "rows of text": lambda head: head["columns"][0].__setitem__(1, "2"),
    "true rows": lambda head: head["columns"][0].__setitem__(1, True),
    "endless elements": lambda head: head["columns"][2].__setitem__(2, 1 << 62),
    "elements of text": lambda head: head["columns"][2].__setitem__(2, None),
    "no stamps": lambda head: head.update(stamps=5),
    "short stamp": lambda head: head.update(stamps=[[1, 2]]),
    "stamp of text": lambda head: head.update(stamps=[["1", 2, 3, 4, 5]]),
    "no layout": lambda head: head.update(layout=5),
    "short layout": lambda head: head.update(layout="00"),
    "missing key": lambda head: head.pop("layout") and None,
    "many columns": lambda head: head.update(columns=head["columns"] * 100),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_head(change: Callable[[dict[str, Any]], Any]) -> None:
    """A head that lies is refused, whatever it lies about."""
    with pytest.raises(codec.DamagedError):
        codec.decode(_forged(change), "us")


def test_forging_helper_changes_nothing_by_itself() -> None:
    """The entries of the test above are refused for what they lie about."""
    assert list(codec.decode(_forged(lambda _: None), "us").columns) == list(RESULTS)


def test_endless_head() -> None:
    """A head that claims to be longer than the entry is refused."""
    rest = (1 << 63).to_bytes(8, "little") + b"{}"
    with pytest.raises(codec.DamagedError):
        codec.decode(codec._digest(rest) + rest, "us")


def test_descending_rows() -> None:
    """Tensors that are listed twice, or out of order, are refused."""
    body = np.array([1, 1], "<i8").tobytes() + np.zeros(4, "<i8").tobytes()
    with pytest.raises(codec.DamagedError):
        codec.decode(_forged(lambda head: head.update(columns=[[["Zeros"], 2, 2]]), body), "us")


def test_sizes_that_do_not_add_up() -> None:
    """Arrays whose sizes are negative, or overflow when they are added up, are refused."""
    columns = [[["AxisNorm", None, 2], 2, 1]]
    for sizes in ([-1, 2], [2**62, 2**62], [5, 5]):
        body = np.array([0, 1, *sizes], "<i8").tobytes() + np.zeros(1).tobytes()
        with pytest.raises(codec.DamagedError):
            codec.decode(_forged(lambda head: head.update(columns=columns), body), "us")


@pytest.mark.parametrize(
    ("what", "rows"),
    [
        (Zeros(), {3: 1}),
        (Zeros(), {-1: 1}),
        (AxisNorm((0,), 2), {0: np.zeros(2)}),
        (AxisNorm((5,), 2), {0: np.zeros(2)}),
    ],
    ids=["tensor too many", "tensor -1", "wrong size", "no such axis"],
)
def test_columns_that_do_not_fit_the_model(what: Statistic[Any], rows: dict[int, Any]) -> None:
    """Results for tensors that the model does not have, or of another size, are refused."""
    with pytest.raises(ValueError, match="tensor"):
        results(what, column(what, rows), SHAPES)
