"""Statistics with numpy and with TensorFlow: ``python -m benchmarks --statistics``.

Every measurement is a process of its own: ``python -m benchmarks.statistics ENGINE WORK``. The last line
of its output is a JSON object of times in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.projections import WORK as KERNELS
from benchmarks.table import markdown
from benchmarks.timing import run_python

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from weightaudit.engine.scanning import Subject
    from weightaudit.source import Files
    from weightaudit.statistics import Statistic
    from weightaudit.tensor import TensorInfo

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What is measured.

    Attributes:
        label: What a reader calls it.
        shapes: Shapes of the float32 tensors; those of one axis are biases, all others kernels.
        is_spectral: Whether spectral norms are measured, or what the default rules need.
    """

    label: str
    shapes: tuple[Shape, ...]
    is_spectral: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return 4 * sum(map(prod, self.shapes))


_SMALL = tuple(shape for width in range(8, 108) for shape in ((width, 16), (width,), (3, width)))

WORK: Mapping[str, Work] = {
    "one": Work("one kernel of 256 MB", ((8192, 8192),)),
    "resnet": Work(
        "ResNet50", (*KERNELS["resnet"], *((shape[-1],) for shape in KERNELS["resnet"] for _ in range(4)))
    ),
    "many": Work("20,000 small tensors", (_SMALL * 67)[:20_000]),
    "tiny": Work("8 of 16 x 16", ((16, 16),) * 8),
    "spectral-small": Work("2000 of 64 x 64", ((64, 64),) * 2000, is_spectral=True),
    "spectral-resnet": Work("54 of ResNet50", KERNELS["resnet"], is_spectral=True),
    "spectral-large": Work("4 of 2048 x 2048", ((2048, 2048),) * 4, is_spectral=True),
    "spectral-huge": Work("4 of 4096 x 4096", ((4096, 4096),) * 4, is_spectral=True),
    "spectral-tiny": Work("8 of 16 x 16", ((16, 16),) * 8, is_spectral=True),
}
"""Tensors and statistics, by name; those that end with ``tiny`` are there to see that it works."""

