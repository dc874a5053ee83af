"""`weightaudit baseline` and `weightaudit check --baseline`, as users run them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

FILE = "weightaudit-baseline.json"


def test_from_the_first_baseline_to_the_last(run: CommandLine) -> None:
    """Known findings pass, a new one fails, what is gone is told and pruned; a rewrite changes nothing."""
    written = run("baseline", "write", "nan.keras", "overflow.keras")
    assert (written.code, written.out) == (0, "")
    assert f"{FILE} lists 2 findings: 2 added, 0 taken out." in written.err
    assert "errors are among them (WA101)" in written.err
    first = (run.cwd / FILE).read_bytes()
    assert run("baseline", "write", "nan.keras", "overflow.keras").code == 0
    assert (run.cwd / FILE).read_bytes() == first

    known = run("check", "nan.keras", "--baseline", FILE)
    assert known.code == 0
    assert "WA101" not in known.out
    assert "0 errors, 0 warnings, 0 notes, 1 suppressed in 1 model" in known.out
    shutil.copy(run.cwd / "nan.keras", run.cwd / "new.keras")
    assert run("check", "new.keras", "--baseline", FILE).code == 1

    shutil.copy(run.cwd / "healthy.keras", run.cwd / "nan.keras")
    mended = run("check", "nan.keras", "--baseline", FILE)
    assert mended.code == 0
    assert f"note WA903 stale-baseline: The baseline {FILE} lists WA101 of nan.keras" in mended.out
    pruned = run("baseline", "prune", "nan.keras")
    assert f"{FILE} lists 1 finding: 1 taken out." in pruned.err
    assert "errors" not in pruned.err
    assert "WA903" not in run("check", "nan.keras", "--baseline", FILE).out


def test_suppressed_findings_are_shown_when_asked_for(run: CommandLine) -> None:
    """--show-suppressed adds each with its reason and its source, also where only what decides is shown."""
    run("baseline", "write", "nan.keras")
    for more in ((), ("--quiet",)):
        shown = run("check", "nan.keras", "--baseline", FILE, "--show-suppressed", *more)
        assert (
            "nan.keras: suppressed: dense/hidden/kernel: error WA101 nan-values: 1 of 512 values is NaN, "
            f"which spreads to every output that is computed with it. ({FILE}: It is in the baseline.)\n"
        ) in shown.out


def test_a_worse_finding_fails(run: CommandLine) -> None:
    """A finding of which the baseline has smaller numbers fails, and says what they were."""
    run("baseline", "write", "overflow.keras", "-o", "b.json")
    path = run.cwd / "b.json"
    path.write_text(path.read_text().replace('"largest": 90000.0', '"largest": 66000.0'))
    worse = run("check", "overflow.keras", "--baseline", "b.json", "--fail-on", "warning")
    assert worse.code == 1
    assert "worse than in the baseline, where largest was 66,000 and is 90,000." in worse.out
    run("baseline", "write", "overflow.keras", "-o", "b.json", "--margin", "0.5")
    path.write_text(path.read_text().replace('"largest": 90000.0', '"largest": 66000.0'))
    assert run("check", "overflow.keras", "--baseline", "b.json", "--fail-on", "warning").code == 0


def test_another_policy_is_told(run: CommandLine) -> None:
    """A baseline that was written under other options is told as a note; pruning takes it over."""
    run("baseline", "write", "overflow.keras")
    (run.cwd / "weightaudit.toml").write_text("[rules.WA301]\nmax = 1e9\n")
    assert "was written under another policy" in run("check", "overflow.keras", "--baseline", FILE).out
    run("baseline", "prune", "overflow.keras")
    assert "policy" not in run("check", "overflow.keras", "--baseline", FILE).out


def test_a_version_is_not_gone(run: CommandLine) -> None:
    """Pruning knows the addresses of versions: what is known of one that is still there stays listed."""
    run("commit", "nan.keras", "-m", "as trained")
    run("baseline", "write", "nan.keras@1", "overflow.keras")
    pruned = run("baseline", "prune", "overflow.keras")
    assert "0 taken out." in pruned.err
    shutil.rmtree(run.cwd / ".weightaudit")
    assert f"{FILE} lists 1 finding: 1 taken out." in run("baseline", "prune", "overflow.keras").err


def test_nothing_is_written_of_a_model_that_was_not_audited_whole(run: CommandLine) -> None:
    """Findings that nobody saw are not known: exit code 3, and the baseline stays as it was."""
    (run.cwd / "broken.keras").write_bytes((run.cwd / "nan.keras").read_bytes()[:3000])
    for command in ("write", "prune"):
        (run.cwd / FILE).unlink(missing_ok=True)
        run("baseline", "write", "overflow.keras")
        before = (run.cwd / FILE).read_bytes()
        done = run("baseline", command, "broken.keras", "nan.keras")
        assert done.code == 3
        assert "broken.keras could not be audited whole, so the baseline was left as it is" in done.err
        assert (run.cwd / FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("check", "nan.keras", "--baseline", "absent.json"), "absent.json cannot be read"),
        (("check", "nan.keras", "--baseline", "nan.keras"), "The baseline nan.keras cannot be used"),
        (("check", "nan.keras", "--baseline", ""), "--baseline is empty"),
        (("baseline", "prune", "nan.keras"), f"{FILE} cannot be read"),
        (("baseline", "write", "nan.keras", "-o", "-"), "A baseline is a file"),
        (("baseline", "write", "nan.keras", "-o", "healthy.keras"), "cannot be used"),
        (("baseline", "write", "nan.keras", "-o", "no/b.json"), "there is no directory no"),
        (("baseline", "write", "nan.keras", "--margin", "-1"), "A margin of -1.0 makes no sense"),
        (("baseline", "write", "nan.keras", "--margin", "nan"), "A margin of nan makes no sense"),
    ],
)
def test_wrong_usage_is_one_sentence(run: CommandLine, arguments: tuple[str, ...], expected: str) -> None:
    """What cannot be done is told with exit code 2, before anything is audited or written."""
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert expected in done.err
    assert len(done.err.splitlines()) == 1


def test_it_is_in_the_json_report(run: CommandLine) -> None:
    """Machines read what was suppressed and why, and what is wrong with the baseline."""
    run("baseline", "write", "nan.keras", "overflow.keras")
    shutil.copy(run.cwd / "healthy.keras", run.cwd / "overflow.keras")
    report = json.loads(run("check", "nan.keras", "overflow.keras", "--baseline", FILE, "-f", "json").out)
    (one,) = report["models"][0]["suppressed"]
    assert (one["reason"], one["source"]) == ("It is in the baseline.", FILE)
    assert [found["code"] for found in report["policy"]["findings"]] == ["WA903"]
    assert report["exit_code"] == 0
