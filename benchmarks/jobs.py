"""What is measured, each in a process of its own: ``python -m benchmarks.jobs JOB PATH``.

The last line of the output is a JSON object. Times leave out the imports; sizes are bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 1 << 20


def audit(path: Path) -> dict[str, float]:
    """Audit a model with all default rules; a first audit that is not timed brings in all modules."""
    import weightaudit

    weightaudit.audit(path)
    begin = perf_counter()
    report = weightaudit.audit(path)
    seconds = perf_counter() - begin
    (model,) = report.models
    if model.failure or model.skipped or not model.coverage.audited:
        sys.exit(f"{path} was not audited whole: {model.failure or model.skipped}")
    return {"seconds": seconds, "bytes": model.coverage.nbytes, "tensors": model.coverage.audited}


def memory(path: Path) -> dict[str, float]:
    """Audit a model, and return the peak memory of this process and of its largest child."""
    import weightaudit
    from weightaudit.formats.lister import discard

    weightaudit.audit(path)
    # A child counts once it has ended.
    discard()
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"own": own, "child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit}


def read_one(path: Path) -> dict[str, float]:
    """Read the model's files once on one thread."""
    return _read(path, 1)


def read_all(path: Path) -> dict[str, float]:
    """Read the model's files once on as many threads as the audit uses."""
    from weightaudit.engine.numpy_engine import available_cpus

    return _read(path, min(8, available_cpus()))


def usual(path: Path) -> dict[str, float]:
    """Load a model with TensorFlow or Keras, and look at every tensor with numpy."""
    load = _load_keras if path.suffix in {".keras", ".h5"} else _load_checkpoint
    weights = load(path)
    begin = perf_counter()
    count = sum(1 for values in weights() if _is_sound(values))
    return {"seconds": perf_counter() - begin, "tensors": count}


def _load_checkpoint(path: Path) -> Callable[[], Iterator[Any]]:
    tf: Any = import_module("tensorflow")

    def weights() -> Iterator[Any]:
        reader = tf.train.load_checkpoint(str(path))
        for name in reader.get_variable_to_shape_map():
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


def _read(path: Path, threads: int) -> dict[str, float]:
    files = [path] if path.is_file() else sorted(path.parent.glob(f"{path.name}.*"))
    descriptors = [os.open(file, os.O_RDONLY) for file in files]
    blocks = [(fd, place) for fd in descriptors for place in range(0, os.fstat(fd).st_size, BLOCK)]

    def work(first: int) -> int:
        buffer = bytearray(BLOCK)
        return sum(os.preadv(fd, [buffer], place) for fd, place in blocks[first::threads])

    begin = perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        nbytes = sum(pool.map(work, range(threads)))
    return {"seconds": perf_counter() - begin, "bytes": nbytes, "threads": threads}


JOBS = {"audit": audit, "memory": memory, "read-one": read_one, "read-all": read_all, "usual": usual}


def main() -> None:
    """Run one job and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    figures = JOBS[options.job](options.path)
    print()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
