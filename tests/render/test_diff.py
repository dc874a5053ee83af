"""Comparisons shown: worst first, every name harmless, the same bytes for the same models."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO
from math import inf, nan
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from tests.render.conftest import HOSTILE
from weightaudit.comparison import Comparison, Difference, Match, Status, TensorComparison
from weightaudit.render.diff_json import render_diff_json, schema
from weightaudit.render.diff_terminal import MANY, print_diff
from weightaudit.render.diff_text import render_diff_text
from weightaudit.tensor import Quantization, Role, TensorInfo

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def info(name: str, dtype: str = "float32", shape: tuple[int, ...] = (4, 3), **more: Any) -> TensorInfo:
    """Return a kernel."""
    return TensorInfo(name=name, key=f"key/{name}", shape=shape, dtype=dtype, role=Role.KERNEL, **more)


def moved(**changes: Any) -> Difference:
    """Return a small difference, with some of it changed."""
    small = Difference(
        size=12, elements=5, relative=0.25, largest=1.5, place=(1, 2), before=0.5, after=-1.0,
        sign_flips=1, zeros_before=0, zeros_after=3, nonfinite_before=0, nonfinite_after=0,
        nonfinite_new=0, nonfinite_gone=0, nonfinite_other=0, cosine=0.9, norm_before=6.0, norm_after=6.5,
    )  # fmt: skip
    return replace(small, **changes)


def one(status: Status, name: str = "a/kernel", **more: Any) -> TensorComparison:
    """Return a tensor of that status that has the same name in both models."""
    first = None if status is Status.ADDED else info(name)
    second = None if status is Status.REMOVED else info(name)
    match = Match.NAME if first and second else None
    return replace(TensorComparison(status, first, second, match), **more)


@pytest.fixture
def comparison() -> Comparison:
    """A comparison with everything that one can say."""
    tensors = (
        one(Status.EQUAL, "e/kernel"),
        one(Status.CHANGED, "small/kernel", difference=moved()),
        one(Status.CHANGED, "large/kernel", difference=moved(relative=inf, cosine=nan)),
        one(Status.CHANGED, "nan/kernel", difference=moved(relative=0.0, nonfinite_new=1, nonfinite_after=1)),
        one(Status.CHANGED, "near/kernel", difference=moved(relative=1e-9), within=True),
        one(Status.CHANGED, "label", difference=None),
        replace(
            one(Status.RETYPED, "t/kernel", difference=moved(elements=0, relative=0.0)),
            second=info("t/kernel", "int8", quantization=Quantization("int8", "scale")),
        ),
        replace(one(Status.RESHAPED, "r/kernel"), second=info("r/kernel", shape=(4, 5))),
        one(Status.REMOVED, "gone/kernel"),
        replace(one(Status.RENAMED, "old/kernel", match=Match.CONTENT), second=info("new/kernel")),
        replace(one(Status.EQUAL, "net/p/kernel", match=Match.PATH), second=info("p/kernel")),
        one(Status.UNREAD, "u/kernel", reason="b.keras: model.weights.h5 is damaged."),
        one(Status.ADDED, "come/kernel"),
    )
    return Comparison(
        "a.keras", "b", ("Keras archive", "SavedModel"), tensors, tolerance=1e-6,
        failures=("b: a shard is missing.",), notes=("a.keras: A stale shard lies beside it.",),
    )  # fmt: skip


def refuse(constant: str) -> None:
    """Fail on NaN and Infinity, which Python reads and JSON does not have."""
    raise AssertionError(constant)


def parsed(comparison: Comparison) -> dict[str, Any]:
    """Render a comparison, read it as strict JSON, and check it against the shipped schema."""
    document: dict[str, Any] = json.loads(render_diff_json(comparison), parse_constant=refuse)
    jsonschema.Draft202012Validator(schema()).validate(document)
    return document


def terminal(comparison: Comparison, *, width: int = 100, **options: Any) -> str:
    """Return what a colour terminal of that width receives."""
    file = StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system="truecolor", highlight=False)
    print_diff(comparison, console, **options)
    return file.getvalue()


def test_text_has_the_worst_first(comparison: Comparison) -> None:
    """One line per tensor that is not equal, from what could not be read down to the harmless."""
    lines = render_diff_text(comparison).splitlines()
    assert [line.split(": ")[1] for line in lines[:11]] == [
        "u/kernel",
        "nan/kernel",
        "large/kernel",
        "small/kernel",
        "t/kernel",
        "label",
        "r/kernel",
        "gone/kernel",
        "come/kernel",
        "near/kernel",
        "old/kernel -> new/kernel",
    ]
    assert lines[0] == "unread: u/kernel: b.keras: model.weights.h5 is damaged."
    assert lines[3] == (
        "changed: small/kernel: relative=0.25 largest=1.5 at=1,2 values=0.5->-1 elements=5/12 "
        "sign_flips=1 sparsity=0.0000->0.2500 cosine=0.9"
    )
    assert lines[4].startswith("retyped: t/kernel: float32 -> quantized int8 lossless relative=0")
    assert lines[5] == "changed: label: 4x3 float32"
    assert lines[6] == "reshaped: r/kernel: 4x3 -> 4x5"
    assert lines[9].endswith(" within-tolerance")
    assert "paired-by=content" in lines[10]


def test_text_ends_with_what_holds_for_all(comparison: Comparison) -> None:
    """Failures, how tensors were paired, remarks and the verdict close the text."""
    *remarks, verdict = render_diff_text(comparison).splitlines()[11:]
    assert remarks == [
        "not compared: b: a shard is missing.",
        "info: paired 9 by name, 1 by path, 1 by content",
        "info: a.keras: A stale shard lies beside it.",
    ]
    assert verdict == (
        "verdict: incomplete (exit 3): 1 unread, 1 removed, 1 added, 1 reshaped, 1 retyped, 5 changed, "
        "1 renamed, 2 equal; 1 within the tolerance of 1e-06"
    )


def test_equal_tensors_are_listed_on_request(comparison: Comparison) -> None:
    """--verbose adds those that are equal, with both names and how they were paired."""
    lines = render_diff_text(comparison, verbose=True).splitlines()
    assert "equal: net/p/kernel -> p/kernel: 4x3 float32 paired-by=path" in lines
    assert "equal: e/kernel: 4x3 float32 paired-by=name" in lines


def test_quiet_keeps_what_is_missing(comparison: Comparison) -> None:
    """--quiet leaves the verdict, and what could not be read."""
    lines = render_diff_text(comparison, quiet=True).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["unread", "not compared", "verdict"]


@pytest.mark.parametrize(
    ("tensors", "code", "words"),
    [
        ((), 3, "there is nothing to compare"),
        ((one(Status.EQUAL), one(Status.RENAMED)), 0, "equal (exit 0): 1 renamed, 1 equal"),
        ((one(Status.CHANGED, difference=moved(), within=True),), 0, "1 within the tolerance"),
        ((one(Status.CHANGED, difference=moved()),), 1, "different (exit 1): 1 changed"),
        ((one(Status.ADDED),), 1, "different (exit 1): 1 added"),
        ((one(Status.ADDED), one(Status.UNREAD)), 3, "incomplete (exit 3)"),
    ],
)
def test_the_verdict(tensors: tuple[TensorComparison, ...], code: int, words: str) -> None:
    """What is equal, renamed or within the tolerance is no difference; what is unread outweighs all."""
    found = Comparison("a", "b", ("x", "y"), tensors)
    assert found.exit_code == code
    assert words in render_diff_text(found)
    assert words.partition(" (")[0] in terminal(found)


def test_the_schema_is_one() -> None:
    """The shipped schema is itself valid under draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schema())


