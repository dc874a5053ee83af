"""What counts as found, how shares are added up, and that a whole run does what its page says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.__main__ import DOCUMENT, HELD_OUT, main
from benchmarks.detection.faults import Fault, catalogue
from benchmarks.detection.goals import goal_table
from benchmarks.detection.harm import Harm
from benchmarks.detection.held_out import held_out_networks
from benchmarks.detection.judge import Case, Clean, clean, examine, judged, new_findings, seed_faults
from benchmarks.detection.models import Model, corpus, from_json, is_held_out
from benchmarks.detection.networks import networks
from benchmarks.detection.peers import PEERS
from benchmarks.detection.table import accusations, by_class, clean_table, cost, mean, missed, rows
from benchmarks.detection.weights import write
from benchmarks.table import RESULTS
from weightaudit.report import ModelReport
from weightaudit.rule import Finding, Severity

CHECKOUT = Path(__file__).resolve().parents[2]


def case(kind: str, grade: str, severity: str, *peers: str) -> Case:
    """Return a case with a made-up outcome."""
    return Case(kind, grade, "m", ("a/kernel",), "detail", severity, (), None, peers)


CASES = [
    case("NaN", "one", "error", "AUTOTRAINER"),
    case("NaN", "one", "error"),
    case("NaN", "two", "warning"),
    case("NaN", "two", ""),
    case("layer scale", "x1e1", ""),
    case("layer scale", "x1e2", "note"),
]

HEALTHY = [
    Clean("a", "trained", (("warning", "WA210", "k", "Too large."),), dict.fromkeys(PEERS, 1)),
    Clean("b", "trained", (("note", "WA211", "k", "Small."),), dict.fromkeys(PEERS, 0)),
    Clean(
        "c", "fresh", (("error", "WA101", "k", "NaN."),), dict.fromkeys(PEERS, 0), "k: unread", 10**6, 2, 1
    ),
]


def test_recall_is_added_up_by_grade_and_by_class() -> None:
    """A grade has the share of its cases, a class the mean of its grades, and all the mean of classes."""
    one, two, *_ = grades = rows(CASES)
    assert (one.kind, one.grade, one.cases) == ("NaN", "one", 2)
    assert (one.error, one.warning, one.note, one.peers["AUTOTRAINER"]) == (1, 1, 1, 0.5)
    assert (two.error, two.warning, two.note) == (0, 0.5, 0.5)
    nan, scale = classes = by_class(grades)
    assert (nan.cases, nan.error, nan.warning, nan.peers["AUTOTRAINER"]) == (4, 0.5, 0.75, 0.25)
    assert (scale.warning, scale.note) == (0, 0.5)
    assert mean(classes, "all").warning == 0.375
    assert one.referred is None


def test_goals_are_met_or_not() -> None:
    """A goal counts warnings and errors; a factor of ten is no part of the goal of scales."""
    table = goal_table(CASES, HEALTHY)
    lines = {
        row[0]: row[1:] for line in table.splitlines() if (row := [c.strip() for c in line.split("|")[1:-1]])
    }
    assert lines["NaN"] == ["all", "3 of 4", "no"]
    assert lines["layer scale beyond x10"] == ["95 %", "0 of 1 (0%)", "no"]
    assert lines["healthy trained models with errors"] == ["at most 0", "0 of 2", "yes"]
    assert lines["healthy trained models with warnings"] == ["at most 0", "1 of 2", "no"]
    assert lines["healthy fresh models with errors"] == ["at most 0", "1 of 1", "no"]
    assert "Inf" not in lines


def test_healthy_models_are_counted_and_listed() -> None:
    """Models are counted by origin and severity; every error and warning is listed, notes are not."""
    counted = [[c.strip() for c in line.split("|")[1:-1]] for line in clean_table(HEALTHY).splitlines()[2:]]
    assert [row[:5] for row in counted] == [["trained", "2", "0", "1", "1"], ["fresh", "1", "1", "0", "0"]]
    assert counted[0][5:] == ["1"] * len(PEERS)
    listed = ["- a: k: warning WA210: Too large.", "- c: k: error WA101: NaN."]
    assert accusations(HEALTHY).splitlines() == listed
    assert accusations(HEALTHY[1:2]) == "None."
    small, *_ = cost(HEALTHY).split(". Each")
    expected = "the 3 healthy models below 10 MB (1 MB in all) took 2000 ms, 666.7 ms each"
    assert small == f"Audits of {expected}; reading their files, 1000.0 ms"
    assert len(missed(CASES).splitlines()) == 3


def test_only_new_findings_about_what_was_hurt_count(fixtures_dir: Path) -> None:
    """A finding counts if it was not there before and names a hurt tensor, its layer, or the model."""
    patient = examine(Model("healthy", fixtures_dir / "healthy.keras", "trained"))
    name = next(one for one in patient.weights.kernels(1) if patient.weights.siblings(one))
    harm = Harm({name: patient.weights.arrays[name]})
    layer = patient.weights.infos[name].layer
    sibling = patient.weights.siblings(name)[0]
    other = next(one for one, info in patient.weights.infos.items() if info.layer not in {layer, ""})

    def about(tensor: str | None, severity: Severity = Severity.ERROR) -> Finding:
        return Finding("WA999", severity, tensor, "Something.")

    found = [about(None), about(name), about(sibling), about(other)]
    assert new_findings(ModelReport("m", findings=found), patient, harm) == found[:3]
    known = type(patient)(patient.model, patient.weights, ModelReport("m", findings=[about(name)]), {})
    again = [about(name), about(name, Severity.WARNING)]
    assert new_findings(ModelReport("m", findings=again), known, harm) == again[1:]


def test_a_hurt_model_is_judged_by_all(fixtures_dir: Path, tmp_path: Path) -> None:
    """A NaN in a kernel is an error of the audit, flagged by three of the other tools."""
    model = Model("healthy", fixtures_dir / "healthy.keras", "trained")
    patient = examine(model)
    name = patient.weights.kernels(1)[0]
    array = patient.weights.arrays[name].copy()
    array.reshape(-1)[0] = np.nan
    harm = Harm({name: array})
    fault = Fault("NaN", "single", lambda *_: harm)
    found = judged(fault, patient, harm, write(model, harm.changes, tmp_path))
    assert (found.severity, found.hurt) == ("error", (name,))
    assert "WA101" in found.codes
    assert set(found.peers) == set(PEERS) - {"ONNX float16"}


def test_cases_repeat_by_seed_and_models_take_turns(fixtures_dir: Path) -> None:
    """The same seed gives the same cases; a model comes again only after every other one."""
    names = ("healthy.keras", "legacy.h5", "plain.weights.h5")
    patients = [examine(Model(name, fixtures_dir / name, "trained")) for name in names]
    fault = next(one for one in catalogue() if one.kind == "Inf")
    first, again = seed_faults(fault, patients, 7, 4), seed_faults(fault, patients, 7, 4)
    assert first == again
    assert {one.model for one in first[:3]} == set(names)
    assert first[3].model == first[0].model
    unable = Fault("nothing", "at all", lambda *_: None)
    assert seed_faults(unable, patients, 7, 4) == []


def test_the_audit_of_a_clean_model_is_timed_beside_reading(fixtures_dir: Path) -> None:
    """What is said of a clean model comes with its size and both times, for files and for directories."""
    for name in ("healthy.keras", "exported"):
        said = clean(examine(Model(name, fixtures_dir / name, "corpus")))
        below = (fixtures_dir / name).rglob("*") if name == "exported" else [fixtures_dir / name]
        assert said.nbytes == sum(one.stat().st_size for one in below if one.is_file())
        assert said.audit > 0
        assert not said.failure


def named(name: str) -> Model:
    """Return a model of a corpus by its name alone."""
    return Model(name, Path(name), "corpus")


def manifest(folder: Path, *lines: tuple[str, str, str, str, str]) -> Path:
    """Write a list of models, as a corpus has it."""
    header = ("short-name", "relpath", "format", "kind", "anomalies")
    (folder / "manifest.tsv").write_text("\n".join("\t".join(line) for line in (header, *lines)))
    return folder


def test_a_corpus_gives_its_healthy_trained_models(tmp_path: Path) -> None:
    """Fixtures, other formats and models with real anomalies are left out; large counters are none."""
    folder = manifest(
        tmp_path,
        ("good", "good.keras", "keras-zip", "trained", ""),
        ("large", "large", "savedmodel", "trained", "gt1000x4;allzero_vecx1"),
        ("nan", "nan.h5", "h5:keras-legacy", "trained", "gt1000x1;nanx15"),
        ("test", "test.h5", "h5:keras-legacy", "fixture", ""),
        ("lite", "lite.tflite", "tflite", "trained", ""),
        ("none", "none", "savedmodel-novars", "trained", ""),
    )
    assert corpus(folder) == [
        Model("good", folder / "good.keras", "corpus"),
        Model("large", folder / "large", "corpus"),
    ]


def test_each_model_of_a_corpus_is_on_one_side(
    fixtures_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run takes the models that are not held out, with the option those that are, and never one twice."""
    path = str(fixtures_dir / "healthy.keras")
    names = [f"model-{number}" for number in range(8)]
    folder = manifest(tmp_path, *((name, path, "keras-zip", "trained", "") for name in names))
    monkeypatch.setenv("WEIGHTAUDIT_CORPUS", str(folder))
    sides: list[set[str]] = []
    for option in ([], ["--held-out"]):
        target = tmp_path / "cases.json"
        arguments = ["--models", "corpus", "--only", "stale layer", "--json", str(target), *option]
        assert main(arguments) == 0
        sides.append({one["model"] for one in json.loads(target.read_text())["clean"]})
    capsys.readouterr()
    assert sides[0] | sides[1] == set(names)
    assert sides[1] == {one.name for one in corpus(folder) if is_held_out(one)}
    assert 0 < len(sides[1]) < len(names)


