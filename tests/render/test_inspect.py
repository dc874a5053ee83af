"""Views of an inspection: histograms of characters, axes, quantiles, and tables that fit any terminal."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tests.render.conftest import HOSTILE
from weightaudit.inspection.choosing import Order, ordered
from weightaudit.inspection.layers import totals, tree
from weightaudit.inspection.looking import Inspection, Sight
from weightaudit.inspection.picture import common_axis, count_below, own_axis, quantiles
from weightaudit.inspection.studying import Peers, Study
from weightaudit.portrait import Detail, portrait
from weightaudit.render.inspect_bars import bars, meter, spark
from weightaudit.render.inspect_depth import facts
from weightaudit.render.inspect_json import inspection_json, schema
from weightaudit.render.inspect_study import print_studies, studies_text
from weightaudit.render.inspect_table import print_table
from weightaudit.render.inspect_text import table_text, tree_text
from weightaudit.render.inspect_tree import print_tree
from weightaudit.render.inspect_words import number, percent
from weightaudit.rule import Finding, Severity
from weightaudit.statistics import MagnitudeCounts, Magnitudes
from weightaudit.tensor import Evidence, Role, TensorInfo
from weightaudit.testing import measure, tensor_info

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WIDTHS = (20, 24, 40, 60, 80, 120, 200)
ROOM_FOR_FIGURES = 40
"""Columns in which a table shows more than names and scales."""


def sight(values: NDArray[Any], name: str = "encoder/dense/kernel", **differences: Any) -> Sight:
    """Measure an array as `inspect` does."""
    info = tensor_info(values, name=name, layer=name.rpartition("/")[0], **differences)
    stats = measure(values, Detail.PICTURES.statistics(info), info)
    return Sight(info, stats, portrait(info, stats))


def counts_of(values: NDArray[Any]) -> MagnitudeCounts:
    """Return the histogram of an array."""
    return measure(values, [Magnitudes()])[Magnitudes()]


def drawn(show: Callable[[Console], None], width: int, encoding: str = "utf-8") -> list[str]:
    """Return the lines that a terminal of a width shows, without colours."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    console = Console(file=stream, width=width, force_terminal=True, color_system=None, highlight=False)
    show(console)
    stream.seek(0)
    return stream.read().splitlines()


@pytest.fixture
def seen() -> Inspection:
    """A model with a sick kernel, a sparse one, a slot, a string and a tensor that could not be read."""
    rng = np.random.default_rng(1)
    sick = rng.normal(0, 0.05, (20, 6)).astype(np.float32)
    sick[3, 4], sick[:, 2] = nan, 0
    sparse = np.where(rng.random((5, 7)) < 0.5, 0, rng.normal(size=(5, 7))).astype(np.float32)
    slot = rng.normal(0, 1e-5, (20, 6)).astype(np.float16)
    lost = TensorInfo(name="head/bias", key="b", shape=(3,), dtype="float32", role=Role.BIAS, layer="head")
    label = TensorInfo(name="label", key="label", shape=(), dtype="string")
    sights = (
        sight(sick),
        sight(sparse, "head/kernel", evidence=Evidence.GUESS),
        sight(slot, "optimizer/encoder/dense/kernel/momentum", role=Role.OPTIMIZER_SLOT),
        Sight(lost, failure="The file ends before it."),
        Sight(label),
    )
    return Inspection("model.keras", "Keras archive", sights, 9, ("A note.",), ("x: It is torn.",))


@given(st.lists(st.integers(0, 10**12), max_size=40), st.booleans())
def test_sparks_rise_with_their_numbers(heights: list[int], plain: bool) -> None:  # noqa: FBT001 - hypothesis
    """One character for each number, no darker for a smaller one, and only nothing is blank."""
    line = spark(heights, plain=plain)
    marks = " .:-=+*#@" if plain else " ▁▂▃▄▅▆▇█"
    found = [marks.index(mark) for mark in line]
    assert len(found) == len(heights)
    assert [height == 0 for height in heights] == [level == 0 for level in found]
    for one, level in zip(heights, found, strict=True):
        assert all(level <= other for height, other in zip(heights, found, strict=True) if one <= height)


def test_pictures_have_bars_in_proportion() -> None:
    """Of three numbers, the largest fills its column, half of it half a column, and nothing none."""
    assert bars([4, 2, 0], 2, plain=False) == ["█  ", "██ "]
    assert bars([16, 1, 0], 2, plain=False) == ["█  ", "█▁ "]
    assert bars([4, 2, 0], 2, plain=True) == ["#  ", "## "]
    assert bars([0, 0], 1, plain=False) == ["  "]


