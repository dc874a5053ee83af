"""What is told of the policy itself: suppressions that expired or cover nothing, globs without a match."""

from __future__ import annotations

import shutil
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from weightaudit.auditor import audit_targets
from weightaudit.deciding import decided
from weightaudit.discover import search
from weightaudit.errors import RuleError
from weightaudit.policy import parse_policy
from weightaudit.registry import Judge, configure, load_registry
from weightaudit.report import Coverage, ExitCode, ModelReport, Report
from weightaudit.rule import Finding, Severity
from weightaudit.testing import tensor_info
from weightaudit.upkeep import Audited, UpkeepRule, needs_reference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TODAY = date(2026, 6, 15)
NAN = {"rule": "WA101", "tensors": ["dense/hidden/kernel"], "reason": "masked later"}


def audited(folder: Path, *names: str, **policy: Any) -> Report:
    """Audit some of the small models under a policy."""
    parsed = parse_policy(policy, "p.toml")
    rules = configure(load_registry(), parsed, TODAY)
    targets = search([str(folder / name) for name in names or ("nan.keras",)]).targets
    return audit_targets(targets, rules, fail_on=parsed.fail_on)


def told(report: Report) -> list[tuple[str, Severity]]:
    """Return codes and severities of what is wrong with the policy."""
    return [(one.code, one.severity) for one in report.policy_findings]


def test_a_suppression_opens_the_gate_and_stands_in_the_report(fixtures_dir: Path) -> None:
    """What it covers does not count, is kept with its reason, and nothing is wrong with the policy."""
    report = audited(fixtures_dir, suppressions=[NAN])
    assert report.exit_code is ExitCode.PASSED
    assert report.policy == "p.toml"
    (one,) = report.models[0].suppressed
    assert (one.finding.code, one.reason, one.source) == ("WA101", "masked later", "p.toml: suppressions[0]")
    assert told(report) == []


def test_an_expired_one_suppresses_nothing_and_is_told(fixtures_dir: Path) -> None:
    """Past its last day, the finding counts again beside the warning that says why."""
    report = audited(fixtures_dir, suppressions=[NAN | {"expires": date(2026, 6, 14)}])
    assert report.exit_code is ExitCode.FINDINGS
    assert told(report) == [("WA901", Severity.WARNING)]
    assert "its last day was 2026-06-14" in report.policy_findings[0].message


def test_one_that_covers_nothing_is_told(fixtures_dir: Path) -> None:
    """It is judged over the whole run: covering a finding in one of the models is enough."""
    assert told(audited(fixtures_dir, "healthy.keras", "nan.keras", suppressions=[NAN])) == []
    idle = NAN | {"tensors": ["*/kernel"]}
    report = audited(fixtures_dir, "healthy.keras", suppressions=[idle])
    assert told(report) == [("WA902", Severity.WARNING)]
    assert report.exit_code is ExitCode.PASSED


@pytest.mark.parametrize(
    "suppression",
    [
        NAN | {"models": ["other.keras"]},
        {"rule": "WA402", "reason": "x", "models": "other.keras"},
        {"rule": "WA601", "reason": "x"},
    ],
)
def test_what_was_not_audited_is_not_called_unused(fixtures_dir: Path, suppression: dict[str, Any]) -> None:
    """A suppression for another model, or for a rule that needs a reference, is not judged in this run."""
    assert told(audited(fixtures_dir, suppressions=[suppression])) == []


def test_a_rule_that_does_not_judge_is_not_asked(fixtures_dir: Path) -> None:
    """A suppression of a rule that this run leaves out is not called unused."""
    report = audited(fixtures_dir, ignore=["WA101"], suppressions=[NAN])
    assert told(report) == []


def test_nothing_is_said_of_models_that_were_not_audited_whole(fixtures_dir: Path, tmp_path: Path) -> None:
    """Where a model could not be read, neither suppressions nor globs are judged; the run is incomplete."""
    broken = tmp_path / "broken.keras"
    broken.write_bytes((fixtures_dir / "nan.keras").read_bytes()[:2000])
    report = audited(tmp_path, "broken.keras", suppressions=[{"rule": "WA402", "reason": "x"}, NAN])
    assert (report.exit_code, told(report)) == (ExitCode.INCOMPLETE, [])