def test_a_run_on_a_corpus_says_what_was_found(
    fixtures_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole run without TensorFlow seeds the classes asked for, prints all tables and writes every case."""
    path = str(fixtures_dir / "healthy.keras")
    name = next(f"healthy{number}" for number in range(9) if not is_held_out(named(f"healthy{number}")))
    folder = manifest(tmp_path, (name, path, "keras-zip", "trained", ""))
    monkeypatch.setenv("WEIGHTAUDIT_CORPUS", str(folder))
    target = tmp_path / "cases.json"
    arguments = f"--models corpus --only NaN,Inf --per-class 2 --missed --json {target}".split()
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    titles = [line for line in printed.splitlines() if line.startswith("### ")]
    assert [title[4:] for title in titles[:4]] == [
        "Goals",
        "Recall by class",
        "Recall by grade",
        "Healthy models",
    ]
    assert titles[-1] == "### Missed"
    outcome = json.loads(target.read_text())
    assert len(outcome["cases"]) == 8
    assert {one["severity"] for one in outcome["cases"]} == {"error"}


def test_the_page_has_a_place_for_results_and_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """The page in the documentation takes the tables, and tells all options that the command has."""
    page = DOCUMENT.read_text(encoding="utf-8")
    assert [page.count(mark) for mark in (*RESULTS, *HELD_OUT)] == [1, 1, 1, 1]
    with pytest.raises(SystemExit):
        main(["--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert len(options) > 5
    assert not [option for option in options if option not in page]


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--models", "mine"], ["--per-class", "0"]])
def test_wrong_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown class or origin, and no cases at all, end with one sentence and exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_held_out_networks_are_others() -> None:
    """No network that is held out has the name of one that bounds were chosen on, and each gives data."""
    pytest.importorskip("keras")
    others = held_out_networks()
    assert not set(others) & set(networks())
    for network in others.values():
        inputs, targets = network.data(np.random.default_rng(0), 4)
        for one in inputs if isinstance(inputs, list) else [inputs]:
            assert len(one) == len(targets) == 4


def test_a_network_is_trained_and_saved_fresh_early_and_trained(tmp_path: Path) -> None:
    """Training writes each network fresh and in its formats, all of which hold other numbers by then."""
    pytest.importorskip("tensorflow")
    command = [sys.executable, "-m", "benchmarks.detection.training", str(tmp_path)]
    done = subprocess.run(
        [*command, "--networks", "ratings", "--applications", ""],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    models = from_json(done.stdout.splitlines()[-1])
    assert [(one.name, one.origin) for one in models] == [
        ("ratings-fresh", "fresh"),
        ("ratings-keras", "trained"),
        ("ratings-checkpoint", "trained"),
    ]
    fresh, trained, checkpoint = (examine(one) for one in models)
    name = "person/embeddings"
    before, after = fresh.weights.arrays[name], trained.weights.arrays[name]
    assert not np.array_equal(before, after)
    assert not np.array_equal(trained.weights.early[name], after)
    np.testing.assert_array_equal(checkpoint.weights.arrays[name], after)
    assert not [one for one in trained.report.findings if one.severity is Severity.ERROR]
