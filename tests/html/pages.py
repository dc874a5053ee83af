"""Makes pages of real models for tests."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

from weightaudit import audit
from weightaudit.html.audit import audit_page
from weightaudit.portrait import Detail
from weightaudit.registry import load_registry
from weightaudit.render.view import View

if TYPE_CHECKING:
    from pathlib import Path

    from weightaudit.report import Report

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<svg onload=alert(3)>",
    '"><b id="slipped" onmouseover="alert(4)">',
    "'-alert(5)-'",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(6)",
    "<!--<script>",
    "line\u2028paragraph\u2029end\nnext\x1b[31m",
    "\u202etxt.exe\u200b",
    "`${alert(7)}`",
    "constructor",
    "__proto__",
)
"""Names that a stranger's file may give to its layers."""


def view() -> View:
    """How the command line shows a report: with what the installed rules say of themselves."""
    rules = load_registry().rules
    return View(rules={rule.code: rule for rule in rules}, active=tuple(rule.code for rule in rules))


def measured(*models: Path) -> Report:
    """Return the audit of some models with all that a page shows."""
    return audit(list(models), detail=Detail.PICTURES)


def audited(page: Path, *models: Path) -> Path:
    """Write the page of an audit, and return its path."""
    page.write_text(audit_page(measured(*models), view()), "utf-8")
    return page


def commands_of(page: str) -> list[str]:
    """Return the commands that a page suggests, as they are copied."""
    found: list[str] = re.findall(r'<div class="command"><code>(.*?)</code>', page)
    return [unescape(re.sub(r"</?span>", "", one)) for one in found]


def data_of(page: str) -> dict[str, Any]:
    """Return what the scripts of a page are given."""
    found: list[str] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    data: dict[str, Any] = json.loads(found[0])
    return data
