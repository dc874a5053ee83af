"""Pages as text: one file, the same every time, with nothing in it that loads or runs but our own."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from tests.html.pages import HOSTILE, audited, commands_of, measured, view
from weightaudit.html.audit import audit_page
from weightaudit.report import LeftOut, Report, Skipped, Suppressed
from weightaudit.rule import Finding, Severity

if TYPE_CHECKING:
    from pathlib import Path

_LOADS = {"link", "iframe", "object", "embed", "base", "form", "img", "audio", "video", "source"}


class _Elements(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", ["broken", "several", "hostile"])
def test_a_page_loads_nothing_and_handles_nothing_inline(name: str, request: pytest.FixtureRequest) -> None:
    """There is no element that loads, no style or handler in an attribute, and no address but of the page."""
    page: Path = request.getfixturevalue(name)
    for tag, attributes in _Elements(page.read_text("utf-8")).elements:
        assert tag not in _LOADS
        assert not [each for each in attributes if each.startswith("on") or each in {"style", "src"}]
        assert (attributes.get("href") or "#").startswith("#")


def test_no_field_of_a_report_is_markup(fixtures_dir: Path) -> None:
    """Paths, containers, classes, messages, notes and reasons reach the page as text, half characters too."""
    evil = "|".join((*HOSTILE, "\ud800", "\x00", "</style><style>*{display:none}", "-->", "]]>"))
    (model,) = measured(fixtures_dir / "nan.keras").models
    plain = _Elements(audit_page(Report([model]), view())).elements
    finding = Finding("WA101", Severity.ERROR, model.tensors[0].name, evil)
    tensors = [replace(info, layer=evil, layer_class=evil) for info in model.tensors]
    bad = replace(
        model,
        path=evil,
        container=evil,
        tensors=tensors,
        findings=[finding, Finding("WA101", Severity.ERROR, evil, evil)],
        notes=[evil],
        failure=evil,
        skipped=[Skipped(evil, evil)],
        suppressed=[Suppressed(finding, evil, evil)],
    )
    report = Report([bad], policy=evil, policy_findings=[finding], left_out=[LeftOut(evil, evil)])
    text = audit_page(report, view())
    text.encode("utf-8")
    found = _Elements(text).elements
    assert {tag for tag, _ in found} <= {tag for tag, _ in plain} | {"details", "summary"}
    assert not [name for _, given in found for name in given if name.startswith("on")]
    assert not [given for _, given in found if given.get("id") == "slipped"]
    assert [tag for tag, _ in found if tag in {"script", "style"}] == ["style", "script", "script"]


def test_the_policy_names_the_hashes_of_our_own_script_and_style(broken: Path) -> None:
    """What the policy lets run is exactly what is in the page, byte for byte."""
    text = broken.read_text("utf-8")
    for pattern in (r"<style>(.*?)</style>", r"<script>(.*?)</script>"):
        (content,) = re.findall(pattern, text, re.DOTALL)
        digest = b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"&#39;sha256-{digest}&#39;" in text
    assert "default-src &#39;none&#39;" in text
    assert "unsafe" not in text


def test_the_data_cannot_end_its_element(hostile: Path) -> None:
    """The block of JSON has no character that could start markup, and is JSON all the same."""
    (data,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', hostile.read_text("utf-8")
    )
    assert not set(data) & set("<>&\u2028\u2029")
    assert any("</script><script>" in row[0] for row in json.loads(data)["models"][0]["tensors"])


def test_the_same_report_gives_the_same_bytes(broken: Path, fixtures_dir: Path, tmp_path: Path) -> None:
    """No clock and no chance is in a page."""
    assert audited(tmp_path / "again.html", fixtures_dir / "nan.keras").read_bytes() == broken.read_bytes()


def test_a_finding_comes_with_its_reason_and_the_command(broken: Path) -> None:
    """Of a rule, the page has why it matters, how to mend, and a command that can be copied."""
    text = broken.read_text("utf-8")
    assert "Why it matters" in text
    assert "Go back to the last checkpoint without NaN" in text
    (command,) = commands_of(text)
    assert command.endswith(" --select WA101 --donor GOOD_MODEL --dry-run")


def test_suppressed_findings_stand_apart_with_their_reason(fixtures_dir: Path) -> None:
    """What is suppressed is told, with who decided it and why, and is not among the findings that count."""
    (model,) = measured(fixtures_dir / "healthy.keras").models
    finding = Finding("WA203", Severity.WARNING, model.tensors[0].name, "It is rather large.")
    known = Suppressed(finding, "it is <meant>", "weightaudit.toml: suppressions[0]")
    report = Report([replace(model, suppressed=(known,))])
    text = audit_page(report, view())
    assert "1 suppressed: they do not count" in text
    assert "it is &lt;meant&gt;" in text
    assert "suppressions[0]" in text
    assert json.loads(_data(text))["models"][0]["findings"] == []


def test_findings_of_the_policy_itself_are_shown(fixtures_dir: Path) -> None:
    """What is wrong with the policy belongs to the verdict, whatever the models are like."""
    (model,) = measured(fixtures_dir / "healthy.keras").models
    finding = Finding("WA903", Severity.ERROR, None, "A suppression expired.")
    text = audit_page(Report([model], policy="weightaudit.toml", policy_findings=(finding,)), view())
    assert "The policy itself" in text
    assert "A suppression expired." in text


def test_a_report_without_models_says_so() -> None:
    """Nothing to audit is a page, too, with the verdict that fits."""
    text = audit_page(Report(()), view())
    assert "There was no model to audit." in text
    assert "Incomplete" in text


def test_pictures_beyond_the_room_are_left_out_and_counted(
    fixtures_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A very large report stays small: accused tensors keep theirs, and the page counts the rest."""
    monkeypatch.setattr("weightaudit.html.tables.PICTURES", 700)
    report = measured(fixtures_dir / "nan.keras")
    text = audit_page(report, view())
    model = json.loads(_data(text))["models"][0]
    accused = {place for place, *_ in model["findings"] if place >= 0}
    assert set(map(int, model["pictures"])) >= accused
    assert model["missing"] > 0
    assert f"{model['missing']} of them have no histogram" in text


def _data(text: str) -> str:
    found: list[str] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return found[0]
