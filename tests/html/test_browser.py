"""Pages in a real browser: what loads, what can be done with mouse and keyboard, and what must not happen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from tests.html.pages import HOSTILE, audited, measured, view
from weightaudit import audit
from weightaudit.html.audit import audit_page
from weightaudit.portrait import Detail
from weightaudit.report import Report
from weightaudit.tensor import Evidence, Role

if TYPE_CHECKING:
    from pathlib import Path

    from tests.html.chromium import Chromium

_NAMES = "[...document.querySelectorAll('.data tr.row .open')].map(one => one.textContent)"
_HITS = "document.querySelector('.hits').textContent"


def _set(browser: Chromium, selector: str, value: str) -> None:
    """Give a field a value as a person does: with the events that follow."""
    script = f"""(() => {{
        const field = document.querySelector({json.dumps(selector)});
        field.value = {json.dumps(value)};
        field.dispatchEvent(new Event("input", {{bubbles: true}}));
        field.dispatchEvent(new Event("change", {{bubbles: true}}));
    }})()"""
    browser.run(script)


def _click(browser: Chromium, selector: str) -> None:
    browser.run(f"document.querySelector({json.dumps(selector)}).click()")


@pytest.mark.parametrize("name", ["broken", "healthy", "several", "hostile"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_a_page_loads_without_a_complaint(
    browser: Chromium, request: pytest.FixtureRequest, name: str, scheme: str, width: int
) -> None:
    """No error, no refused content, no request; and nothing is wider than a phone."""
    page: Path = request.getfixturevalue(name)
    browser.size(width, 800, mobile=width < 500)
    browser.prefer(scheme)
    browser.open(page)
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    browser.run("document.querySelectorAll('.data tr.row .open').forEach(one => one.click())")
    assert browser.complaints == []
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_what_is_refused_is_a_complaint(browser: Chromium, healthy: Path, tmp_path: Path) -> None:
    """The policy in the head stops a script, a handler, a style and an image, and the tests would see it."""
    stranger = '<img src=x.png onerror="alert(1)"><p style="color:red">x</p><script>alert(2)</script>'
    page = tmp_path / "stranger.html"
    page.write_text(healthy.read_text("utf-8").replace("</main>", f"{stranger}</main>"), "utf-8")
    browser.open(page)
    refused = [one for one in browser.complaints if "Content Security Policy" in one]
    assert len(refused) >= 3
    assert not [one for one in browser.complaints if one.startswith("dialog")]


def test_hostile_names_are_only_ever_text(browser: Chromium, hostile: Path) -> None:
    """Names that look like markup or scripts are shown letter by letter, in the list and in the table."""
    browser.open(hostile)
    browser.run("document.querySelectorAll('.data tr.row .open').forEach(one => one.click())")
    assert browser.complaints == []
    assert browser.run("document.querySelectorAll('script').length") == 2
    made = "document.querySelectorAll('main img, #slipped, main [onload], main [onerror]').length"
    assert browser.run(made) == 0
    shown: list[str] = browser.run(_NAMES)
    assert len(shown) == len(HOSTILE)
    assert any("<img src=x onerror=alert(1)>" in name for name in shown)
    text: str = browser.run("document.body.innerText")
    assert "{{ 7 * 7 }}" in text
    assert "\u202e" not in text
    assert "\u2028" not in text
    assert "\\u202etxt.exe\\u200b" in text


def test_search_narrows_the_table(browser: Chromium, overflowing: Path) -> None:
    """Every word has to be in the name, class, role or type; and how many there are is told."""
    browser.open(overflowing)
    everything = browser.run(_NAMES)
    _set(browser, "input[type=search]", "STEM kernel")
    found = browser.run(_NAMES)
    assert 0 < len(found) < len(everything)
    assert all("stem" in name and "kernel" in name for name in found)
    assert browser.run(_HITS).startswith(f"{len(found)} of {len(everything)}")
    _set(browser, "input[type=search]", "nothing of the kind")
    assert browser.run(_NAMES) == []
    assert browser.run(_HITS).startswith("0 of")


def test_filters_narrow_the_table(browser: Chromium, overflowing: Path) -> None:
    """Role, layer, rule and findings each leave what they say, and together what all of them say."""
    browser.open(overflowing)
    data: dict[str, Any] = browser.run("DATA.models[0]")
    _set(browser, "select[aria-label=Rule]", "WA210")
    accused = {place for place, code, *_ in data["findings"] if code == "WA210"}
    assert len(browser.run(_NAMES)) == len(accused)
    _set(browser, "select[aria-label=Role]", "kernel")
    assert browser.run(_NAMES) == []
    _set(browser, "select[aria-label=Rule]", "")
    found = browser.run(_NAMES)
    assert found
    assert all(name.endswith("kernel") for name in found)
    _set(browser, "select[aria-label=Role]", "")
    _set(browser, "select[aria-label=Layer]", "stem")
    assert all("stem" in name for name in browser.run(_NAMES))
    _set(browser, "select[aria-label=Layer]", "")
    _click(browser, ".tools input[type=checkbox]")
    assert len(browser.run(_NAMES)) == len({place for place, *_ in data["findings"] if place >= 0})


def test_columns_sort_both_ways(browser: Chromium, healthy: Path) -> None:
    """A click sorts, a second one turns it round, and the heading says so; what has no value stays last."""
    browser.open(healthy)
    heading = "document.querySelectorAll('.data thead th')[0]"
    browser.run(f"{heading}.querySelector('button').click()")
    assert browser.run(f"{heading}.getAttribute('aria-sort')") == "ascending"
    up = browser.run(_NAMES)
    browser.run(f"{heading}.querySelector('button').click()")
    assert browser.run(f"{heading}.getAttribute('aria-sort')") == "descending"
    assert browser.run(_NAMES) == up[::-1]
    browser.run("TABLES[0].sort(5)")
    sizes: list[int] = browser.run("TABLES[0].matching().map(row => row.size)")
    assert sizes == sorted(sizes, reverse=True)


def test_a_row_opens_by_keyboard(browser: Chromium, broken: Path) -> None:
    """Enter on a name opens its details, says that they are open, keeps the focus, and closes them again."""
    browser.open(broken)
    browser.run("document.querySelector('.data .open').focus()")
    browser.press("Enter")
    state = "document.activeElement.getAttribute('aria-expanded')"
    assert browser.run(state) == "true"
    assert browser.run("document.querySelectorAll('.detail .panel').length") == 1
    browser.press("Enter")
    assert browser.run(state) == "false"
    assert browser.run("document.querySelectorAll('.detail').length") == 0


def test_the_first_tab_leads_past_the_head(browser: Chromium, broken: Path) -> None:
    """The first stop of the Tab key is a visible link to the verdict, and every stop has a visible mark."""
    browser.open(broken)
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    assert browser.run("document.activeElement.getBoundingClientRect().top") >= 0
    for _ in range(12):
        browser.press("Tab")
        outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", browser.run("document.activeElement.outerHTML")


def test_the_map_is_walked_by_keyboard(browser: Chromium, healthy: Path) -> None:
    """Arrow keys, Home and End move along the layers and tell each; Enter opens the layer's first tensor."""
    browser.open(healthy)
    browser.run("document.querySelector('.plot').focus()")
    browser.press("End")
    last = browser.run("DATA.models[0].columns.length")
    assert browser.run("document.activeElement.getAttribute('aria-valuenow')") == str(last)
    browser.press("Home")
    browser.press("ArrowRight")
    assert browser.run("document.activeElement.getAttribute('aria-valuenow')") == "2"
    label = browser.run("DATA.models[0].columns[1][0]")
    assert label in browser.run("document.querySelector('.readout').textContent")
    browser.press("Enter")
    assert browser.run("document.querySelectorAll('.detail').length") == 1


