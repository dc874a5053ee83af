"""Pages of very much: many models, many skipped tensors, names without an end; and what is on paper."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.html.pages import data_of, measured, view
from weightaudit.html.audit import audit_page
from weightaudit.report import LeftOut, Report, Skipped
from weightaudit.rule import Finding, Severity

if TYPE_CHECKING:
    from pathlib import Path

    from tests.html.chromium import Chromium
    from weightaudit.report import ModelReport

_LONG = "x" * 10_000
_OVERFLOWING = """[...document.querySelectorAll('body *')].filter(one => !one.closest('.scroll')
    && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def model(fixtures_dir: Path) -> ModelReport:
    """A model with a finding."""
    return measured(fixtures_dir / "nan.keras").models[0]


def _opened(browser: Chromium, page: Path, report: Report, fragment: str = "") -> None:
    page.write_text(audit_page(report, view()), "utf-8")
    browser.open(page, fragment)
    assert browser.complaints == []


@pytest.mark.parametrize("width", [1280, 360])
def test_names_without_an_end_are_broken(
    browser: Chromium, pages: Path, model: ModelReport, width: int
) -> None:
    """Ten thousand characters in every name and sentence, and no part of the page leaves the window."""
    names = {info.name: _LONG + info.name for info in model.tensors}
    tensors = [replace(info, name=names[info.name], layer=_LONG, layer_class=_LONG) for info in model.tensors]
    findings = [Finding("WA101", Severity.ERROR, tensors[0].name, _LONG)]
    long = replace(
        model,
        path=_LONG,
        container=_LONG,
        tensors=tensors,
        findings=findings,
        notes=[_LONG],
        skipped=[Skipped(tensors[1].name, _LONG)],
        stats={names[name]: each for name, each in model.stats.items()},
    )
    browser.size(width, 800, mobile=width < 500)
    _opened(browser, pages / "long.html", Report([long], left_out=[LeftOut(_LONG, _LONG)], policy=_LONG))
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    browser.run("document.querySelectorAll('.data tr.row .open').forEach(one => one.click())")
    assert browser.run(_OVERFLOWING) == []
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_tables_of_many_models_are_made_when_they_come_near(
    browser: Chromium, pages: Path, model: ModelReport
) -> None:
    """Of forty models few have a table at first; a link to a tensor of the last makes its own, once."""
    page = pages / "forty.html"
    _opened(browser, page, Report([replace(model, path=f"{number}.keras") for number in range(40)]))
    made = "document.querySelectorAll('[data-table] table').length"
    assert 0 < browser.run(made) < 30
    browser.run("location.hash = '#m39-t2'")
    browser.run("new Promise(done => setTimeout(() => done(0), 300))")
    name = "document.activeElement.textContent"
    assert browser.run(name) == model.tensors[2].name
    assert browser.run("document.activeElement.closest('.model').id") == "m39"
    assert browser.run("TABLES.filter(one => one.id === 'm39').length") == 1
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run(made) == 40
    assert browser.complaints == []


def test_what_was_skipped_is_told_once_for_each_reason(
    browser: Chromium, pages: Path, model: ModelReport
) -> None:
    """One reason for all tensors stands there once, and the table marks each and has it before the others."""
    skipped = [Skipped(info.name, "shard 2 is missing") for info in model.tensors[:-1]]
    report = Report([replace(model, findings=(), skipped=skipped)])
    assert audit_page(report, view()).count("shard 2 is missing</p>") == 1
    _opened(browser, pages / "skipped.html", report)
    marks: list[str] = browser.run(
        "[...document.querySelectorAll('.data tr.row')].map(row => row.cells[1].textContent.trim())"
    )
    assert marks == ["skipped"] * len(skipped) + [""]
    assert data_of(audit_page(report, view()))["models"][0]["skipped"] == {
        str(place): "shard 2 is missing" for place in range(len(skipped))
    }


def test_files_that_were_left_out_are_named(model: ModelReport) -> None:
    """The page says which files were not taken for models, and why, also where there was no model."""
    left = [LeftOut("models/a<b>.tflite", "a TensorFlow Lite model")]
    for models in ([model], []):
        page = audit_page(Report(models, left_out=left), view())
        assert "1 file left out" in page
        assert "models/a&lt;b&gt;.tflite" in page
        assert "a TensorFlow Lite model" in page


def test_paper_has_what_is_folded_up(browser: Chromium, pages: Path, model: ModelReport) -> None:
    """A group of findings that is folded up on the screen is whole in print."""
    _opened(browser, pages / "folded.html", Report([model]))
    browser.run("document.querySelector('.group').open = false")
    height = "document.querySelector('.group .body').getBoundingClientRect().height"
    assert browser.run("document.querySelector('.group .body').checkVisibility()") is False
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.run(height) > 50
        assert browser.run("document.querySelector('.group .body').checkVisibility()") is True
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_a_finding_about_a_tensor_that_is_not_listed_is_no_link(model: ModelReport) -> None:
    """What is not in the table has its name all the same, and leads nowhere."""
    finding = Finding("WA101", Severity.ERROR, "gone/kernel", "It is gone.")
    page = audit_page(Report([replace(model, findings=[finding])]), view())
    assert '<span class="name">gone/kernel</span>' in page
    assert "tNone" not in page


def test_parts_that_are_missing_have_no_link(model: ModelReport) -> None:
    """A model that could not be opened has neither map nor table, and the head leads to neither."""
    failed = replace(model, tensors=(), stats={}, findings=(), failure="It is not a model.")
    page = audit_page(Report([failed]), view())
    assert 'href="#m0-map"' not in page
    assert 'href="#m0-tensors"' not in page


def test_a_table_has_room_for_the_worst_and_the_largest(
    browser: Chromium, pages: Path, model: ModelReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a number of rows, the page has the sick and the largest tensors, and both are told."""
    sick, idle = model.findings[0].tensor, model.tensors[-1].name
    report = Report([replace(model, skipped=[Skipped(idle, "It is away.")])])
    monkeypatch.setattr("weightaudit.html.audit.ROWS", 3)
    said: list[str] = []
    page = pages / "cut.html"
    page.write_text(audit_page(report, replace(view(), tell=said.append)), "utf-8")
    count = len(model.tensors)
    assert said == [f"the page lists 3 of {count} tensors, the worst and the largest; csv and json have all"]
    assert f"The table has 3 of {count} tensors" in page.read_text("utf-8")
    browser.open(page)
    names = browser.run("[...document.querySelectorAll('.data tr.row .open')].map(one => one.textContent)")
    healthy = [info for info in model.tensors if info.name not in (sick, idle)]
    assert names == [sick, idle, max(healthy, key=lambda info: info.size).name]
    # The other two belong to the optimizer, and are not in the picture.
    assert browser.run("DATA.models[0].columns.flatMap(one => one[2])") == [0]
    browser.run("document.querySelector('.finding a').click()")
    assert (
        browser.run("document.querySelector('tr.detail').previousSibling.querySelector('.open').textContent")
        == sick
    )
    assert browser.complaints == []


def test_every_tensor_has_a_row_where_there_is_room(model: ModelReport) -> None:
    """An ordinary model is whole in its page, and nothing is said."""
    said: list[str] = []
    page = audit_page(Report([model]), replace(view(), tell=said.append))
    assert said == []
    assert len(data_of(page)["models"][0]["tensors"]) == len(model.tensors)
    assert "The table has" not in page


def test_paper_has_nothing_that_asks_to_be_pressed(
    browser: Chromium, pages: Path, model: ModelReport
) -> None:
    """In print there are no arrows to sort by, no signs to unfold, and no box that stays shut."""
    _opened(browser, pages / "paper.html", Report([model]))
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        drawn = "getComputedStyle(document.querySelector('{}'), '::after').content"
        assert browser.run(drawn.format(".data thead button")) == "none"
        assert browser.run(drawn.format(".group > summary")) == "none"
        assert browser.run("document.querySelector('.box').checkVisibility()") is False
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
