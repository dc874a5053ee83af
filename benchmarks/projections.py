"""Projections with numpy and with TensorFlow: ``python -m benchmarks --projections``.

Every measurement is a process of its own: ``python -m benchmarks.projections ENGINE WORK PROJECTION``.
The last line of its output is a JSON object of times in seconds, imports left out.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.table import markdown
from benchmarks.timing import run_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from weightaudit.projections import Projection

Shape = tuple[int, ...]

_STAGES = ((64, 256, 3), (128, 512, 4), (256, 1024, 6), (512, 2048, 3))
"""Inner width, outer width and number of blocks of each stage of ResNet50 (He et al. 2015)."""


def _resnet() -> Iterator[Shape]:
    before = 64
    yield 7, 7, 3, before
    for inner, outer, count in _STAGES:
        yield 1, 1, before, outer
        for _ in range(count):
            yield 1, 1, before, inner
            yield 3, 3, inner, inner
            yield 1, 1, inner, outer
            before = outer
    yield before, 1000


WORK: Mapping[str, tuple[Shape, ...]] = {
    "small": ((64, 64),) * 2000,
    "resnet": tuple(_resnet()),
    "large": ((4096, 4096),) * 2,
    "tiny": ((16, 16),) * 8,
}
"""Shapes of the float32 kernels that are projected, by name; ``tiny`` is there to see that it works."""

LABELS = {
    "small": "2000 of 64 x 64",
    "resnet": "54 of ResNet50",
    "large": "2 of 4096 x 4096",
    "tiny": "8 of 16 x 16",
}

PROJECTIONS = ("max_norm", "l1_ball", "spectral_norm", "prune", "prune 2:4")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Times in seconds of one projection of some kernels, one per round.

    Attributes:
        numpy: The numpy engine.
        first: The TensorFlow engine's first call for these shapes: tracing and compilation included.
        again: Its next call, as when the plan is carried out.
        alone: TensorFlow without numpy's check of every result.
        start: What it takes to import TensorFlow and to make a projector.
    """

    numpy: tuple[float, ...]
    first: tuple[float, ...]
    again: tuple[float, ...]
    alone: tuple[float, ...]
    start: tuple[float, ...]

    def ratio(self, name: str) -> float:
        """Return the median over the rounds of numpy's time by another of the same round."""
        others: tuple[float, ...] = getattr(self, name)
        return median(one / two for one, two in zip(self.numpy, others, strict=True))


def compare(
    work: Sequence[str], rounds: int, say: Callable[[str], None]
) -> dict[tuple[str, str], Comparison]:
    """Measure all projections, numpy and TensorFlow in turn, and tell which is measured.

    Raises:
        CommandError: A measurement failed.
    """
    results: dict[tuple[str, str], Comparison] = {}
    for one in work:
        for name in PROJECTIONS:
            say(f"{LABELS[one]}: {name}")
            results[one, name] = _compared(one, name, rounds)
    return results


def comparison_table(results: Mapping[tuple[str, str], Comparison]) -> str:
    """Return the table of both engines, and what starting TensorFlow takes."""
    header = (
        *("kernels", "projection", "numpy, s", "TensorFlow at first, s", "again, s", "unchecked, s"),
        *("numpy / first", "numpy / again", "numpy / unchecked"),
    )
    rows = [
        (
            LABELS[work],
            f"`{name}`",
            *(f"{median(times):.3f}" for times in (one.numpy, one.first, one.again, one.alone)),
            *(f"{one.ratio(times):.2f}" for times in ("first", "again", "alone")),
        )
        for (work, name), one in results.items()
    ]
    start = median(time for one in results.values() for time in one.start)
    return f"{markdown(header, rows)}\n\nImporting TensorFlow, once in a process, takes {start:.1f} s more."


def _compared(work: str, name: str, rounds: int) -> Comparison:
    own, other = [], []
    for _ in range(rounds):
        own.append(_measured("numpy", work, name))
        other.append(_measured("tensorflow", work, name))
    return Comparison(
        tuple(one["again"] for one in own),
        *(tuple(one[times] for one in other) for times in ("first", "again", "alone", "start")),
    )


def _measured(engine: str, work: str, name: str) -> dict[str, float]:
    run = run_python("-m", "benchmarks.projections", engine, work, name)
    figures: dict[str, float] = json.loads(run.output.splitlines()[-1])
    return figures


def _projection(name: str, shape: Shape) -> Projection:
    """Return a projection that about half of the groups of a random kernel do not comply with."""
    from weightaudit.projections import L1Ball, MaxNorm, Prune, SpectralNorm

    inputs = tuple(range(len(shape) - 1))
    return {
        "max_norm": MaxNorm(1.0, inputs),
        "l1_ball": L1Ball(0.5, inputs),
        "spectral_norm": SpectralNorm(1.0),
        "prune": Prune(0.5),
        "prune 2:4": Prune(n_of_m="2:4"),
    }[name]


def _kernels(work: str) -> Iterator[tuple[Shape, list[NDArray[Any]]]]:
    """Yield the kernels of each shape, scaled as Keras initializes them."""
    import numpy as np

    generator = np.random.default_rng(0)
    for shape, same in groupby(sorted(WORK[work])):
        scale = np.float32(np.prod(shape[:-1]) ** -0.5)
        yield shape, [generator.standard_normal(shape, dtype=np.float32) * scale for _ in same]


def _time(engine_name: str, work: str, name: str) -> dict[str, float]:
    from weightaudit.repair.projectors import projector_of

    begin = perf_counter()
    projector = projector_of(engine_name)
    start, groups = perf_counter() - begin, list(_kernels(work))

    def run() -> float:
        before = perf_counter()
        for shape, blocks in groups:
            projector.project(_projection(name, shape), blocks, "float32")
        return perf_counter() - before

    times = {"start": start, "first": run(), "again": run()}
    return times if engine_name == "numpy" else {**times, "alone": _time_alone(groups, name)}


def _time_alone(groups: Sequence[tuple[Shape, list[NDArray[Any]]]], name: str) -> float:
    import numpy as np

    from weightaudit.projections.tensorflow import project_stack

    def run() -> float:
        begin = perf_counter()
        for shape, blocks in groups:
            project_stack(_projection(name, shape), np.stack(blocks)).numpy()
        return perf_counter() - begin

    # The engine cuts what does not fit into its memory, so whole stacks have not been compiled yet.
    run()
    return run()


def main() -> None:
    """Measure one engine and print its times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.projections", description=__doc__)
    parser.add_argument("engine", choices=("numpy", "tensorflow"))
    parser.add_argument("work", choices=WORK)
    parser.add_argument("projection", choices=PROJECTIONS)
    options = parser.parse_args()
    figures = _time(options.engine, options.work, options.projection)
    print()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
