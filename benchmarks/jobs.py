"""What is measured inside a process of its own: ``python -m benchmarks.jobs JOB PATH``.

The last line of the output is a JSON object. Times are lists of [wall, CPU] seconds, one for each
round, and leave out the imports; sizes are bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time, sleep, time
from typing import TYPE_CHECKING, Any

from benchmarks.references import files_of, inflating, reading
from weightaudit.cli.running import collect_seldom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from weightaudit.report import ModelReport

OTHER_THRESHOLDS = """
[rules.exploding-scale]
warning = 200.0
error = 900.0
[rules.dead-channels]
severity = "note"
"""
"""The policy of a second check."""


SETTLED = 2.1
"""Seconds for which a file is left alone before a cache keeps anything of it."""


def audit(path: Path, rounds: int) -> dict[str, Any]:
    """Audit a model with all default rules, and read its files, in turn."""
    return _in_turn(path, rounds, reading)


def unpack(path: Path, rounds: int) -> dict[str, Any]:
    """Audit a packed model, and inflate what it holds, in turn."""
    return _in_turn(path, rounds, inflating)


def again(path: Path, rounds: int) -> dict[str, Any]:
    """Audit a model, and once more with other thresholds, with a cache that is new in each round."""
    import weightaudit
    from weightaudit.policy import read_policy

    _whole(weightaudit.audit(path).models[0])
    # Nothing is kept of a file that was written within the last two seconds.
    sleep(max(0, SETTLED + max(file.stat().st_mtime for file in files_of(path)) - time()))
    first: list[list[float]] = []
    second: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder, "weightaudit.toml")
        document.write_text(OTHER_THRESHOLDS)
        policy = read_policy(document)
        for number in range(rounds):
            cache = Path(folder, str(number))
            first.append(_timed(partial(weightaudit.audit, path, cache=cache)))
            if not any(cache.rglob("*.stats")):
                sys.exit(f"Nothing was kept of {path}.")
            second.append(_timed(partial(weightaudit.audit, path, cache=cache, policy=policy)))
    return {"first": first, "second": second}


def read(path: Path, rounds: int) -> dict[str, Any]:
    """Read the files of a model."""
    run = reading(path)
    return {"read": [_timed(run.work) for _ in range(rounds)], "bytes": run.nbytes}


def usual(path: Path, rounds: int) -> dict[str, Any]:
    """Load a model with TensorFlow or Keras, and look at every tensor with numpy."""
    load = _load_keras if path.suffix in {".keras", ".h5"} else _load_checkpoint
    weights = load(path)
    count = 0

    def look() -> None:
        nonlocal count
        count = sum(1 for values in weights() if _is_sound(values))

    return {"usual": [_timed(look) for _ in range(rounds)], "tensors": count}


def _in_turn(path: Path, rounds: int, refer: Callable[[Path], Any]) -> dict[str, Any]:
    import weightaudit

    reference = refer(path)
    model = _whole(weightaudit.audit(path).models[0])  # Brings in all modules.
    reference.work()
    audits: list[list[float]] = []
    references: list[list[float]] = []
    for _ in range(rounds):
        references.append(_timed(reference.work))
        audits.append(_timed(lambda: weightaudit.audit(path)))
    return {
        "audit": audits,
        "reference": references,
        "bytes": model.coverage.nbytes,
        "tensors": model.coverage.audited,
        "threads": reference.threads,
    }


def _whole(model: ModelReport) -> ModelReport:
    if model.failure or model.skipped or not model.coverage.audited:
        sys.exit(f"{model.path} was not audited whole: {model.failure or model.skipped}")
    return model


def _timed(work: Callable[[], object]) -> list[float]:
    wall, cpu = perf_counter(), process_time()
    work()
    return [perf_counter() - wall, process_time() - cpu]


def _load_checkpoint(path: Path) -> Callable[[], Iterator[Any]]:
    tf: Any = import_module("tensorflow")
    prefix = path / "variables" / "variables" if path.is_dir() else path

    def weights() -> Iterator[Any]:
        reader = tf.train.load_checkpoint(str(prefix))
        for name, dtype in reader.get_variable_to_dtype_map().items():
            if dtype.is_floating:
                yield reader.get_tensor(name)

    return weights


def _load_keras(path: Path) -> Callable[[], Iterator[Any]]:
    keras: Any = import_module("keras")

    def weights() -> Iterator[Any]:
        if path.name.endswith(".weights.h5"):
            model = keras.models.model_from_json((path.parent / "architecture.json").read_text())
            model.load_weights(path)
        else:
            model = keras.models.load_model(path, compile=False)
        for variable in model.weights:
            yield keras.ops.convert_to_numpy(variable)

    return weights


def _is_sound(values: Any) -> bool:
    import numpy as np

    figures = (np.abs(values).max(), values.mean(), values.std())
    return not np.isnan(values).any() and bool(np.isfinite(figures).all())


JOBS = {"audit": audit, "unpack": unpack, "again": again, "read": read, "usual": usual}


def main() -> None:
    """Run one job and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    collect_seldom()  # as the command line does
    figures = JOBS[options.job](options.path, options.rounds)
    print()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
