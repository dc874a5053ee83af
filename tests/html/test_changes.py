"""Pages of a comparison and of a repair, in a browser."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.html.pages import measured, view
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
    assert ("weightaudit versions restore" in repair_page(done, view().names)) is is_told