def test_a_finding_leads_to_its_tensor(browser: Chromium, broken: Path) -> None:
    """The link of a finding opens the tensor, even while a search hides it, and twice in a row."""
    browser.open(broken)
    _set(browser, "input[type=search]", "nothing of the kind")
    link = "document.querySelector('.findings a[data-tensor]')"
    name: str = browser.run(f"{link}.textContent")
    for _ in range(2):
        browser.run(f"{link}.click()")
        browser.run("new Promise(done => setTimeout(() => done(0), 50))")
        assert browser.run("document.activeElement.textContent") == name
        assert browser.run("document.activeElement.getAttribute('aria-expanded')") == "true"
        browser.run("document.activeElement.click()")


def test_the_theme_can_be_chosen(browser: Chromium, healthy: Path) -> None:
    """The switch wins over what the system prefers, and automatic gives it back."""
    browser.open(healthy)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(ground)
    _click(browser, "#theme")
    assert browser.run("document.documentElement.dataset.theme") == "light"
    browser.prefer("dark")
    assert browser.run(ground) == light
    _click(browser, "#theme")
    dark = browser.run(ground)
    assert dark != light
    browser.prefer("light")
    assert browser.run(ground) == dark
    _click(browser, "#theme")
    assert browser.run(ground) == light


def test_a_page_prints(browser: Chromium, broken: Path) -> None:
    """Printing gives a PDF, in light colours and without what only a screen can use."""
    browser.open(broken)
    assert browser.pdf().startswith(b"%PDF-")
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.run("getComputedStyle(document.querySelector('.tools')).display") == "none"
        assert browser.run("getComputedStyle(document.documentElement).colorScheme") == "light"
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_every_field_and_picture_has_a_name(browser: Chromium, broken: Path) -> None:
    """The browser's own accessibility tree has a name for each control, picture and heading."""
    browser.open(broken)
    browser.run("document.querySelector('.data .open').click()")
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    controls = {"button", "link", "combobox", "searchbox", "checkbox", "slider", "progressbar"}
    wanted = controls | {"image", "img", "heading"}
    nameless = [
        one["role"]["value"]
        for one in nodes
        if not one["ignored"] and one["role"]["value"] in wanted and not one.get("name", {}).get("value")
    ]
    assert nameless == []
    assert {one["role"]["value"] for one in nodes} >= {"main", "navigation", "table", "slider", "heading"}


