"""What finding more flipped bits would cost: ``python -m benchmarks.detection.frontier``.

A flipped exponent bit leaves the fraction of a weight as it was, so that only its magnitude can give it away,
by standing out of the others of its tensor. This draws flips as the benchmark does, measures by how much the
largest weight stands out, in hurt tensors and in healthy models, and tells for each share of flips that would
be found how many healthy models have a weight that stands out as far. No rule of weightaudit is asked.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.detection.damage import flip
from benchmarks.detection.models import Model, corpus, corpus_folder, is_held_out, own
from benchmarks.detection.weights import Weights, load
from benchmarks.table import markdown

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = (0.95, 0.9, 0.85, 0.8)
_SPACINGS = 32
"""Of so many of the next largest magnitudes the spacing is averaged, or of a quarter of a smaller tensor."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection.frontier", description=__doc__)
    parser.add_argument("--held-out", action="store_true", help="the models on which no bound was chosen")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flips", type=int, default=480, metavar="N", help="flips that are drawn [480]")
    parser.add_argument("--dir", type=Path, metavar="FOLDER", help="where models are trained, or found again")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="weightaudit-frontier-") as folder:
        place = corpus_folder()
        real = [one for one in corpus(place) if is_held_out(one) == options.held_out] if place else []
        trained = own(options.dir or Path(folder), options.seed, held_out=options.held_out)
        models = [(one, load(one)) for one in (*real, *trained)]
    hurt = [*_of_flips(models, options.flips, np.random.default_rng(options.seed))]
    healthy = [max(map(standing_out, _tensors(weights)), default=0.0) for _, weights in models]
    print(frontier(hurt, healthy))
    return 0


def standing_out(values: NDArray[Any]) -> float:
    """Return by how many usual spacings the largest magnitude of a tensor lies above the second largest.

    The largest of a sample with an exponential or Pareto tail have independent, exponentially distributed
    logarithmic spacings, k times the k-th of one mean (Rényi 1953), so that this is 1 on average.

    Args:
        values: The tensor, of any shape and floating point type.

    Returns:
        0.0 where there are fewer than 8 values or the next largest are equal, inf if one is not finite.
    """
    magnitudes = np.abs(values.reshape(-1).astype(np.float64))
    if not np.isfinite(magnitudes).all():
        return inf
    if magnitudes.size < 8:
        return 0.0
    count = min(_SPACINGS, magnitudes.size // 4)
    largest = np.sort(np.partition(magnitudes, -count - 2)[-count - 2 :])[::-1]
    if not largest[1] > largest[-1] > 0:
        return 0.0
    spacings = -np.diff(np.log(largest)) * np.arange(1, count + 2)
    return float(spacings[0] / spacings[1:].mean())


def _tensors(weights: Weights) -> Iterator[NDArray[Any]]:
    return (weights.arrays[name] for name in weights.parameters(least=8))


def _of_flips(
    models: Sequence[tuple[Model, Weights]], count: int, random: np.random.Generator
) -> Iterator[float]:
    """Flip one bit after the other, each beyond the range of its layer, and measure the tensors with them."""
    trained = [weights for model, weights in models if model.origin != "fresh"]
    for weights in islice(cycle(trained), count):
        harm = flip(weights, random, low=1.0, of_layer=True)
        yield from map(standing_out, harm.changes.values() if harm else ())


def frontier(hurt: Sequence[float], healthy: Sequence[float]) -> str:
    """Return the table: for each share of flips to be found, the bound and the healthy models beyond it."""
    rows = [
        (f"{share:.0%}", f"{bound:.2f}", f"{sum(one >= bound for one in healthy)} of {len(healthy)}")
        for share in SHARES
        for bound in [float(np.quantile(hurt, 1 - share))]
    ]
    return markdown(("flips found", "spacings at least", "healthy models accused"), rows)


if __name__ == "__main__":
    sys.exit(main())
