"""How a page is laid out and read out: where lines break, what covers what, and what a screen reader says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.html.pages import audited, commands_of, data_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.html.chromium import Chromium


@pytest.mark.parametrize("width", [1280, 360])
def test_commands_are_broken_between_words_only(browser: Chromium, broken: Path, width: int) -> None:
    """No option of a suggested command stands on two lines, and what is copied is the command."""
    browser.size(width, 800, mobile=width < 500)
    browser.open(broken)
    (command,) = commands_of(broken.read_text("utf-8"))
    assert browser.run("document.querySelector('.command code').textContent") == command
    lines = browser.run(_LINES)
    words = command.split(" ")
    assert sorted(lines) == sorted(set(words))
    options = ("--select", "WA101", "--donor", "GOOD_MODEL", "--dry-run")
    assert [lines[word] for word in options] == [1] * len(options)


_LINES = """(() => {
    const found = {};
    const walker = document.createTreeWalker(document.querySelector(".command code"), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode;
        for (const word of node.data.matchAll(/\\S+/g)) {
            const range = document.createRange();
            range.setStart(node, word.index);
            range.setEnd(node, word.index + word[0].length);
            found[word[0]] = range.getClientRects().length;
        }
    }
    return found;
})()"""
"""On how many lines each word of the first command stands."""


def test_a_screen_reader_is_told_names_as_they_are(browser: Chromium, healthy: Path) -> None:
    """Tensors have their names without gaps, and headings and groups no arrows and signs."""
    browser.open(healthy)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    told: dict[str, list[str]] = {}
    for node in nodes:
        if not node["ignored"]:
            told.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    names = [row[0] for row in data_of(healthy.read_text("utf-8"))["models"][0]["tensors"]]
    assert told["rowheader"] == names
    assert told["columnheader"][:2] == ["Name", "Findings"]
    assert not any(sign in name for sign in "↕↑↓" for name in (*told["button"], *told["columnheader"]))


def test_underscores_of_names_are_seen_above_the_line_of_a_link(browser: Chromium, several: Path) -> None:
    """The line under the name of a model or tensor is drawn below where an underscore ends."""
    browser.open(several)
    below = """(() => {
        const style = getComputedStyle(document.querySelector("a.name"));
        const pen = document.createElement("canvas").getContext("2d");
        pen.font = style.font;
        return parseFloat(style.textUnderlineOffset) - pen.measureText("_").actualBoundingBoxDescent;
    })()"""
    assert browser.run(below) >= 0


@pytest.mark.parametrize("width", [320, 360, 600, 821, 900, 990, 1081, 1100, 1210, 1400, 1600])
@pytest.mark.parametrize("name", ["overflowing", "several"])
def test_tables_fit_windows_of_any_width(
    browser: Chromium, request: pytest.FixtureRequest, name: str, width: int
) -> None:
    """From a phone to a large screen, no table scrolls sideways: of models, layers or tensors."""
    browser.size(width, 800, mobile=width < 500)
    browser.open(request.getfixturevalue(name))
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    browser.run("document.querySelector('.data .open').click()")
    wider: list[int] = browser.run(
        "[...document.querySelectorAll('.scroll')].map(one => one.scrollWidth - one.clientWidth)"
    )
    assert len(wider) >= 2
    assert max(wider) <= 0


def test_a_narrow_window_has_a_field_for_the_order(browser: Chromium, healthy: Path) -> None:
    """Where headings have no room, a field sorts as they do, both ways; where they have, there is none."""
    browser.open(healthy)
    is_shown = "document.querySelector('.sorting').checkVisibility()"
    assert not browser.run(is_shown)
    browser.size(900, 800)
    assert browser.run(is_shown)
    assert not browser.run("document.querySelector('.data thead').checkVisibility()")
    for way, sign in (("up", 1), ("down", -1)):
        browser.run(
            "(field => { field.value = [...field.options].find(one => one.value.startsWith('5 ')"
            f" && one.value.endsWith('{way}')).value; field.dispatchEvent(new Event('change')); }})"
            "(document.querySelector('.sorting'))"
        )
        sizes: list[int] = browser.run("TABLES[0].matching().map(row => row.size)")
        assert sizes == sorted(sizes, reverse=sign < 0)
    browser.run("TABLES[0].sort(5)")
    assert browser.run("document.querySelector('.sorting').value") == "5 up"


def test_names_that_differ_in_a_space_look_different(browser: Chromium, pages: Path) -> None:
    """Spaces of a name are shown as they are, and a short name keeps its line beside a long one."""
    path = pages / "spaces.weights.h5"
    with h5py.File(path, "w") as file:
        for name in ("a_long_name_" * 20, "b c", "b  c"):
            file[f"layers/{name}/vars/0"] = np.eye(4, dtype=np.float32)
    browser.open(audited(pages / "spaces.html", path))
    assert (
        browser.run("new Set([...document.querySelectorAll('.data .open')].map(one => one.innerText)).size")
        == 3
    )
    heights = "[...document.querySelectorAll('.ends > span')].map(one => one.getClientRects()[0].height)"
    short, long = sorted(browser.run(heights))
    assert short < long


def test_a_sign_stays_with_its_code(browser: Chromium, broken: Path) -> None:
    """However narrow the column of findings is, a code does not go to the next line without its sign."""
    browser.open(broken)
    browser.run(
        "[...document.querySelectorAll('.data tbody td:nth-child(2)')].forEach(one => one.replaceChildren("
        "findingMarks({ findings: ['error', 'note'].map(severity => ({ severity, code: 'WA101' })) })))"
    )
    lines: list[int] = browser.run(
        "[...document.querySelectorAll('.mark-of')].map(one => one.getClientRects().length)"
    )
    assert len(lines) > 2
    assert set(lines) == {1}


def test_names_do_not_move_what_stands_beside_them(browser: Chromium, healthy: Path) -> None:
    """A name that is written from right to left leaves the numbers around it where they are."""
    browser.open(healthy)
    gap = """(name => {
        const line = document.querySelector(".readout");
        line.replaceChildren(el("b", {}, name), el("i", {}, "7"));
        return line.lastChild.getBoundingClientRect().left - line.firstChild.getBoundingClientRect().right;
    })"""
    for name in ("kernel", "\u05e9\u05db\u05d1\u05d4"):
        assert abs(browser.run(f"{gap}({json.dumps(name)})")) < 1


@pytest.mark.parametrize("width", [1280, 360])
def test_no_line_goes_through_the_words_of_a_histogram(browser: Chromium, broken: Path, width: int) -> None:
    """What is above and below zero is said beside the line at which float16 has only zero."""
    browser.size(width, 800, mobile=width < 500)
    browser.open(broken)
    browser.run("document.querySelector('.data .open').click()")
    struck = """[...document.querySelectorAll(".panel .chart text")]
        .filter(one => /^(above|below) zero$/.test(one.textContent))
        .map(one => [...one.parentNode.querySelectorAll("line.limit")].filter(line => {
            const [box, x] = [one.getBBox(), line.x1.baseVal.value];
            return box.x < x && x < box.x + box.width;
        }).length)"""
    assert browser.run(struck) == [0, 0]
