"""What a hostile input is: how it is made, and what has to come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

CANARY = "canary"
"""Folder beside that of the model; whatever is opened in it was led there by the input."""

Make = Callable[[Path], Path]
"""Writes an input into an empty folder, and returns the path to audit."""


class Outcome(StrEnum):
    """What has to come of an input, with its exit codes."""

    UNKNOWN = "unknown"
    """Nothing of that name: one sentence, and exit code 2."""

    REFUSED = "refused"
    """One sentence, and exit code 3."""

    FOUND = "found"
    """Audited, with a finding that names the fault: exit code 1 or, where it is a warning, 0."""

    EITHER = "either"
    """Refused or audited whole, by the moment: exit code 3 or 0."""

    READ = "read"
    """Strange and sound: audited whole, without findings, exit code 0. These are controls."""


@dataclass(frozen=True, slots=True)
class Case:
    """A hostile input.

    Attributes:
        name: What it is, unique, beginning with its container.
        make: Makes it.
        outcome: What has to come of it.
        says: Regular expression that has to match somewhere in the output.
        during: What is done to it again and again while it is audited, if anything.
        options: Further options of the command.
    """

    name: str
    make: Make
    outcome: Outcome
    says: str
    during: Callable[[Path], None] | None = None
    options: tuple[str, ...] = ()


def refused(name: str, make: Make, says: str, *options: str) -> Case:
    """Return a case whose input must not be audited."""
    return Case(name, make, Outcome.REFUSED, says, options=options)


def found(name: str, make: Make, says: str, *options: str) -> Case:
    """Return a case whose input is audited, with a finding."""
    return Case(name, make, Outcome.FOUND, says, options=options)


def read(name: str, make: Make, *options: str) -> Case:
    """Return a control: an input that looks strange and is in order."""
    return Case(name, make, Outcome.READ, "0 errors, 0 warnings, 0 notes", options=options)
