"""Options that several commands share."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

from enum import StrEnum
from math import isnan
from typing import Annotated

import typer

from weightaudit.cli import completing
from weightaudit.limits import DEFAULT_LIMITS


class FailOn(StrEnum):
    """Choices of ``--fail-on``."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    NEVER = "never"


class EngineName(StrEnum):
    """Choices of ``--engine``."""

    NUMPY = "numpy"
    TENSORFLOW = "tensorflow"
    AUTO = "auto"


class Format(StrEnum):
    """Choices of ``--format`` where there are but two."""

    TEXT = "text"
    JSON = "json"


Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="CODES",
        help="Judge by these rules only: codes, prefixes or names, separated by commas.",
        autocompletion=completing.rules,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="CODES",
        help="Leave out these rules, written likewise, and those the policy ignores.",
        autocompletion=completing.rules,
    ),
]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        metavar="ROLES",
        help="Only tensors with these roles, such as kernel,bias.",
        autocompletion=completing.roles,
    ),
]
LayerClasses = Annotated[
    list[str] | None,
    typer.Option("--layer-class", metavar="GLOBS", help="Only tensors of these layer classes."),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The model's configuration, for weights without one: a config.json, or a whole model.",
    ),
]
EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="Who computes statistics.", show_default=True)
]
OutputFile = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the report there, not to stdout.")
]
MaxTensors = Annotated[
    int,
    typer.Option(
        "--max-tensors", min=1, metavar="N", help="Refuse a model with more tensors, objects or chunks."
    ),
]
MaxMetadata = Annotated[
    int,
    typer.Option(
        "--max-metadata",
        min=1,
        metavar="BYTES",
        help="Refuse a longer configuration, index or table of attributes.",
    ),
]


def _no_nan(seconds: float) -> float:
    """Refuse NaN, which no bound keeps out."""
    if isnan(seconds):
        raise typer.BadParameter("nan is no number of seconds.")
    return seconds


Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        callback=_no_nan,
        min=0.1,
        metavar="SECONDS",
        help="Refuse a file whose tensors take longer to list.",
    ),
]
MAX_TENSORS, MAX_METADATA = DEFAULT_LIMITS.max_tensors, DEFAULT_LIMITS.max_metadata
TIMEOUT = DEFAULT_LIMITS.timeout
NoColor = Annotated[bool, typer.Option("--no-color", help="Never use colours.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Never show a progress bar.")]
