from __future__ import annotations

from dataclasses import replace

from weightaudit.render.text import render_text
from weightaudit.report import ModelReport, Report, Skipped
from weightaudit.rule import Severity

VERDICT = (
    "verdict: incomplete (exit 3): 2 of 4 models could not be audited whole; "
    "1 error, 1 warning, 1 note in 4 models, 264 of 265 tensors audited"
)
FACTS = "role=kernel evidence=config layer_class=Dense shape=2x3 dtype=float32"
FIGURES = (
    "rms=1.14564 mean=-0.125 std=1.1388 l2=2.29129 min=-2 max=1 peak=2 "
    "zeros=1 nan=1 positive_inf=1 negative_inf=0"
)


def test_a_report_reads_as_one_line_per_fact(report: Report, names: dict[str, str]) -> None:
    """Findings, remarks, coverage and the verdict of four models come out exactly so, in this order."""
    assert render_text(report, names=names).splitlines() == [
        "sick.keras: head/kernel: error WA101 nan-values: 1 of 6 elements is NaN.",
        "sick.keras: warning WA202 float16-overflow: No scale fits.",
        "sick.keras: head/kernel: note WA401 dead-channels: 1 of 3 channels is dead.",
        "sick.keras: info: A stale shard lies beside it.",
        "sick.keras: 1 of 1 tensor, 24 bytes, 0 skipped, 1 without numbers",
        "good.h5: 262 of 262 tensors, 102 MB, 0 skipped",
        "partial.h5: body/bias: skipped: Its chunk is damaged.",
        "partial.h5: 1 of 2 tensors, 999 bytes, 1 skipped",
        "notes.txt: not audited: notes.txt is not a saved model.",
        VERDICT,
    ]


def test_quiet_keeps_what_decides(report: Report) -> None:
    """Quiet output has the failing findings, what could not be audited and the verdict, nothing else."""
    lines = render_text(replace(report, fail_on=Severity.WARNING), quiet=True).splitlines()
    assert [line.split(": ")[:2] for line in lines[:-1]] == [
        ["sick.keras", "head/kernel"],
        ["sick.keras", "warning WA202"],
        ["partial.h5", "body/bias"],
        ["notes.txt", "not audited"],
    ]
    assert lines[-1].startswith("verdict: incomplete (exit 3)")


def test_quiet_tells_each_reason_for_skipping_once() -> None:
    """A lost shard is one line of quiet output, however many tensors it held; verbose output names each."""
    lost = [Skipped(f"layer_{index}/kernel", "The shard is missing.") for index in range(300)]
    model = ModelReport(
        "m", skipped=(*lost, Skipped("odd", "It is damaged."), Skipped("", "A rule crashed."))
    )
    assert render_text(Report((model,)), quiet=True).splitlines()[:-1] == [
        "m: 300 tensors: skipped: The shard is missing.",
        "m: odd: skipped: It is damaged.",
        "m: skipped: A rule crashed.",
    ]
    assert render_text(Report((model,))).count("The shard is missing.") == 300


def test_quiet_shows_no_finding_that_never_fails(report: Report) -> None:
    """With no failing severity at all, quiet output has no findings."""
    assert "WA101" not in render_text(replace(report, fail_on=None), quiet=True)


def test_verbose_adds_statistics_of_every_tensor(report: Report) -> None:
    """Verbose output has a line per tensor with its role and figures, also for one without numbers."""
    added = set(render_text(report, verbose=True).splitlines()) - set(render_text(report).splitlines())
    assert sorted(added) == [
        f"sick.keras: head/kernel: {FACTS} {FIGURES}",
        "sick.keras: label: role=unknown evidence=unknown layer_class=- shape=scalar dtype=string",
    ]


def test_the_same_report_gives_the_same_text(report: Report) -> None:
    """The order in which rules reported does not show."""
    models = [replace(model, findings=model.findings[::-1]) for model in report.models]
    assert render_text(replace(report, models=models)) == render_text(report)


def test_hostile_names_cannot_break_a_line(hostile: Report) -> None:
    """Every line of a report on hostile names starts as a line should and holds no control or command."""
    text = render_text(hostile, verbose=True)
    lines = text.split("\n")
    assert lines.pop() == ""
    assert all(line.isprintable() and "::" not in line and "##" not in line for line in lines)
    # Finding, failure, skipped tensor, remark and statistics of each model; the verdict.
    assert len(lines) == 5 * len(hostile.models) + 1
    assert max(map(len, lines)) < 5000
