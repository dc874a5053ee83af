"""Seeds faults into models, audits them, and compares what is found with what other tools' rules find."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

from benchmarks.detection.faults import Fault, catalogue
from benchmarks.detection.judge import Outcome, Patient, clean, examine, seed_faults
from benchmarks.detection.models import ORIGINS, Model, corpus, corpus_folder, is_held_out, own
from benchmarks.detection.report import report
from benchmarks.detection.table import missed, rows
from benchmarks.parsing import names_among
from benchmarks.results import setting
from benchmarks.table import RESULTS, write_results
from benchmarks.timing import CHECKOUT, CommandError
from weightaudit import WeightauditError

DOCUMENT = CHECKOUT / "docs" / "detection.md"
NUMBERS = Path(__file__).parent / "results.json"
NUMBERS_HELD_OUT = NUMBERS.with_name("held_out.json")
HELD_OUT = ("<!-- held-out: begin -->", "<!-- held-out: end -->")
"""Where in the document the tables of the models stand on which no bound was chosen."""

QUICK_NETWORKS = ("mlp", "cnn", "constrained")
QUICK_HELD_OUT = ("tabular", "mixer", "seq2seq")
QUICK_CORPUS = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit code: 2 where it cannot run here, 3 where it failed."""
    options = _parse(arguments)
    needs_training = set(options.models) & {"trained", "fresh"}
    if (needs_training and not find_spec("tensorflow")) or not entry_points(group="weightaudit.rules"):
        _say("Install what trains the models, and the rules, first: pip install '.[bench]'")
        return 2
    since = perf_counter()
    with tempfile.TemporaryDirectory(prefix="weightaudit-detection-") as folder:
        try:
            outcome = _run(options, _models(options, options.dir or Path(folder)))
        except (CommandError, WeightauditError) as error:
            _say(str(error))
            return 3
    text = report(outcome, setting(), options.seed, perf_counter() - since)
    print(text)
    if options.write:
        write_results(DOCUMENT, text, HELD_OUT if options.held_out else RESULTS)
        numbers = NUMBERS_HELD_OUT if options.held_out else NUMBERS
        _write_json(numbers, {"recall": [asdict(row) for row in rows(outcome.cases)], "seed": options.seed})
    if options.json:
        _write_json(options.json, asdict(outcome))
    if options.missed:
        print(f"\n### Missed\n\n{missed(outcome.cases)}")
    return 0


def _write_json(path: Path, document: object) -> None:
    path.write_text(f"{json.dumps(document, indent=1, ensure_ascii=False)}\n", encoding="utf-8")


def _models(options: argparse.Namespace, folder: Path) -> list[Model]:
    """Return the clean models that are asked for, those of a corpus only where one is at hand."""
    place = corpus_folder()
    found = corpus(place) if place and "corpus" in options.models else []
    found = [one for one in found if is_held_out(one) == options.held_out]
    if "corpus" in options.models and not place:
        _say("There is no corpus of real models: name one in WEIGHTAUDIT_CORPUS.")
    if set(options.models) & {"trained", "fresh"}:
        _say("training")
        networks = QUICK_HELD_OUT if options.held_out else QUICK_NETWORKS
        wanted = (networks, "MobileNetV2") if options.quick else ((), None)
        trained = own(folder, options.seed, *wanted, held_out=options.held_out)
    else:
        trained = []
    chosen = found[:: max(1, len(found) // QUICK_CORPUS)] if options.quick else found
    return [one for one in (*chosen, *trained) if one.origin in options.models]


def _run(options: argparse.Namespace, models: Sequence[Model]) -> Outcome:
    outcome = Outcome()
    patients: list[Patient] = []
    for model in models:
        patient = examine(model)
        outcome.clean.append(clean(patient))
        # Fresh models are only there to be left alone; theirs are the largest arrays.
        if model.origin != "fresh":
            patients.append(patient)
    _say(f"{len(models)} clean models audited")
    count = options.per_class or (3 if options.quick else 24)
    for fault in _faults(options):
        cases = seed_faults(fault, patients, options.seed, count * fault.times)
        found = sum(case.severity in {"error", "warning"} for case in cases)
        _say(f"{fault.kind}, {fault.grade}: {found} of {len(cases)}")
        outcome.cases += cases
    return outcome


def _faults(options: argparse.Namespace) -> list[Fault]:
    return [fault for fault in catalogue() if not options.only or fault.kind in options.only]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    kinds = tuple(dict.fromkeys(fault.kind for fault in catalogue()))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument(
        "--only", type=names_among(kinds), metavar="CLASS,...", help=f"of: {', '.join(kinds)}"
    )
    parser.add_argument("--models", type=names_among(ORIGINS), default=ORIGINS, metavar="ORIGIN,...")
    parser.add_argument("--held-out", action="store_true", help="the models on which no bound was chosen")
    parser.add_argument("--per-class", type=int, metavar="N", help="cases of each grade [24; quick: 3]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few models and cases: to see that it works")
    parser.add_argument(
        "--dir", type=Path, metavar="FOLDER", help="where models are trained, and found again"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every case there too")
    parser.add_argument("--missed", action="store_true", help="list every fault that was not found")
    parser.add_argument("--write", action="store_true", help="renew docs/detection.md and results.json")
    options = parser.parse_args(arguments)
    if options.per_class is not None and options.per_class < 1:
        parser.error("--per-class must be positive")
    return options


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
