"""WA207: layers that together amplify or damp what passes through them beyond all measure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log2
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit_rules._chains import Chain, chains
from weightaudit_rules._options import require
from weightaudit_rules._peers import KERNELS
from weightaudit_rules._roles import is_weight
from weightaudit_rules._training import MOMENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic
    from weightaudit.tensor import TensorInfo

_NAMED = 3
_NAMES = ("first", "second", "third", "fourth")


def _kernel(scale: float) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 0.125 * scale, (64, 64)).astype(np.float32)


def _example(title: str, severity: Severity | None, *scales: float, between: str = "Activation") -> Example:
    """Return a chain of dense layers with kernels of so many times their initial size."""
    layers: list[dict[str, Any]] = []
    for name in _NAMES[: len(scales)]:
        layers.append({"class_name": "Dense", "config": {"name": name, "activation": "linear"}})
        layers.append({"class_name": between, "config": {"name": f"after_{name}", "activation": "relu"}})

    def kernel(name: str, scale: float) -> Example:
        info = {"name": f"{name}/kernel", "layer": name}
        return Example(title=title, values=lambda: _kernel(scale), severity=severity, info=info)

    first, *others = map(kernel, _NAMES, scales)
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    return replace(first, beside=tuple(others), config=config)


@dataclass(frozen=True)
class CumulativeGain(Rule):
    """Layers that follow each other without a normalization together amplify or damp beyond all measure.

    Why it matters: where nothing normalizes in between, what passes through a chain of layers is
    multiplied by the product of their gains. Ten layers that are four times too large amplify a
    million times, though none of them looks wrong alone; ten that are too small let nothing but
    biases through.

    What is judged: the growth of a kernel is its rms over the rms that its declared initializer gives
    (Keras' default one where none is declared), so that a chain as it was initialized has the product
    1, whatever its activations. Growths of dense and convolutional layers are multiplied along each
    path of the saved configuration, through relu and its kin, pooling, dropout, padding and
    reshaping. A path begins anew behind normalizations, saturating activations, recurrent, attention
    and unknown layers; where branches join, the one that grew most goes on. Without a configuration,
    nothing is judged. At most one path that exploded and one that vanished are reported, with their
    worst layers.

    What is normal: over 13 trained models from many sources that have such paths, products were 0.8 to
    8000; in models trained for this rule 1 to 3. Trained weights hardly ever shrink below their
    initializer, so that the bound for vanishing is nearer.

    Known false positives: inputs that are tiny or huge by design, which the first layer undoes.

    How to mend: find the layers named and compare them with an earlier checkpoint; train with
    normalization, weight decay or an initializer that fits the activation (He for relu).

    Attributes:
        exploding: Product above which a path exploded.
        vanishing: Product below which a path vanished.
    """

    exploding: float = 1e6
    vanishing: float = 1e-3

    code = "WA207"
    name = "cumulative-gain"
    severity = Severity.WARNING
    examples = (
        _example("three layers that doubled", None, 2, 2, 2),
        _example(
            "four layers a hundred times as large with normalizations between",
            None,
            *(100, 100, 100, 100),
            between="BatchNormalization",
        ),
        _example("four layers a hundred times as large", Severity.WARNING, 100, 100, 100, 100),
        _example("four layers a tenth as large", Severity.WARNING, 0.1, 0.1, 0.1, 0.1),
    )

    def __post_init__(self) -> None:
        require(0 < self.vanishing < 1 < self.exploding, "vanishing must be below 1, and exploding above")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info) and info.role in KERNELS

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (MOMENTS,)

    def check_model(self, model: Measured) -> Iterator[Finding]:
        found = [chain for chain in chains(model) if chain.layers > 1]
        if not found:
            return
        most, least = max(found, key=_growth), min(found, key=_growth)
        if most.growth > log2(self.exploding):
            yield self._finding(most, self.exploding)
        if least.growth < log2(self.vanishing):
            yield self._finding(least, self.vanishing)

    def _finding(self, chain: Chain, bound: float) -> Finding:
        exploded = bound > 1
        worst = sorted(chain.members(), key=lambda size: size.growth, reverse=exploded)[:_NAMED]
        named = ", ".join(f"{size.info.layer} (times {numeral(2.0**size.growth)})" for size in worst)
        # The product may be beyond what a float can hold.
        return self.finding(
            worst[0].info,
            f"A path of {chain.layers} layers {'exploded' if exploded else 'vanished'}: its weights are "
            f"10^{chain.growth / log2(10):.1f} times what its initializers give, "
            f"{'above' if exploded else 'below'} {numeral(bound, 6)}; the worst are {named}.",
            log10_growth=chain.growth / log2(10),
            bound=bound,
            layers=chain.layers,
        )


def _growth(chain: Chain) -> float:
    return chain.growth