def test_meters_show_a_little_as_well() -> None:
    """A share that is not zero is seen, and never more than the whole."""
    assert [meter(share, 4, plain=False) for share in (0, 1e-9, 0.5, 1)] == ["", "▏", "██", "████"]
    assert [meter(share, 4, plain=True) for share in (0, 1e-9, 0.5, 1)] == ["", "#", "##", "####"]


def test_percentages_do_not_round_to_all_or_nothing() -> None:
    """A share that is nearly 0 or 1 is not told as 0% or 100%."""
    shares = (0.0, 1e-9, 0.123, 0.99999, 1.0, nan)
    assert [percent(share) for share in shares] == ["0%", "<0.1%", "12.3%", ">99.9%", "100%", "-"]


@given(st.integers(0, 2**32 - 1), st.integers(1, 64))
def test_no_number_is_lost_in_the_columns_of_a_picture(seed: int, columns: int) -> None:
    """The columns of either sign hold as many numbers as there are, and the largest is within the axis."""
    values = np.random.default_rng(seed).standard_cauchy(200).astype(np.float32)
    counts = counts_of(values)
    axis = own_axis(counts, columns)
    assert axis is not None
    assert sum(axis.fold(counts, counts.positive)) == (values > 0).sum()
    assert sum(axis.fold(counts, counts.negative)) == (values < 0).sum()
    assert axis.start < np.abs(values).max() < axis.end


def test_one_strange_tensor_does_not_squeeze_the_others() -> None:
    """Beside forty tensors of one scale, a tensor of tiny numbers is drawn in the first column."""
    usual = counts_of(np.random.default_rng(2).normal(size=500).astype(np.float32))
    tiny = counts_of(np.full(9, 1e-37, np.float32))
    axis = common_axis([usual] * 40 + [tiny], 16)
    assert axis == common_axis([usual] * 41, 16)
    assert axis is not None
    assert axis.fold(tiny, tiny.positive)[0] == 9