def test_json_says_everything(comparison: Comparison) -> None:
    """Every tensor is in the document, in the order of the models, with figures that JSON has."""
    document = parsed(comparison)
    assert (document["exit_code"], document["verdict"]) == (3, "incomplete")
    assert document["summary"]["changed"] == 5
    certain = {"name": 9, "place": 0, "path": 1, "layer": 0, "content": 1}
    assert document["pairs"] == {**certain, "order": 0, "likeness": 0}
    assert document["first"] == {"path": "a.keras", "container": "Keras archive"}
    tensors = {found["name"]: found for found in document["tensors"]}
    assert list(tensors) == [found.name for found in comparison.tensors]
    assert tensors["large/kernel"]["difference"]["relative"] == "Infinity"
    assert tensors["large/kernel"]["difference"]["cosine"] == "NaN"
    assert tensors["t/kernel"]["lossless"] is True
    assert tensors["t/kernel"]["second"]["quantization"] == "int8"
    assert (tensors["come/kernel"]["first"], tensors["come/kernel"]["paired_by"]) == (None, None)
    assert tensors["u/kernel"]["reason"] == "b.keras: model.weights.h5 is damaged."
    assert tensors["near/kernel"]["within_tolerance"] is True


def test_the_same_comparison_gives_the_same_bytes(comparison: Comparison) -> None:
    """Neither text nor JSON depends on anything but the comparison; text not even on the order of ties."""
    back = replace(comparison, tensors=tuple(reversed(comparison.tensors)))
    assert render_diff_text(back) == render_diff_text(comparison)
    assert render_diff_json(comparison) == render_diff_json(replace(comparison))


