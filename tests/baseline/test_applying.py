"""What a baseline takes out of a report, what it leaves in, and what is stale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from weightaudit.baseline import Baseline, apply, baseline_of, pruned, read_baseline, text_of
from weightaudit.catalog import Defect, Flaw
from weightaudit.deciding import decided
from weightaudit.errors import UsageError
from weightaudit.policy import Policy, Suppression
from weightaudit.registry import RuleSet, configure, load_registry
from weightaudit.report import Coverage, ExitCode, ModelReport, Report, Skipped, Suppressed
from weightaudit.rule import Finding, Measured, Severity, Value

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = load_registry()


def rules(policy: Policy | None = None) -> RuleSet:
    """Configure a policy."""
    return configure(REGISTRY, policy or Policy())


def finding(code: str, tensor: str | None, severity: Severity = Severity.ERROR, **values: Value) -> Finding:
    """Return a finding."""
    return Finding(code, severity, tensor, f"It is odd, by {values}.", values)


def report(*findings: Finding, path: str = "m.keras", skipped: tuple[Skipped, ...] = ()) -> Report:
    """Return the report of one model of one tensor."""
    return Report([ModelReport(path, findings=findings, skipped=skipped, coverage=Coverage(1, 1, 0, 4))])


def test_what_is_known_does_not_count() -> None:
    """The findings that a baseline was made of are suppressed, and new ones are not."""
    old = finding("WA101", "a", nan=1)
    baseline = replace(baseline_of(report(old), rules()), source="b.json")
    same, applied = apply(report(old), baseline, rules())
    assert same.models[0].findings == ()
    assert same.models[0].suppressed == (Suppressed(old, "It is in the baseline.", "b.json"),)
    assert (same.exit_code, applied.stale, applied.is_of_other_policy) == (ExitCode.PASSED, (), False)
    new = finding("WA101", "b", nan=1)
    more, _ = apply(report(old, new), baseline, rules())
    assert (more.models[0].findings, more.exit_code) == ((new,), ExitCode.FINDINGS)


def test_the_same_fault_with_other_numbers_is_known() -> None:
    """A number that changes within the margin, and words that change, leave a finding the same one."""
    baseline = baseline_of(report(finding("WA201", "a", gain=100.0, bound=50.0)), rules())
    same, _ = apply(report(finding("WA201", "a", gain=120.0, bound=50.0)), baseline, rules())
    assert same.models[0].findings == ()


def test_other_damage_of_the_same_kind_is_not_known() -> None:
    """Damage that a baseline lists hides no other damage, which has the same code and no tensor either."""
    rule = next(one.rule for one in rules().judges if one.rule.code == "WA113")

    def damaged(*sentences: str) -> Report:
        defects = [Defect(Flaw.INCONSISTENT, sentence) for sentence in sentences]
        return report(*rule.check_model(Measured((), {}, defects)))

    twice, sizes = "config.json is there twice.", "The headers of config.json say {} bytes and {}."
    baseline = baseline_of(damaged(twice, sizes.format(3, 4)), rules())
    assert apply(damaged(twice, sizes.format(30, 41)), baseline, rules())[0].models[0].findings == ()
    only_one = baseline_of(damaged(twice), rules())
    found, _ = apply(damaged(sizes.format(3, 4)), only_one, rules())
    assert [one.message for one in found.models[0].findings] == [sizes.format(3, 4)]


def test_what_became_worse_counts_and_says_why() -> None:
    """A known finding beyond the margin fails again, with what it was."""
    baseline = baseline_of(report(finding("WA101", "a", nan=1)), rules())
    worse, applied = apply(report(finding("WA101", "a", nan=7)), baseline, rules())
    (one,) = worse.models[0].findings
    assert one.message == "It is odd, by {'nan': 7}; worse than in the baseline, where nan was 1 and is 7."
    assert (worse.exit_code, applied.stale) == (ExitCode.FINDINGS, ())


def test_another_model_is_not_known() -> None:
    """The same fault in another model is a new finding."""
    baseline = baseline_of(report(finding("WA101", "a", nan=1)), rules())
    other, applied = apply(report(finding("WA101", "a", nan=1), path="n.keras"), baseline, rules())
    assert other.exit_code is ExitCode.FINDINGS
    assert applied.stale == (), "its model was not audited, so nobody knows whether it is gone"


@pytest.mark.parametrize(
    "changes", [{"tensor": "b"}, {"tensor": None}, {"rule": "WA102"}, {"model": "n.keras"}]
)
def test_an_entry_is_for_what_it_says(changes: dict[str, Any]) -> None:
    """One that names another finding than its fingerprint hides neither: a reviewer reads the names."""
    baseline = baseline_of(report(finding("WA101", "a", nan=1)), rules())
    edited = replace(baseline, entries=[replace(baseline.entries[0], **changes)])
    for tensor in ("a", "b"):
        result, _ = apply(report(finding("WA101", tensor, nan=1)), edited, rules())
        assert result.exit_code is ExitCode.FINDINGS


def test_names_of_any_kind_are_known(tmp_path: Path) -> None:
    """Names that JSON cannot hold as they are, of models and tensors, are found again after the file."""
    odd = report(finding("WA101", "a\udc80", nan=1), path="x\udc80/m.keras")
    (tmp_path / "b.json").write_text(text_of(baseline_of(odd, rules())))
    again = read_baseline(tmp_path / "b.json")
    result, applied = apply(odd, again, rules())
    assert (result.exit_code, applied.stale) == (ExitCode.PASSED, ())
    _, applied = apply(report(path="x\udc80/m.keras"), again, rules())
    assert len(applied.stale) == 1


def test_it_never_makes_an_audit_whole() -> None:
    """A model that could not be audited whole stays incomplete, and its entries are not called stale."""
    baseline = baseline_of(report(finding("WA101", "a", nan=1)), rules())
    broken, applied = apply(report(skipped=(Skipped("a", "It is damaged."),)), baseline, rules())
    assert (broken.exit_code, applied.stale) == (ExitCode.INCOMPLETE, ())


def test_what_is_gone_is_stale() -> None:
    """An entry without its finding is told as a note, but not if its rule did not judge in this run."""
    baseline = replace(baseline_of(report(finding("WA101", "a", nan=1)), rules()), source="b.json")
    (note,) = decided(report(), rules(), baseline).policy_findings
    assert (note.code, note.severity) == ("WA903", Severity.NOTE)
    assert note.message == "The baseline b.json lists WA101 of m.keras: a, which is gone; prune it."
    silent = decided(report(), rules(Policy(ignore=("WA101",))), baseline).policy_findings
    assert ["under another policy" in one.message for one in silent] == [True]
    assert decided(report(), rules(Policy(ignore=("WA903",))), baseline).policy_findings == ()


def test_rules_that_need_a_reference_are_not_asked_without_one() -> None:
    """Drift that a baseline knows is not gone because this run had nothing to compare with."""
    baseline = baseline_of(report(finding("WA601", "a", relative=1.0)), rules())
    _, applied = apply(report(), baseline, rules())
    assert applied.stale == ()


def test_what_the_policy_suppresses_needs_no_baseline() -> None:
    """A suppressed finding is not written; one that is suppressed later makes its entry alone stale."""
    first, second = finding("WA203", "a", largest=9.0), finding("WA203", "a", largest=7.0)
    baseline = baseline_of(report(first, second), rules())
    assert len({one.fingerprint for one in baseline.entries}) == 2
    hidden = Suppressed(second, "known", "p.toml: suppressions[0]")
    model = replace(report(first).models[0], suppressed=(hidden,))
    now, applied = apply(Report([model]), baseline, rules())
    assert [one.finding for one in now.models[0].suppressed] == [second, first]
    assert [one.values["largest"] for one in applied.stale] == [7.0]
    assert len(baseline_of(Report([model]), rules()).entries) == 1


def test_it_is_sorted() -> None:
    """By model, tensor and rule, in whatever order the models were audited."""
    models = [
        report(finding("WA201", "b"), finding("WA101", "b"), finding("WA501", None), path=path).models[0]
        for path in ("n", "m")
    ]
    found = baseline_of(Report(models), rules()).entries
    expected = [(path, *rest) for path in "mn" for rest in ((None, "WA501"), ("b", "WA101"), ("b", "WA201"))]
    assert [(one.model, one.tensor, one.rule) for one in found] == expected


def test_pruning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is gone leaves, what stands or was not audited stays, nothing is added, the policy is noted."""
    monkeypatch.chdir(tmp_path)
    for name in ("m.keras", "other.keras", "ckpt-1.index"):
        (tmp_path / name).touch()
    gone, stands = finding("WA101", "a", nan=1), finding("WA101", "b", nan=1)
    models = [
        report(gone, stands).models[0],
        report(gone, path="other.keras").models[0],
        report(gone, path="deleted.keras").models[0],
        report(gone, path="ckpt-1").models[0],
    ]
    baseline = baseline_of(Report(models), rules())
    stricter = rules(Policy(ignore=("WA402",), suppressions=(Suppression("WA101", "x", ("zz",)),)))
    result = pruned(baseline, report(stands, finding("WA102", "c", positive=1)), stricter)
    assert [(one.model, one.tensor) for one in result.entries] == [
        ("ckpt-1", "a"),
        ("m.keras", "b"),
        ("other.keras", "a"),
    ]
    assert isinstance(result, Baseline)
    assert result.policy != baseline.policy
    assert not apply(report(stands), result, stricter)[1].is_of_other_policy


def test_pruning_elsewhere_takes_nothing_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a directory where none of its models is, nobody knows what is gone."""
    monkeypatch.chdir(tmp_path)
    baseline = replace(baseline_of(report(finding("WA101", "a", nan=1)), rules()), source="b.json")
    with pytest.raises(UsageError, match=r"None of the models that b\.json lists is here"):
        pruned(baseline, report(path="../m.keras"), rules())