def test_nothing_but_zeros_has_no_axis() -> None:
    """Without numbers other than zero there is nothing to draw."""
    zeros = counts_of(np.zeros(3, np.float32))
    assert own_axis(zeros, 9) is None
    assert common_axis([zeros, zeros], 9) is None


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 1.0]))
def test_quantiles_are_as_near_as_they_promise(seed: int, zeros: float) -> None:
    """No quantile of a histogram is further than 19 % from one of the numbers' own quantiles."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.3, 2, 300).astype(np.float32)
    values[rng.random(300) < zeros] = 0
    ascending = np.sort(values)
    shares = (0.01, 0.25, 0.5, 0.75, 0.99)
    for share, found in zip(shares, quantiles(counts_of(values), shares), strict=True):
        place = round(share * 300)
        below, above = float(ascending[max(0, place - 2)]), float(ascending[min(299, place + 1)])
        assert below - 0.19 * abs(below) - 1e-9 <= found <= above + 0.19 * abs(above) + 1e-9


def test_numbers_below_a_power_of_two_are_counted_exactly() -> None:
    """What a narrower type would lose is a count, not an estimate."""
    values = np.array([2.0**-14, -(2.0**-15), 2.0**-30, 0, 1], np.float32)
    assert [count_below(counts_of(values), power) for power in (-30, -29, -14, -13, 9)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal(seen: Inspection, width: int) -> None:
    """No row of figures is cut or wrapped, however narrow the terminal; only a name alone may be longer."""
    lines = drawn(lambda console: print_table(seen, console), width)
    names = {one.info.name for one in seen.sights}
    for line in lines:
        assert cell_len(line) <= width or line in names or "not read" in line, line
    assert {"encoder/dense/kernel", "head/kernel"} <= {word for line in lines for word in line.split()}
    if width >= ROOM_FOR_FIGURES:
        assert any("1 NaN" in line for line in lines)


def test_a_wide_table_has_everything(seen: Inspection) -> None:
    """A row has role, shape, type, scale, extremes, zeros and a histogram; guesses are marked."""
    lines = drawn(lambda console: print_table(seen, console), 200)
    head = lines[1].split()
    assert head[:7] == ["role", "shape", "dtype", "rms", "min", "max", "zeros"]
    row = next(line for line in lines if line.startswith("head/kernel"))
    assert "kernel?" in row
    assert "5x7" in row
    assert "%" in row
    assert set(row) & set("▁▂▃▄▅▆▇█")
    assert any("head/bias  not read: The file ends before it." in line for line in lines)
    assert any(line.strip().startswith("5 of 9 tensors") for line in lines)
    assert any("damaged: x: It is torn." in line for line in lines)


@pytest.mark.parametrize("show", [print_table, print_tree])
def test_ascii_terminals_get_ascii(seen: Inspection, show: Callable[[Inspection, Console], None]) -> None:
    """Where the encoding has no blocks, pictures are of ASCII, so that nothing fails or is replaced."""
    lines = drawn(lambda console: show(seen, console), 120, "ascii")
    assert any("#" in line or "@" in line for line in lines)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_harmless_in_every_view(name: str) -> None:
    """No view of a model lets a name act on the terminal, break a line, or be taken for markup."""
    one = sight(np.ones((3, 2), np.float32), name)
    study = Study(one, None, (), (Finding("WA101", Severity.ERROR, name, name),))
    seen = Inspection(name, name, (one,), 1, (name,), (name,))
    views = [
        "\n".join(drawn(lambda console: print_table(seen, console), 80)),
        "\n".join(drawn(lambda console: print_tree(seen, console), 80)),
        "\n".join(drawn(lambda console: print_studies(seen, [study], console, {}), 80)),
        table_text(seen),
        tree_text(seen),
        studies_text(seen, [study], {}),
        inspection_json(seen, [study]),
    ]
    for view in views:
        assert not set(view) & {"\x1b", "\x07", "\r", "\u202e", "\u2028", "\x85", "\u200b", "\udc80"}
        assert "##" not in view
    assert table_text(seen).count("\n") == 4


def test_a_tree_adds_up(seen: Inspection) -> None:
    """Layers hold the numbers of the layers inside them, and what training alone needs is apart."""
    root = tree(seen.sights)
    found = {"/".join(path): node.sum.numbers for path, node in root.walk()}
    assert found == {
        "encoder": 120,
        "encoder/dense": 120,
        "head": 38,
        "(beside the layers)": 0,
        "(optimizer_slot)": 120,
    }
    assert root.sum.numbers == 158
    assert root.children["encoder"].sum.nonfinite == 1
    values = seen.sights[1].portrait
    assert values is not None
    assert root.children["head"].sum.rms == pytest.approx(values.rms)
    sums = totals(seen.sights)
    assert (sums.all.numbers, sums.weights.numbers, sums.all.failures) == (278, 158, 1)
    assert [role for role, _ in sums.by_role] == ["kernel", "bias", "unknown", "optimizer_slot"]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_tree_fits_the_terminal(seen: Inspection, width: int) -> None:
    """Layers, their numbers and shares are shown however narrow the terminal is."""
    lines = drawn(lambda console: print_tree(seen, console), width)
    text = "\n".join(lines)
    assert all(word in text for word in ("encoder", "  dense", "(optimizer_slot)", "120", "1 NaN or Inf"))
    assert ("24.1%" in text) is (width >= 60)
    assert all(cell_len(line) <= width for line in lines)


def test_a_very_deep_tree_takes_little_room() -> None:
    """Of a path that is nested absurdly deep, the rest is one layer, and its line begins in view."""
    seen = Inspection("m", "c", [sight(np.ones(2, np.float32), f"{'a/' * 100_000}kernel")], 1)
    paths = [path for path, _ in tree(seen.sights).walk()]
    assert [len(path) for path in paths] == list(range(1, 33))
    assert "/".join(paths[-1]) == seen.sights[0].info.layer
    lines = drawn(lambda console: print_tree(seen, console), 40)
    assert max(len(line) - len(line.lstrip()) for line in lines if " a" in line) == 20


def test_a_layer_named_like_a_role_is_not_hidden() -> None:
    """What belongs to training has a node of its own, also if a layer has its name."""
    slot = sight(np.ones(3, np.float32), "optimizer/x/kernel/momentum", role=Role.OPTIMIZER_SLOT)
    root = tree([sight(np.ones(2, np.float32), "(optimizer_slot)/kernel"), slot])
    assert [(path, node.is_layer, node.sum.numbers) for path, node in root.walk()] == [
        (("(optimizer_slot)",), True, 2),
        (("(optimizer_slot)",), False, 3),
    ]


def test_orders_put_what_has_no_figure_last(seen: Inspection) -> None:
    """Sorting by a figure starts with the largest, by name with the first."""
    names = {order: [one.info.name for one in ordered(seen.sights, order)] for order in Order}
    assert names[Order.NAME] == sorted(names[Order.NAME])
    assert names[Order.RMS][:2] == ["head/kernel", "encoder/dense/kernel"]
    assert names[Order.MAX][0] == names[Order.SPARSITY][0] == "head/kernel"
    assert set(names[Order.RMS][3:]) == {"head/bias", "label"}
    assert names[Order.SIZE][0] == "encoder/dense/kernel"


def test_facts_tell_what_is_strange(seen: Inspection) -> None:
    """In depth, the place of the first NaN, zero channels, quantiles and the place among peers are told."""
    told = {one.title: one.text for one in facts(Study(seen.sights[0], Peers((0.5, 1.0, 2.0), 3), (), ()))}
    assert told["not finite"] == "1 NaN, the first at (3, 4)"
    assert told["zero"] == "1 of 6: 2"
    assert told["quantiles"].startswith("1% -0.")
    assert "is the smallest of 4 of kind Dense kernel (others 0.5 to 2)" in told["peers"]
    assert told["shape"] == "20x6 float32, 120 numbers, 480 bytes"


def test_facts_claim_no_more_than_was_measured(seen: Inspection) -> None:
    """Norms say that NaN is left out, places in packed weights are no indices, strings are no numbers."""
    sick, label = seen.sights[0], seen.sights[-1]
    packed = replace(sick, info=replace(sick.info, shape=(20, 3)))
    told, of_packed, of_label = (
        {one.title: one.text for one in facts(Study(one, None, (), ()))} for one in (sick, packed, label)
    )
    assert told["channels"].startswith("6 outputs (axis 1), norms without NaN and Inf 0 to ")
    assert of_packed["not finite"] == "1 NaN, the first at place 22"
    assert of_label["shape"] == "scalar string, 1 value, no numbers"


def test_facts_tell_what_narrow_types_lose() -> None:
    """Numbers that float16 would flush, blur or overflow are told, and a type that loses none is silent."""
    values = np.array([1e-9, 1e-9, 1e-6, 1e5] + [1] * 6, np.float32)
    told = {one.title: one.text for one in facts(Study(sight(values, role=Role.BIAS), None, (), ()))}
    assert (
        told["as float16"] == "20.0% become 0, 10.0% below 6.1e-05 lose digits, the largest are beyond 65504"
    )
    assert "as bfloat16" not in told


def test_json_follows_its_schema(seen: Inspection) -> None:
    """What every view tells is in the document, with and without depth, and its schema describes it."""
    import jsonschema

    studies = [Study(one, None, (), ()) for one in seen.sights]
    for text in (inspection_json(seen, layers=True), inspection_json(seen, studies)):
        document = json.loads(text)
        jsonschema.validate(document, schema())
        assert [one["name"] for one in document["tensors"]] == [one.info.name for one in seen.sights]
    first = json.loads(inspection_json(seen, studies))["tensors"][0]
    assert sum(first["histogram"]["positive"]) + sum(first["histogram"]["negative"]) == 99
    assert first["statistics"]["nan"] == 1
    assert first["channels"][2] == 0


def test_one_long_name_costs_a_tree_no_figures() -> None:
    """A layer whose name fills the terminal has its figures on the next line, and the others keep theirs."""
    kernel = np.ones((2, 2), np.float32)
    seen = Inspection("m", "c", [sight(kernel, f"{name}/kernel") for name in ("short", "long_" * 30)], 2)
    lines = drawn(lambda console: print_tree(seen, console), 80)
    rows = [line for line in lines if line.rstrip().endswith(" 1") and "50.0%" in line]
    assert len(rows) == 2
    assert any(line.startswith("short ") for line in rows)
    assert any(line.startswith("long_long_") and "%" not in line for line in lines)


@pytest.mark.parametrize(
    ("value", "digits", "wanted"),
    [
        (0.012345, 3, "0.0123"),
        (999.4, 3, "999"),
        (999.6, 3, "1,000"),
        (-4346.2, 3, "-4,346"),
        (-2914.0, 2, "-2,914"),
        (840.0, 2, "840"),
        (999_999.0, 3, "999,999"),
        (5.02e6, 3, "5.02e+06"),
        (1.2e-7, 3, "1.2e-07"),
        (nan, 3, "-"),
        (float("-inf"), 3, "-inf"),
    ],
)
def test_thousands_are_written_out(value: float, digits: int, wanted: str) -> None:
    """Up to a million a person reads a number at a glance; beyond, and near zero, as a power of ten."""
    assert number(value, digits) == wanted
