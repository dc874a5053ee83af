"""The formats of a report. Each is a module of this package, imported only where it is asked for.

Such a module has a function ``render(report, view)`` that returns the whole text, which ends with
a line end. A new format is such a module, and a line here.
"""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

from weightaudit.portrait import Detail

if TYPE_CHECKING:
    from collections.abc import Callable

    from weightaudit.render.view import View
    from weightaudit.report import Report


class ReportFormat(StrEnum):
    """A format of the report of an audit; its value is its name on the command line and its module's."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    SARIF = "sarif"
    JUNIT = "junit"
    GITHUB = "github"
    GITLAB = "gitlab"
    MARKDOWN = "markdown"
    CSV = "csv"
    HTML = "html"

    @property
    def detail(self) -> Detail:
        """What has to be measured of every tensor for it, whatever the rules need."""
        return _DETAILS.get(self, Detail.VERDICT)


_DETAILS: dict[ReportFormat, Detail] = {ReportFormat.CSV: Detail.FIGURES, ReportFormat.HTML: Detail.PICTURES}


def render(report: Report, output_format: ReportFormat, view: View) -> str:
    """Return a report in a format, as a text that ends with a line end."""
    module = import_module(f"weightaudit.render.{output_format}")
    write: Callable[[Report, View], str] = module.render
    return write(report, view)
