"""Puts a page together: template, style, scripts and data become one file that loads nothing.

Names and messages come from a stranger's file. They reach the page in two ways: through the template,
which escapes everything, and through one block of JSON, from which scripts make text, never markup. Should a
name slip through all the same, the policy in the page's head lets no script run but ours, by its hash.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from weightaudit.html import words
from weightaudit.render.json import tool_version

_SCRIPTS = ("dom.js", "charts.js", "table.js", "changes.js", "page.js")
_STYLE = "page.css"


def page(template: str, data: Any, **context: Any) -> str:
    """Return a whole page, which ends with a line end.

    Args:
        template: File of the template, such as ``audit.html``.
        data: What scripts work on: plain data without NaN and infinities.
        context: What the template shows.
    """
    style, script = _own(_STYLE), "\n".join(_own(name) for name in _SCRIPTS)
    text = (
        _environment()
        .get_template(template)
        .render(
            context,
            version=tool_version(),
            policy=_policy(style, script),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            data=Markup(_embedded(data)),  # noqa: S704 - escaped there
        )
    )
    return text.rstrip("\n") + "\n"


def _policy(style: str, script: str) -> str:
    """Return the content security policy: nothing at all but the style and the script of this page."""
    return (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _embedded(data: Any) -> str:
    """Return data as JSON that cannot end the element around it, nor be taken for markup."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


@cache
def _own(name: str) -> str:
    return files("weightaudit.html").joinpath(name).read_text("utf-8").strip() + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_own),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        codes=words.codes, count=words.count, number=words.number, percent=words.percent, shown=words.shown
    )
    return environment