PLAIN, SPECTRAL = ("one", "resnet", "many"), ("spectral-small", "spectral-resnet", "spectral-large")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Times in seconds of one work, one per round; `svd` is empty where no spectral norms are measured.

    Attributes:
        numpy: numpy's engine.
        first: TensorFlow's engine for the first time: tracing included, importing not.
        again: The same for the second time.
        start: What it takes to import TensorFlow.
        svd: All singular values by numpy, of as many kernels at a time as there are cores.
    """

    numpy: tuple[float, ...]
    first: tuple[float, ...]
    again: tuple[float, ...]
    start: tuple[float, ...]
    svd: tuple[float, ...] = ()

    def ratio(self, name: str, other: str) -> float:
        """Return the median over the rounds of one time by another of the same round."""
        times: tuple[float, ...] = getattr(self, name)
        others: tuple[float, ...] = getattr(self, other)
        return median(one / two for one, two in zip(times, others, strict=True))


def compare(work: Sequence[str], rounds: int, say: Callable[[str], None]) -> dict[str, Comparison]:
    """Measure all work, engines in turn, and tell which is measured.

    Raises:
        CommandError: A measurement failed.
    """
    results: dict[str, Comparison] = {}
    for name in work:
        say(WORK[name].label)
        engines = ("numpy", "tensorflow", *(("svd",) if WORK[name].is_spectral else ()))
        runs = [{engine: _measured(engine, name) for engine in engines} for _ in range(rounds)]
        results[name] = Comparison(
            tuple(run["numpy"]["again"] for run in runs),
            tuple(run["tensorflow"]["first"] for run in runs),
            tuple(run["tensorflow"]["again"] for run in runs),
            tuple(run["tensorflow"]["start"] for run in runs),
            tuple(run["svd"]["again"] for run in runs if "svd" in run),
        )
    return results


def statistics_tables(results: Mapping[str, Comparison]) -> str:
    """Return the table of plain statistics, that of spectral norms, and what starting TensorFlow takes."""
    plain = {name: one for name, one in results.items() if not one.svd}
    spectral = {name: one for name, one in results.items() if one.svd}
    start = median(time for one in results.values() for time in one.start)
    return "\n\n".join(
        [
            _plain_table(plain),
            _spectral_table(spectral),
            f"Importing TensorFlow, once in a process, takes {start:.1f} s more.",
        ]
    )


def _plain_table(results: Mapping[str, Comparison]) -> str:
    header = (
        *("default statistics", "MB", "numpy, s", "TensorFlow at first, s", "again, s", "numpy, GB/s"),
        *("TensorFlow, GB/s", "numpy / first", "numpy / again"),
    )
    rows = [
        (
            WORK[name].label,
            f"{WORK[name].nbytes / 1e6:.0f}",
            *(f"{median(times):.3f}" for times in (one.numpy, one.first, one.again)),
            *(f"{WORK[name].nbytes / median(times) / 1e9:.2f}" for times in (one.numpy, one.again)),
            *(f"{one.ratio('numpy', times):.3f}" for times in ("first", "again")),
        )
        for name, one in results.items()
    ]
    return markdown(header, rows)


def _spectral_table(results: Mapping[str, Comparison]) -> str:
    header = (
        *("spectral norms", "SVD, s", "numpy, s", "TensorFlow at first, s", "again, s"),
        *("SVD / numpy", "SVD / again", "numpy / again"),
    )
    rows = [
        (
            WORK[name].label,
            *(f"{median(times):.3f}" for times in (one.svd, one.numpy, one.first, one.again)),
            f"{one.ratio('svd', 'numpy'):.2f}",
            f"{one.ratio('svd', 'again'):.2f}",
            f"{one.ratio('numpy', 'again'):.2f}",
        )
        for name, one in results.items()
    ]
    return markdown(header, rows)


def _measured(engine: str, work: str) -> dict[str, float]:
    run = run_python("-m", "benchmarks.statistics", engine, work)
    figures: dict[str, float] = json.loads(run.output.splitlines()[-1])
    return figures


def _write(work: Work, path: Path) -> list[Subject]:
    """Write tensors one after the other, scaled as Keras initializes them, and say what is wanted of them."""
    import numpy as np

    from weightaudit.catalog import Entry, Extent
    from weightaudit.engine.decoding import PlainDecoder
    from weightaudit.engine.scanning import Subject

    infos = [_described(f"t{number}", shape) for number, shape in enumerate(work.shapes)]
    wanted = _wanted(work, infos)
    generator = np.random.default_rng(0)
    subjects: list[Subject] = []
    with path.open("wb") as file:
        for info in infos:
            scale = np.float32(prod(info.shape[:-1]) ** -0.5)
            values = generator.standard_normal(info.shape, dtype=np.float32) * scale
            entry = Entry(info.key, info.shape, "float32", Extent(0, file.tell(), values.nbytes))
            file.write(values.data)
            subjects.append(Subject(info, entry, PlainDecoder(info, entry), wanted[info.name]))
    return subjects


def _described(name: str, shape: Shape) -> TensorInfo:
    from weightaudit.tensor import Evidence, Role, TensorInfo

    is_kernel = len(shape) > 1
    return TensorInfo(
        name=name,
        key=name,
        shape=shape,
        dtype="float32",
        role=Role.KERNEL if is_kernel else Role.BIAS,
        evidence=Evidence.CONFIG,
        layer_class="Dense",
        fan_in=prod(shape[:-1]) if is_kernel else None,
        output_axes=(len(shape) - 1,) if is_kernel else (),
    )


def _wanted(work: Work, infos: Sequence[TensorInfo]) -> dict[str, tuple[Statistic[Any], ...]]:
    """Return the statistics that are measured of each tensor, by its name."""
    from weightaudit.judging import duties
    from weightaudit.policy import Policy
    from weightaudit.registry import configure, load_registry
    from weightaudit.statistics import SpectralNorm

    if work.is_spectral:
        return {info.name: (SpectralNorm(),) for info in infos}
    rules = configure(load_registry(()), Policy())
    return {name: duty.statistics for name, duty in duties(rules, infos).items()}


def _time(engine: str, work: Work) -> dict[str, float]:
    from weightaudit.engine.choice import Engine
    from weightaudit.source import Files

    with TemporaryDirectory() as folder, Files(Path(folder)) as files:
        subjects = _write(work, Path(folder, "data"))
        files.open("data")
        if engine == "svd":
            return {"again": _time_svd(files, subjects)}
        begin = perf_counter()
        _, measure = Engine("tensorflow" if engine == "tensorflow" else "numpy").chosen(subjects)
        times = {"start": perf_counter() - begin}
        for name in ("first", "again"):
            begin = perf_counter()
            measured = measure(files, subjects)
            times[name] = perf_counter() - begin
            if len(measured.stats) != len(subjects):
                raise RuntimeError("not every tensor was measured")
    return times


def _time_svd(files: Files, subjects: Sequence[Subject]) -> float:
    import numpy as np

    from weightaudit.engine.reading import read_pieces
    from weightaudit.engine.threads import available_cpus

    def measure(subject: Subject) -> float:
        pieces = [piece for _, piece in read_pieces(files, subject.entry, 0, subject.info.size)]
        kernel = np.concatenate(pieces).view(np.float32).reshape(-1, subject.info.shape[-1])
        return float(np.linalg.svd(kernel, compute_uv=False)[0])

    begin = perf_counter()
    with ThreadPoolExecutor(available_cpus()) as pool:
        list(pool.map(measure, subjects))
    return perf_counter() - begin


def main() -> None:
    """Measure one engine and print its times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics", description=__doc__)
    parser.add_argument("engine", choices=("numpy", "tensorflow", "svd"))
    parser.add_argument("work", choices=WORK)
    options = parser.parse_args()
    if options.engine != "tensorflow":
        # As the command line does: threads of the engine and of linear algebra would wait for each other.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    figures = _time(options.engine, WORK[options.work])
    print()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