def test_without_scripts_all_but_the_table_is_there(browser: Chromium, broken: Path) -> None:
    """Verdict, picture and findings are in the page itself; the place of the table says what is missing."""
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.load("about:blank")
        browser.load(broken.resolve().as_uri())
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    text: str = browser.run("document.body.innerText")
    assert "Failed" in text
    assert "WA101" in text
    assert "needs JavaScript" in text
    assert browser.run("document.querySelectorAll('.plot path[d]').length") > 4


def test_a_tensor_tells_how_it_differs_from_the_reference(
    browser: Chromium, pages: Path, fixtures_dir: Path
) -> None:
    """In an audit with a reference, the details of a tensor say what became of it."""
    page = pages / "moved.html"
    reference = fixtures_dir / "healthy.keras"
    report = audit(fixtures_dir / "overflow.keras", detail=Detail.PICTURES, reference=reference)
    page.write_text(audit_page(report, view()), "utf-8")
    browser.open(page)
    browser.run("document.querySelectorAll('.data tr.row .open').forEach(one => one.click())")
    text: str = browser.run("document.querySelector('.data').innerText")
    assert "Since the reference" in text
    assert "changed, by" in text
    assert browser.complaints == []


@pytest.mark.parametrize("width", [360, 900, 1081, 1280])
def test_letters_of_pictures_can_be_read(browser: Chromium, overflowing: Path, width: int) -> None:
    """Pictures of a tensor are drawn for the window that there is: their letters do not shrink with it."""
    browser.size(width, 800, mobile=width < 500)
    browser.open(overflowing)
    browser.run("document.querySelectorAll('.data tr.row .open').forEach(one => one.click())")
    heights: list[float] = browser.run(
        "[...document.querySelectorAll('.panel .chart text')].map(one => one.getBoundingClientRect().height)"
    )
    assert len(heights) > 20
    assert min(heights) > 10


def test_what_has_no_finite_number_has_no_norm(browser: Chromium, pages: Path, tmp_path: Path) -> None:
    """Of a tensor of NaN alone the details say how many there are, and no mean, range or norm."""
    path = tmp_path / "nan.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.full((4, 4), np.nan, np.float32)
    browser.open(audited(pages / "all_nan.html", path))
    browser.run("document.querySelector('.data .open').click()")
    titles: list[str] = browser.run("[...document.querySelectorAll('.facts dt')].map(one => one.textContent)")
    assert "Not finite" in titles
    assert not {"RMS", "Norm", "Range"} & set(titles)


def test_a_role_that_is_not_known_is_said_once(browser: Chromium, pages: Path, fixtures_dir: Path) -> None:
    """Unknown is unknown, and not known by anything."""
    (model,) = measured(fixtures_dir / "nan.keras").models
    bare = [replace(info, role=Role.UNKNOWN, evidence=Evidence.UNKNOWN) for info in model.tensors]
    (pages / "bare.html").write_text(audit_page(Report([replace(model, tensors=bare)]), view()), "utf-8")
    browser.open(pages / "bare.html")
    browser.run("document.querySelectorAll('.data .open').forEach(one => one.click())")
    text: str = browser.run("document.querySelector('.facts').textContent")
    assert "unknown" in text
    assert "known by unknown" not in text


def test_parts_of_several_models_have_names_of_their_own(browser: Chromium, several: Path) -> None:
    """Who hears the page can tell the maps and tables of two models apart."""
    browser.open(several)
    browser.call("Accessibility.enable")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    for role in ("slider", "table", "group"):
        names = [one["name"]["value"] for one in nodes if not one["ignored"] and one["role"]["value"] == role]
        own = [name for name in names if name.endswith(".keras")]
        assert len(own) == len(set(own)) == 2, (role, names)
