"""Pages of a comparison and of a repair, in a browser."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.html.pages import commands_of, data_of, measured, view
from weightaudit.checkpoint import open_checkpoint
from weightaudit.comparison import compare_checkpoints
from weightaudit.html.comparing import comparison_page
from weightaudit.html.mending import repair_page
from weightaudit.projections import load_projections
from weightaudit.repair.library import repair_model
from weightaudit.repair.requests import requests_of_options

if TYPE_CHECKING:
    from tests.html.chromium import Chromium
    from weightaudit.comparison.result import Comparison
    from weightaudit.repair.run import Repaired

_NAMES = "[...document.querySelectorAll('.data tr.row .open')].map(one => one.textContent)"


@pytest.fixture(scope="module")
def mended(pages: Path, fixtures_dir: Path) -> Repaired:
    """A model of which the kernel of one layer was bounded, as a copy."""
    shutil.copy(fixtures_dir / "healthy.keras", pages / "model.keras")
    requests = requests_of_options(["max_norm(0.4, axis=(0, 1, 2))"], ["stem/kernel"], load_projections())
    return repair_model(pages / "model.keras", requests=requests, output=pages / "mended.keras", max_change=1)


@pytest.fixture(scope="module")
def compared(pages: Path, mended: Repaired) -> Comparison:
    """The model beside its mended copy."""
    with open_checkpoint(pages / "model.keras") as one, open_checkpoint(Path(mended.written)) as other:
        return compare_checkpoints(one, other, labels=("a<b>.keras", "mended.keras"))


def _opened(browser: Chromium, page: Path, text: str) -> Any:
    page.write_text(text, "utf-8")
    browser.open(page)
    browser.run("document.querySelectorAll('.data tr.row .open').forEach(one => one.click())")
    assert browser.complaints == []
    return browser.run("document.body.innerText")


@pytest.mark.parametrize("width", [1280, 360])
def test_a_comparison_shows_what_changed_first(
    browser: Chromium, pages: Path, compared: Comparison, width: int
) -> None:
    """The tensor that changed is the first row, all others are there, and names are text."""
    browser.size(width, 800, mobile=width < 500)
    text = _opened(browser, pages / "diff.html", comparison_page(compared))
    names = browser.run(_NAMES)
    assert names[0] == "stem/kernel"
    assert len(names) == len(compared.tensors)
    assert "Different" in text
    assert "a<b>.keras" in text
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_a_comparison_can_be_filtered_by_status(browser: Chromium, pages: Path, compared: Comparison) -> None:
    """Only what changed is left of the table where that is asked for."""
    _opened(browser, pages / "diff.html", comparison_page(compared))
    browser.run("TABLES[0].chosen[0].choose('changed'); TABLES[0].again()")
    assert browser.run(_NAMES) == ["stem/kernel"]


@pytest.mark.parametrize("width", [1280, 360])
def test_a_repair_shows_before_and_after(
    browser: Chromium, pages: Path, mended: Repaired, width: int
) -> None:
    """Norms before and after stand side by side, and without histograms the ranges are drawn."""
    browser.size(width, 800, mobile=width < 500)
    text = _opened(browser, pages / "repair.html", repair_page(mended, view().names))
    (change,) = mended.plan.changes
    assert "Repaired" in text
    assert f"{change.before.l2:.3g} → {change.after.l2:.3g}" in text
    assert browser.run("document.querySelectorAll('.panel .chart rect.before').length") == 1
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_measured_histograms_of_both_sides_are_drawn(
    browser: Chromium, pages: Path, mended: Repaired
) -> None:
    """Where both audits measured them, the histogram after lies over the one before."""
    before, after = (measured(pages / name).models[0] for name in ("model.keras", "mended.keras"))
    full = replace(mended, plan=replace(mended.plan, before=before), after=after)
    _opened(browser, pages / "repair.html", repair_page(full, view().names))
    assert browser.run("document.querySelectorAll('.panel .chart path.before').length") == 2
    assert browser.run("document.querySelectorAll('.panel .chart path.plus').length") == 1


def test_pages_of_changes_are_the_same_every_time(compared: Comparison, mended: Repaired) -> None:
    """No clock and no chance is in them."""
    assert comparison_page(compared) == comparison_page(compared)
    assert repair_page(mended, view().names) == repair_page(mended, view().names)


@pytest.mark.parametrize(("path", "is_told"), [("a <b>.keras", True), ("a\\b.keras", False)])
def test_a_command_that_would_name_another_file_is_left_out(
    mended: Repaired, path: str, *, is_told: bool
) -> None:
    """The command that undoes a repair is there to be copied, but not where the page cannot show its path."""
    before = replace(mended.plan.before, path=path)
    done = replace(mended, plan=replace(mended.plan, before=before), written=path, original="m@1")
    told = commands_of(repair_page(done, view().names))
    assert [one.startswith("weightaudit versions restore") for one in told] == [True] * is_told


def test_a_plan_without_findings_has_no_column_for_rules(
    browser: Chromium, pages: Path, mended: Repaired
) -> None:
    """Where tensors change because a user said so, no column says what for; where one has a rule, it does."""
    titles = "[...document.querySelectorAll('.data thead th')].map(one => one.textContent)"
    _opened(browser, pages / "plan.html", repair_page(mended, view().names))
    assert "For" not in browser.run(titles)
    changes = tuple(replace(one, rules=("WA201",)) for one in mended.plan.changes)
    found = replace(mended, plan=replace(mended.plan, changes=changes))
    assert "WA201" in _opened(browser, pages / "plan.html", repair_page(found, view().names))
    assert "For" in browser.run(titles)


def test_a_comparison_writes_shapes_as_an_audit_does(compared: Comparison) -> None:
    """Dimensions have a multiplication sign between them, and a scalar is called so."""
    shapes = {row["name"]: row["shape"] for row in data_of(comparison_page(compared))["tensors"]}
    assert shapes["stem/kernel"] == "\N{MULTIPLICATION SIGN}".join("3314")
    assert "scalar" in shapes.values()


def test_pages_of_changes_have_room_for_the_largest(
    browser: Chromium, pages: Path, compared: Comparison, mended: Repaired, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a number of rows, the least changes are left out; page and command both say so."""
    monkeypatch.setattr("weightaudit.html.listing.ROWS", 1)
    (change,) = mended.plan.changes
    changes = (change, replace(change, tensor="less", relative=change.relative / 2))
    said: list[str] = []
    both = (
        (comparison_page(compared, said.append), len(compared.tensors)),
        (repair_page(replace(mended, plan=replace(mended.plan, changes=changes)), {}, said.append), 2),
    )
    for text, tensors in both:
        assert f"{tensors - 1} of {tensors} tensors" in _opened(browser, pages / "cut.html", text)
        assert browser.run(_NAMES) == ["stem/kernel"]
    assert said == [
        f"the page lists 1 of {tensors} tensors, the largest changes; json has all" for _, tensors in both
    ]
