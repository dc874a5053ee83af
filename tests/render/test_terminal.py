from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from weightaudit.render.terminal import print_report
from weightaudit.report import ModelReport, Report, Skipped

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def shown(report: Report, *, width: int = 80, **options: Any) -> str:
    """Return what a colour terminal of that width receives."""
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system="truecolor")
    print_report(report, console, **options)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.fixture(autouse=True)
def colourful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the machine that runs the tests decide about colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_findings_are_grouped_by_model_and_rule(report: Report, names: dict[str, str]) -> None:
    """A terminal shows the model, under it each rule with its findings, then coverage."""
    lines = [line.rstrip() for line in COLOUR.sub("", shown(report, names=names)).splitlines()]
    assert lines[:9] == [
        "sick.keras  Keras archive",
        "  error WA101 nan-values  1 finding",
        "    head/kernel: 1 of 6 elements is NaN.",
        "  warning WA202 float16-overflow  1 finding",
        "    No scale fits.",
        "  note WA401 dead-channels  1 finding",
        "    head/kernel: 1 of 3 channels is dead.",
        "  A stale shard lies beside it.",
        "  1 of 1 tensor, 24 bytes, 0 skipped, 1 without numbers",
    ]
    assert "  body/bias: skipped: Its chunk is damaged." in lines
    assert "  not audited: notes.txt is not a saved model." in lines


def test_severities_have_colours_of_their_own(report: Report) -> None:
    """Errors, warnings and notes start with different colours."""
    text = shown(report)
    starts = [re.search(rf"(\x1b\[[0-9;]*m){word} ", text) for word in ("error", "warning", "note")]
    assert len({start[1] for start in starts if start}) == 3


def test_no_color_is_honoured(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR set, a terminal gets bold and dim, and no colour."""
    monkeypatch.setenv("NO_COLOR", "1")
    codes = {code for one in COLOUR.findall(shown(report)) for code in one[2:-1].split(";")}
    assert codes <= {"0", "1", "2"}


def test_a_narrow_terminal_loses_nothing(report: Report, names: dict[str, str]) -> None:
    """At 16 columns every line fits, and every character is still there."""
    narrow = COLOUR.sub("", shown(report, width=16, names=names, verbose=True))
    wide = COLOUR.sub("", shown(report, width=500, names=names, verbose=True))
    assert max(map(len, narrow.splitlines())) <= 16
    assert "".join(narrow.split()) == "".join(wide.split())


def test_verbose_shows_statistics_and_quiet_only_what_decides(report: Report) -> None:
    """Verbose adds the figures of tensors; quiet leaves out remarks, coverage and sound models."""
    assert "l2=2.29129" in shown(report, width=500, verbose=True)
    quiet = shown(report, width=500, quiet=True)
    assert "WA101" in quiet
    assert "body/bias" in quiet
    assert not any(word in quiet for word in ("WA202", "good.h5", "stale", "262"))


@pytest.mark.parametrize("quiet", [False, True])
def test_each_reason_for_skipping_is_told_once(*, quiet: bool) -> None:
    """A terminal is not flooded with the names of all tensors of a lost shard, unless it is to be verbose."""
    lost = [Skipped(f"layer_{index}/kernel", "The shard is missing.") for index in range(300)]
    report = Report((ModelReport("m", skipped=lost),))
    text = shown(report, width=500, quiet=quiet)
    assert "300 tensors: skipped: The shard is missing." in COLOUR.sub("", text)
    assert text.count("The shard is missing.") == 1
    assert shown(report, width=500, verbose=True).count("The shard is missing.") == 300


def test_the_next_step_stands_above_the_verdict(report: Report, names: dict[str, str]) -> None:
    """A terminal names the command that explains the worst rule, but not in quiet, nor of unknown rules."""
    *_, step, verdict = COLOUR.sub("", shown(report, width=500, names=names)).splitlines()
    assert step == "why, and how to mend: weightaudit explain WA101"
    assert verdict.startswith("incomplete")
    assert "explain" not in shown(report, width=500, names=names, quiet=True)
    assert "explain" not in shown(report, width=500)


def test_a_model_without_numbers_says_so() -> None:
    """A model that holds nothing to audit is not shown as sound."""
    assert "so there is nothing to audit" in shown(Report((ModelReport("empty.h5"),)))


def test_hostile_names_are_neither_markup_nor_commands(hostile: Report) -> None:
    """Markup and emoji codes in names are shown as they are, and no control or command gets through."""
    text = COLOUR.sub("", shown(hostile, width=500, verbose=True))
    assert all(line.isprintable() and "::" not in line and "##" not in line for line in text.split("\n"))
    assert "[bold red]markup[/] [link=a]b[/link] :warning" in text
