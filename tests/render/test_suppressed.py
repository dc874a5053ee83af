"""Text in a pipe and on a terminal: what is suppressed, and what is wrong with the policy."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from weightaudit.render.terminal import print_report
from weightaudit.render.text import render_text
from weightaudit.report import Coverage, ModelReport, Report, Suppressed
from weightaudit.rule import Finding, Severity

KNOWN = Suppressed(
    Finding("WA101", Severity.ERROR, "a/kernel", "1 of 2 values is NaN."),
    "Masked \x1b[2J later.",
    "p.toml: suppressions[0]",
)
EXPIRED = Finding("WA901", Severity.WARNING, None, "It expired.")
NOTE = Finding("WA904", Severity.NOTE, None, "A glob matches nothing.")
LINE = (
    "suppressed: a/kernel: error WA101: 1 of 2 values is NaN. "
    "(p.toml: suppressions[0]: Masked \\x1b[2J later.)"
)
VERDICT = (
    "verdict: failed (exit 1): 1 finding of level warning or worse; 0 errors, 1 warning, 1 note, "
    "1 suppressed in 1 model, 1 of 1 tensor audited"
)


def report(fail_on: Severity = Severity.WARNING) -> Report:
    """Return a report of a model whose only finding is suppressed, under a policy with two faults."""
    model = ModelReport("m.keras", "Keras archive", coverage=Coverage(1, 1, 0, 8), suppressed=[KNOWN])
    return Report([model], fail_on, policy="p.toml", policy_findings=[NOTE, EXPIRED])


def on_terminal(*, quiet: bool = False, suppressed: bool = False) -> list[str]:
    """Return the lines that a wide terminal shows."""
    console = Console(file=StringIO(), width=200)
    print_report(report(), console, quiet=quiet, suppressed=suppressed)
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_in_a_pipe() -> None:
    """Faults of the policy stand below the models under its file, worst first; the verdict counts both."""
    assert render_text(report()).splitlines() == [
        "m.keras: 1 of 1 tensor, 8 bytes, 0 skipped",
        "p.toml: warning WA901: It expired.",
        "p.toml: note WA904: A glob matches nothing.",
        VERDICT,
    ]
    assert render_text(report(), suppressed=True).splitlines()[0] == f"m.keras: {LINE}"


@pytest.mark.parametrize("level", [Severity.WARNING, Severity.ERROR])
def test_quiet_leaves_what_decides(level: Severity) -> None:
    """Of the policy's faults, too, only those that fail the gate are left."""
    lines = render_text(report(level), quiet=True).splitlines()
    assert [line for line in lines if line.startswith("p.toml")] == (
        ["p.toml: warning WA901: It expired."] if level is Severity.WARNING else []
    )


def test_on_a_terminal() -> None:
    """The policy has a section of its own, and suppressed findings stand with their model."""
    lines = on_terminal()
    assert lines[lines.index("p.toml") :][:5] == [
        "p.toml",
        "  warning WA901  1 finding",
        "    It expired.",
        "  note WA904  1 finding",
        "    A glob matches nothing.",
    ]
    assert not any("suppressed:" in line for line in lines)
    assert f"  {LINE}" in on_terminal(suppressed=True)
    assert "  note WA904  1 finding" not in on_terminal(quiet=True)
