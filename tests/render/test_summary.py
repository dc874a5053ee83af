from __future__ import annotations

from dataclasses import replace

import pytest

from weightaudit.render.summary import ordered, size, verdict
from weightaudit.report import Coverage, ModelReport, Report
from weightaudit.rule import Finding, Severity


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (102_400_000, "102 MB"),
        (4_300_000_000, "4.30 GB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_have_three_digits(nbytes: int, text: str) -> None:
    """Sizes read with three digits and the largest unit that fits, also just below the next unit."""
    assert size(nbytes) == text


def test_findings_are_ordered_worst_first() -> None:
    """Order is severity, code, tensor, message, whatever order the rules reported in."""
    low = Finding("WA101", Severity.NOTE, "a", "m")
    model_wide = Finding("WA300", Severity.ERROR, None, "m")
    first = Finding("WA300", Severity.ERROR, "a", "m")
    second = Finding("WA300", Severity.ERROR, "b", "m")
    assert ordered([low, second, first, model_wide]) == [model_wide, first, second, low]


HEALTHY = ModelReport("a.h5", coverage=Coverage(2, 2, 0, 8))
WARNED = replace(HEALTHY, findings=(Finding("WA202", Severity.WARNING, "a", "m"),))


@pytest.mark.parametrize(
    ("report", "start"),
    [
        (Report((HEALTHY,)), "passed (exit 0): 0 findings of level error;"),
        (Report((WARNED,)), "passed (exit 0): 0 findings of level error; 0 errors, 1 warning, 0 notes"),
        (Report((WARNED,), fail_on=Severity.NOTE), "failed (exit 1): 1 finding of level note or worse;"),
        (Report((WARNED,), fail_on=None), "passed (exit 0): no finding fails this audit;"),
        (Report(()), "incomplete (exit 3): there was no model to audit;"),
        (
            Report((HEALTHY, ModelReport("b"))),
            "incomplete (exit 3): 1 of 2 models could not be audited whole;",
        ),
    ],
)
def test_the_verdict_gives_its_reason(report: Report, start: str) -> None:
    """The verdict names the outcome, the exit code that the process will have, and why."""
    assert verdict(report).startswith(start)
