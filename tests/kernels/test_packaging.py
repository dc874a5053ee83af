"""What is shipped as source can be compiled."""

from __future__ import annotations

import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_source_distributions_have_every_header() -> None:
    """Only headers in `depends` are packed; where one is missing, an install goes on without kernels."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    (kernels,) = project["tool"]["setuptools"]["ext-modules"]
    headers = (CHECKOUT / "weightaudit" / "kernels").glob("*.h")
    assert set(kernels["depends"]) == {header.relative_to(CHECKOUT).as_posix() for header in headers}
