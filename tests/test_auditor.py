"""Whole audits: real models get the verdict they deserve, and nothing is skipped in silence."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import weightaudit
from weightaudit.auditor import Means, audit, audit_targets
from weightaudit.catalog import Extent
from weightaudit.checkpoint import open_checkpoint
from weightaudit.discover import discover
from weightaudit.policy import Policy
from weightaudit.portrait import Detail
from weightaudit.registry import Judge, RuleSet, configure, load_registry
from weightaudit.report import ExitCode, ModelReport
from weightaudit.rule import Finding, Rule, Severity
from weightaudit.statistics import Moments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo

BROKEN = {"nightpy-nan", "t5-bf16-missing-shard"}
"""Models of the corpus that are really broken: everything in one is NaN, the other has lost its shard."""


def _verdicts(corpus: Path) -> dict[str, ModelReport]:
    with (corpus / "manifest.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["format"] != "tflite"]
    found: dict[str, ModelReport] = {}
    for row in rows:
        (model,) = audit(corpus / row["relpath"].rstrip("/")).models
        found[row["relpath"]] = model
    return found


@pytest.fixture(scope="module")
def verdicts(corpus: Path) -> dict[str, ModelReport]:
    """The default audit of every real model that is not TensorFlow Lite."""
    return _verdicts(corpus)


def test_errors_on_broken_models_and_no_other(verdicts: dict[str, ModelReport]) -> None:
    """With no policy, the really broken models have errors, and no other model has one."""
    failing = {path.split("/")[0] for path, model in verdicts.items() if model.worst is Severity.ERROR}
    assert failing == BROKEN


def test_every_real_model_is_audited_whole(verdicts: dict[str, ModelReport]) -> None:
    """Only a lost shard, a model without variables and a file that is no model leave anything out."""
    incomplete = {path.split("/")[0] for path, model in verdicts.items() if not model.is_complete}
    assert incomplete == {"t5-bf16-missing-shard", "tfx-tft-sm-novars", "basenji-notamodel-f16"}


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("fer-emotion", "WA403"),
        ("musicnn-msd", "WA402"),
        ("musicnn-msd", "WA403"),
        ("mlperf-vww-h5", "WA403"),
        ("mlperf-ad01-h5", "WA210"),
        ("fink-cats-k2", "WA210"),
        ("genomic-gaps-cae", "WA210"),
        ("nightpy-nan", "WA101"),
        ("t5-bf16-missing-shard", "WA111"),
    ],
)
def test_known_anomalies_are_found(verdicts: dict[str, ModelReport], model: str, code: str) -> None:
    """What the manifest knows of a model is among its findings."""
    reports = [report for path, report in verdicts.items() if path.startswith(f"{model}/")]
    assert code in {finding.code for report in reports for finding in report.findings}


def test_most_real_models_are_quiet(verdicts: dict[str, ModelReport]) -> None:
    """At least two thirds of the models have neither a warning nor an error."""
    loud = [path for path, model in verdicts.items() if (model.worst or 0) >= Severity.WARNING]
    assert len(loud) < len(verdicts) / 3


def test_public_api(fixtures_dir: Path) -> None:
    """`weightaudit.audit` takes a path or several, and gives a verdict with findings."""
    report = weightaudit.audit([fixtures_dir / "healthy.keras", str(fixtures_dir / "nan.keras")])
    assert report.exit_code is weightaudit.ExitCode.FINDINGS
    assert {(finding.code, finding.tensor) for finding in report.findings} == {
        ("WA101", "dense/hidden/kernel")
    }
    assert [model.worst for model in report.models] == [None, Severity.ERROR]


@pytest.mark.parametrize(
    "name", ["healthy.keras", "legacy.h5", "checkpoint", "exported", "sharded.weights.json"]
)
def test_verbose_measures_everything(fixtures_dir: Path, name: str) -> None:
    """A verbose audit keeps basic statistics of every tensor with numbers."""
    (model,) = audit(fixtures_dir / name, detail=Detail.FIGURES).models
    numeric = [info for info in model.tensors if info.is_numeric]
    assert numeric
    assert all(Moments() in model.stats[info.name] for info in numeric)


def test_damaged_archive_is_a_finding(fixtures_dir: Path, tmp_path: Path) -> None:
    """One flipped bit in the weights of an archive is an error of its own, and the audit is complete."""
    raw = bytearray((fixtures_dir / "healthy.keras").read_bytes())
    with weightaudit.open_checkpoint(fixtures_dir / "healthy.keras") as checkpoint:
        info = next(info for info in checkpoint if info.name.endswith("kernel"))
        extent = checkpoint.entry(info).storage
    raw[getattr(extent, "offset", 0)] ^= 1
    (tmp_path / "m.keras").write_bytes(raw)
    report = audit(tmp_path / "m.keras")
    assert "WA110" in {finding.code for finding in report.findings}
    assert report.exit_code is ExitCode.FINDINGS


def test_truncated_model_is_incomplete(fixtures_dir: Path, tmp_path: Path) -> None:
    """A truncated model is never clean: the report says why it could not be audited."""
    path = tmp_path / "m.h5"
    path.write_bytes((fixtures_dir / "legacy.h5").read_bytes()[:5000])
    report = audit(path)
    assert report.exit_code is ExitCode.INCOMPLETE
    assert report.models[0].failure


def test_change_during_the_audit(fixtures_dir: Path, tmp_path: Path) -> None:
    """A file that is written to while it is read makes the audit incomplete."""
    path = tmp_path / "m.keras"
    shutil.copy(fixtures_dir / "healthy.keras", path)
    rules = configure(load_registry(), Policy())

    def touch(_label: str, _done: int, _total: int) -> None:
        path.touch()

    report = audit_targets(discover([str(path)]), rules, Means(progress=touch))
    assert report.exit_code is ExitCode.INCOMPLETE
    assert "changed while it was read" in str(report.models[0].failure)


@dataclass(frozen=True)
class Crashing(Rule):
    """Always crashes."""

    code = "XX001"
    name = "always-crashes"
    severity = Severity.NOTE

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        raise ZeroDivisionError(info.name)


@dataclass(frozen=True)
class Accusing(Rule):
    """Calls every tensor an error."""

    code = "XX002"
    name = "always-accuses"
    severity = Severity.ERROR

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        yield self.finding(info, "It is there.")


def test_crashing_rule_is_never_silent(fixtures_dir: Path) -> None:
    """A rule that crashes makes the audit incomplete and is named; other rules still judge."""
    rules = RuleSet([Crashing, Accusing], {}, ())
    report = audit_targets(discover([str(fixtures_dir / "healthy.keras")]), rules)
    assert report.exit_code is ExitCode.INCOMPLETE
    assert "XX001" in report.models[0].skipped[0].reason
    assert {finding.code for finding in report.findings} == {"XX002"}


def test_guessed_roles_raise_no_error(zoo: Path) -> None:
    """An error that relies on a role is at most a warning where the role is a guess."""
    rules = RuleSet([Accusing], {}, ())
    report = audit_targets(discover([str(zoo / "k3" / "subclassed.weights.h5")]), rules)
    severities = {
        (info.is_certain, finding.severity)
        for model in report.models
        for info in model.tensors
        for finding in model.findings
        if finding.tensor == info.name
    }
    assert severities <= {(True, Severity.ERROR), (False, Severity.WARNING)}
    assert (False, Severity.WARNING) in severities


def test_judge_with_a_severity_of_the_policy(fixtures_dir: Path) -> None:
    """The policy's severity replaces the rule's."""
    rules = configure(load_registry(), Policy())
    rules.judges = tuple(Judge(judge.rule, Severity.NOTE) for judge in rules.judges)
    report = audit_targets(discover([str(fixtures_dir / "nan.keras")]), rules)
    assert {finding.severity for finding in report.findings} == {Severity.NOTE}
    assert report.exit_code is ExitCode.PASSED


def test_same_report_for_any_number_of_workers(fixtures_dir: Path) -> None:
    """One worker and four give the same findings and the same statistics."""
    one, four = (
        audit(fixtures_dir / "overflow.keras", workers=count, detail=Detail.FIGURES) for count in (1, 4)
    )
    assert one.findings == four.findings
    for name, stats in one.models[0].stats.items():
        assert stats[Moments()] == four.models[0].stats[name][Moments()]


def test_damage_to_the_second_copy_of_a_variable_is_found(tmp_path: Path, fixtures_dir: Path) -> None:
    """Keras 3 exports store variables twice; the copy that is not measured is still read for its checksum."""
    model = tmp_path / "exported"
    shutil.copytree(fixtures_dir / "exported", model)
    with open_checkpoint(model) as checkpoint:
        _, copy = checkpoint.entries(checkpoint["dense/hidden/kernel"])
        assert isinstance(copy.storage, Extent)
        place = copy.storage.offset
    shard = model / "variables" / "variables.data-00000-of-00001"
    data = bytearray(shard.read_bytes())
    data[place] ^= 1
    shard.write_bytes(data)
    (finding,) = audit(model).findings
    assert finding.code == "WA110"
    assert "second copy _all_variables/0" in finding.message