def hostile() -> Comparison:
    """Return a comparison in which every name and reason attacks whoever shows it."""
    tensors = [
        replace(one(status, text, reason=text), second=None if status is Status.REMOVED else info(text[::-1]))
        for text in HOSTILE
        for status in (Status.UNREAD, Status.RENAMED, Status.REMOVED)
    ]
    changed = [
        replace(one(Status.CHANGED, text, difference=moved()), first=info(text, dtype=text))
        for text in HOSTILE
    ]
    return Comparison(
        HOSTILE[0],
        HOSTILE[1],
        (HOSTILE[2], HOSTILE[3]),
        (*tensors, *changed),
        failures=HOSTILE,
        notes=HOSTILE,
    )


def test_hostile_names_are_harmless() -> None:
    """No name writes a line, a control, a CI command or markup of its own, in any output."""
    text = render_diff_text(hostile(), verbose=True)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert not any(line.startswith("::") or "##" in line for line in text.splitlines())
    shown = COLOUR.sub("", terminal(hostile(), verbose=True, width=200))
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "[bold red]markup[/]" in shown
    document = render_diff_json(hostile())
    assert document.isascii()
    assert "##" not in document
    assert parsed(hostile())["tensors"][0]["name"] == HOSTILE[0]


def test_a_terminal_shows_a_table(comparison: Comparison) -> None:
    """Changes are rows with their figures, other tensors are listed under their status."""
    lines = [COLOUR.sub("", line).rstrip() for line in terminal(comparison).splitlines()]
    assert lines[0] == "- a.keras  Keras archive"
    assert lines[2].split() == ["changed", "relative", "largest", "elements", "signs", "zeros", "cosine"]
    row = next(line for line in lines if line.startswith("small/kernel"))
    assert row.split() == ["small/kernel", "0.25", "1.5", "41.7%", "1", "0", "->", "3", "0.900000"]
    assert any(line.startswith("t/kernel float32 -> quantized int8, lossless") for line in lines)
    assert "removed  1" in lines
    assert "  gone/kernel: 4x3 float32 kernel" in lines
    assert lines[-2].startswith("incomplete (exit 3)")


@pytest.mark.parametrize("width", [20, 40, 80, 300])
def test_a_terminal_of_any_width(comparison: Comparison, width: int) -> None:
    """Long names fold, and nothing is wider than the terminal or lost."""
    long = replace(comparison, tensors=(one(Status.REMOVED, "layer/" * 30), *comparison.tensors))
    lines = COLOUR.sub("", terminal(long, width=width)).splitlines()
    assert max(map(len, lines)) <= width
    assert "layer/" * 30 in re.sub(r"\n\s*", "", "\n".join(lines))


def test_a_terminal_shows_long_lists_on_request() -> None:
    """Beyond twenty tensors of a status the rest is counted, until --verbose shows all."""
    many = [one(Status.REMOVED, f"{n}/kernel") for n in range(MANY + 7)]
    changed = [one(Status.CHANGED, f"c{n}/kernel", difference=moved()) for n in range(MANY + 3)]
    comparison = Comparison("a", "b", ("x", "y"), (*many, *changed))
    text = COLOUR.sub("", terminal(comparison))
    assert text.count("/kernel") == 2 * MANY
    assert "and 7 more; --verbose shows all" in text
    assert "and 3 more; --verbose shows all" in text
    assert COLOUR.sub("", terminal(comparison, verbose=True)).count("/kernel") == len(comparison.tensors)