def test_globs_that_match_nothing_are_one_note(fixtures_dir: Path) -> None:
    """A misspelt glob in overrides, repair or suppressions is told, with where it stands; others are not."""
    report = audited(
        fixtures_dir,
        overrides=[
            {"tensors": ["*/kernel", "*/kernle"], "ignore": ["WA402"]},
            {"layer-classes": ["Dens"], "ignore": ["WA402"]},
        ],
        repair=[{"project": "non_neg", "tensors": ["*/bais"]}],
        suppressions=[NAN, NAN | {"tensors": ["hiden"]}],
    )
    assert told(report) == [("WA904", Severity.NOTE)]
    assert report.policy_findings[0].message == (
        "4 of 6 globs of the policy match nothing in the audited models: '*/kernle' in p.toml: overrides[0], "
        "'Dens' in p.toml: overrides[1], '*/bais' in p.toml: repair[0] and 1 more."
    )


def test_a_name_with_brackets_is_no_glob_for_itself() -> None:
    """A tensor called blocks[0]/kernel is not what the glob of the same text matches, and that is told."""
    info = tensor_info(np.ones(3, np.float32), name="blocks[0]/kernel")
    model = ModelReport("m", coverage=Coverage(1, 1, 0, 12), tensors=[info])
    codes: list[list[str]] = []
    for glob in ("blocks[0]/kernel", "blocks[[]0]/kernel"):
        policy = parse_policy({"overrides": [{"tensors": [glob], "ignore": ["WA402"]}]}, "p.toml")
        report = decided(Report([model]), configure(load_registry(), policy))
        codes.append([one.code for one in report.policy_findings])
    assert codes == [["WA904"], []]


def test_they_are_rules_like_any(fixtures_dir: Path) -> None:
    """The policy gives them another severity, which fails the gate, or leaves them out."""
    said: dict[str, Any] = {
        "overrides": [{"tensors": ["*/kernle"], "ignore": ["WA101"]}],
        "ignore": ["WA101"],
    }
    strict = audited(fixtures_dir, rules={"unmatched-glob": {"severity": "error"}}, **said)
    assert (told(strict), strict.exit_code) == ([("WA904", Severity.ERROR)], ExitCode.FINDINGS)
    assert told(audited(fixtures_dir, **said | {"ignore": ["WA101", "WA9"]})) == []


def test_a_suppression_does_not_make_an_audit_whole(fixtures_dir: Path, tmp_path: Path) -> None:
    """Suppressing what is found about a missing shard leaves its tensors unread, and the exit code is 3."""
    (index,) = (fixtures_dir / "checkpoint").glob("*.index")
    shutil.copy(index, tmp_path)
    suppressions = [{"rule": "WA111", "reason": "x"}]
    report = audited(tmp_path, index.name, suppressions=suppressions)
    assert report.models[0].suppressed
    assert (report.findings, report.exit_code) == ([], ExitCode.INCOMPLETE)


class Crashing(UpkeepRule):
    """Crashes."""

    code = "TT901"
    name = "crashing"
    severity = Severity.NOTE

    def check_audit(self, audited: Audited) -> Iterator[Finding]:
        raise ZeroDivisionError


def test_a_crash_is_no_pass() -> None:
    """A rule about the audit that crashes stops it: a gate must not be green because a rule was not there."""
    from weightaudit.deciding import decided

    rules = configure(load_registry(), parse_policy({}, "p.toml"))
    rules.judges = (Judge(Crashing()),)
    with pytest.raises(RuleError, match=r"The rule TT901 crashing crashed \(ZeroDivisionError"):
        decided(Report([]), rules)


def test_which_rules_need_a_reference() -> None:
    """The examples tell: all rules of the family WA6 find nothing without a reference, and no other."""
    codes = {rule.code for rule in load_registry().rules if needs_reference(rule())}
    assert codes == {code for code in codes if code.startswith("WA6")}
    assert {"WA601", "WA602", "WA603", "WA604", "WA605", "WA606", "WA607"} <= codes
