"""Reports written from Python."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import weightaudit
from weightaudit.render.formats import ReportFormat

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def report(fixtures_dir: Path) -> weightaudit.Report:
    """Return the audit of a broken model, with all that formats can show."""
    return weightaudit.audit(fixtures_dir / "nan.keras", detail=weightaudit.Detail.PICTURES)


@pytest.mark.parametrize("output_format", list(ReportFormat))
def test_every_format_can_be_written(
    tmp_path: Path, report: weightaudit.Report, output_format: ReportFormat
) -> None:
    """Each format's own suffix leads to it, and what is written names the tensor that is broken."""
    weightaudit.write_report(report, tmp_path / f"audit.{output_format}")
    weightaudit.write_report(report, tmp_path / "audit", output_format)
    written = (tmp_path / f"audit.{output_format}").read_text()
    assert written == (tmp_path / "audit").read_text()
    assert "hidden" in written
    assert written.endswith("\n")


def test_the_report_is_that_of_the_command_line(tmp_path: Path, report: weightaudit.Report) -> None:
    """The verdict in the file is the report's, and an old file is replaced."""
    place = tmp_path / "audit.json"
    place.write_text("old")
    weightaudit.write_report(report, place)
    assert json.loads(place.read_text())["exit_code"] == report.exit_code == 1


@pytest.mark.parametrize(("name", "words"), [(None, "tells no format"), ("htm", "did you mean 'html'")])
def test_an_unknown_format_is_refused(
    tmp_path: Path, report: weightaudit.Report, name: str | None, words: str
) -> None:
    """A suffix or a name that means nothing is one sentence, and no file is made."""
    with pytest.raises(weightaudit.UsageError, match=words):
        weightaudit.write_report(report, tmp_path / "audit.what", name)
    assert not [*tmp_path.iterdir()]
