"""The report as one HTML file for people, which opens offline; `weightaudit.html` makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.html.audit import audit_page

if TYPE_CHECKING:
    from weightaudit.render.view import View
    from weightaudit.report import Report


def render(report: Report, view: View) -> str:
    """Return a report as the format ``html``, with pictures of what `Detail.PICTURES` measured."""
    return audit_page(report, view)
