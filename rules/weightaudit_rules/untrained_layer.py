"""WA501: layers that still hold what their initializers gave them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit.tensor import MATRIX_ROLES, Declared, Role
from weightaudit_rules._initial import Start, start_of
from weightaudit_rules._median import median
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight
from weightaudit_rules._training import (
    MANY_STEPS,
    STATE_NEEDS,
    State,
    excess_of,
    resolution_of,
    state_of,
    steps_taken,
    tells_steps,
)
from weightaudit_rules._words import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic
    from weightaudit.tensor import TensorInfo

    _Array = Callable[[], NDArray[Any]]

_SHIFTS = frozenset({Role.BIAS, Role.NORM_SCALE, Role.NORM_OFFSET, Role.ACTIVATION_SLOPE})
_CLEARLY = 100.0
"""By how many times the resolution of a kernel others must have moved before it alone accuses its layer."""


def _glorot(seed: int) -> NDArray[np.float32]:
    bound = (6 / (64 + 32)) ** 0.5
    return np.random.default_rng(seed).uniform(-bound, bound, (64, 32)).astype(np.float32)


def _trained(seed: int) -> NDArray[np.float32]:
    kernel = _glorot(seed)
    return kernel + np.random.default_rng(seed).normal(0, 0.02, kernel.shape).astype(np.float32)


def _zeros() -> NDArray[np.float32]:
    return np.zeros(32, np.float32)


def _moved() -> NDArray[np.float32]:
    return np.random.default_rng(4).normal(0, 0.01, 32).astype(np.float32)


_KERNEL: dict[str, Any] = {"trainable": True, "initializer": Declared("GlorotUniform")}
_BIAS: dict[str, Any] = {"trainable": True, "initializer": Declared("Zeros"), "role": "bias"}


def _second(kernel: _Array, bias: _Array) -> tuple[Example, ...]:
    """Return kernel and bias of a layer called second, to stand beside an example."""
    return (
        _part("second/kernel", kernel, _KERNEL | {"layer": "second"}),
        _part("second/bias", bias, _BIAS | {"layer": "second"}),
    )


def _part(name: str, values: _Array, info: dict[str, Any]) -> Example:
    return Example(title=name, values=values, severity=None, info=info | {"name": name})


class _Layer:
    """The tensors of one layer that training changes.

    Attributes:
        vectors: Biases, scales, offsets and slopes, which nearly always begin as a constant.
        matrices: Kernels and embeddings.
    """

    def __init__(self) -> None:
        self.vectors: list[TensorInfo] = []
        self.matrices: list[TensorInfo] = []

    def add(self, info: TensorInfo) -> None:
        """Take in a tensor of the layer."""
        (self.matrices if info.role in MATRIX_ROLES else self.vectors).append(info)

    def state(self, model: Measured) -> State:
        """Say whether the layer moved. Vectors are asked first, since their answer nearly always suffices."""
        unclear = False
        for info in (*self.vectors, *self.matrices):
            state = state_of(info, model.stats.get(info.name), start_of(info))
            if state is State.MOVED:
                return state
            unclear |= state is State.UNCLEAR
        return State.UNCLEAR if unclear or not self.drawn else State.INITIAL

    @cached_property
    def starts(self) -> list[tuple[TensorInfo, Start]]:
        """How its tensors began, as far as that is known; kernels and embeddings first."""
        known = ((info, start_of(info)) for info in (*self.matrices, *self.vectors))
        return [(info, start) for info, start in known if start is not None]

    @cached_property
    def drawn(self) -> list[tuple[TensorInfo, Start]]:
        """Those that were drawn at random."""
        return [(info, start) for info, start in self.starts if start.is_random]

    @cached_property
    def fixed(self) -> list[tuple[TensorInfo, Start]]:
        """Those that began as a constant."""
        return [(info, start) for info, start in self.starts if not start.is_random]

    @property
    def size(self) -> int:
        """Number of elements that were drawn."""
        return sum(info.size for info, _ in self.drawn)

    @property
    def is_declared(self) -> bool:
        """Whether the model says how all of it began."""
        return all(start.is_declared for _, start in self.starts)

    @property
    def is_sharp(self) -> bool:
        """Whether a small change of what was drawn would show."""
        return all(start.is_sharp for _, start in self.drawn)


@dataclass(frozen=True)
class UntrainedLayer(Rule):
    """A layer still holds what its initializers gave it, while the rest of the model was trained.

    Why it matters: its outputs are noise. The layer was made anew after training, its weights did not load
    (a renamed layer, ``by_name`` or ``skip_mismatch``), or no gradient ever reached it.

    What is normal: after one step of any optimizer, no layer with a bias agrees with its initializers, since
    biases begin as exactly 0 and move.

    Formula: sums and extremes of each kernel are compared with the distribution that the model declares, with
    Keras' own fans (`keras.initializers.compute_fans`). For a uniform one on [-L, L] the largest magnitude is
    at most L, and so near to it that the chance of a wider gap, exp(-n * gap / L), is at least exp(-16); mean
    and mean square lie within 5 standard errors. Truncated normal distributions end at two standard
    deviations; orthogonal matrices have the sum of squares gain**2 * min(rows, columns). All other tensors of
    the layer must be their initial constant bit for bit. A layer that has none is judged only with at least
    `min_alone` values from a bounded distribution, and only if the other such kernels exceed their bounds, in
    the median, by 100 times what would show in it: one step moves a kernel by less than can be seen. Where no
    layer has moved, a single note says that the model is as it was made. Where no initializer is declared
    (weights alone, checkpoints, exported models) Keras' defaults are taken for a guess, which the numbers
    confirm or not: a layer needs `min_alone` values then, and a kernel that disagrees proves nothing.

    Measured: 12 architectures of ``keras.applications`` (Keras 3.15, no weights loaded), a model of 16 layer
    types from Keras 3 and tf_keras in 12 containers and dtypes, and 30 small models before training each get
    one note. After 1, 10 and 300 steps with 17 settings of optimizers, 90 models: nothing, but for one note
    where gradients were still being gathered. Of 58 real models, one gets the note, rightly (its biases are
    all 0), and two of MEGNet get two warnings each, on layers whose biases are exactly 0 as well. In trained
    models each layer in turn was made anew: found were 261 of 261 with a bias and at least `min_size` values,
    and 110 of 115 without a bias and with `min_alone`; the other 5 are in models that training had hardly
    moved. The 54 smaller ones without a bias are not judged: a few hundred values do not show a small change.

    Where WA205 or WA206 say no worse of the same kernel, this finding takes their place.

    Known false positives: a new head before it is trained, if other layers are trained already; random
    projections that are kept on purpose but not declared with ``trainable=False``; layers that the loss does
    not depend on, such as an unused pooler or an auxiliary output. So it is never an error.

    How to mend: load the layer's weights again and look at what the loader skipped, or train the layer;
    declare ``trainable=False`` where it is meant to stay random.

    Attributes:
        min_size: Random values that a layer with a bias must have to be judged.
        min_alone: Random values that a layer without any constant start must have.
    """

    min_size: int = 64
    min_alone: int = 1024

    code = "WA501"
    name = "untrained-layer"
    severity = Severity.WARNING
    supersedes = ("WA205", "WA206")
    examples = (
        Example(
            title="two trained layers",
            values=lambda: _trained(1),
            severity=None,
            info=_KERNEL,
            beside=(_part("layer/bias", _moved, _BIAS), *_second(lambda: _trained(2), _moved)),
        ),
        Example(
            title="a random projection that is declared as not trained",
            values=lambda: _glorot(1),
            severity=None,
            info=_KERNEL | {"trainable": False},
            beside=_second(lambda: _trained(2), _moved),
        ),
        Example(
            title="a bias that stayed 0 beside a kernel that moved",
            values=lambda: _trained(1),
            severity=None,
            info=_KERNEL,
            beside=(_part("layer/bias", _zeros, _BIAS), *_second(lambda: _trained(2), _moved)),
        ),
        Example(
            title="a model that was never trained",
            values=lambda: _glorot(1),
            severity=Severity.NOTE,
            info=_KERNEL,
            beside=(_part("layer/bias", _zeros, _BIAS), *_second(lambda: _glorot(2), _zeros)),
        ),
        Example(
            title="an optimizer that counts 300 steps, and no layer has moved",
            values=lambda: _glorot(1),
            severity=Severity.WARNING,
            info=_KERNEL,
            beside=(
                _part("layer/bias", _zeros, _BIAS),
                _part("optimizer/iteration", lambda: np.array(300), {"role": "counter", "layer": ""}),
            ),
        ),
        Example(
            title="a layer that was made anew beside a trained one",
            values=lambda: _glorot(1),
            severity=Severity.WARNING,
            info=_KERNEL,
            beside=(_part("layer/bias", _zeros, _BIAS), *_second(lambda: _trained(2), _moved)),
        ),
    )

    def __post_init__(self) -> None:
        require(
            16 <= self.min_size <= self.min_alone, "min_size must be at least 16, and not above min_alone"
        )

    def applies(self, info: TensorInfo) -> bool:
        return False

    def goes_by_kind(self) -> bool:
        return True

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        if not self._has_candidates(model):
            return {}
        return {info.name: STATE_NEEDS for info in model.tensors if _is_changed(info) or tells_steps(info)}

    def check_model(self, model: Measured) -> Iterator[Finding]:
        layers = _layers(model) if self._has_candidates(model) else {}
        states = {name: layer.state(model) for name, layer in layers.items()}
        still = [
            name for name, state in states.items() if state is State.INITIAL and self._judges(layers[name])
        ]
        if not still:
            return
        moved = sum(state is State.MOVED for state in states.values())
        if not moved:
            # A few layers do not tell of a model in which most began nobody knows how.
            if 3 * len(still) >= sum(bool(layer.drawn) for layer in layers.values()):
                yield self._fresh(len(still), steps_taken(model))
            return
        still = [name for name in still if layers[name].fixed or _alone(layers, name, model, self.min_alone)]
        yield from self._still(layers, still, moved, steps_taken(model))

    def _has_candidates(self, model: Measured) -> bool:
        """Say whether any layer is large enough to be judged: in models of tiny tensors none is measured."""
        sizes: dict[str, float] = defaultdict(float)
        for info in model.tensors:
            if info.role in MATRIX_ROLES and info.trainable is not False:
                sizes[info.layer] += info.size / (self.min_size if info.initializer else self.min_alone)
        return any(size >= 1 for size in sizes.values())

    def _judges(self, layer: _Layer) -> bool:
        """Say whether enough values were drawn for their agreement to mean something."""
        if layer.fixed:
            return layer.size >= (self.min_size if layer.is_declared else self.min_alone)
        return layer.size >= self.min_alone and layer.is_sharp

    def _fresh(self, layers: int, steps: int | None) -> Finding:
        which = (
            "The one layer that can be judged"
            if layers == 1
            else f"Each of {layers} layers that can be judged"
        )
        what = f"{which} still holds what its initializers give"
        if steps and steps >= MANY_STEPS:
            return self.finding(
                None,
                f"{what}, though the optimizer counts {steps} steps: they were made anew, or never loaded.",
                layers=layers,
                steps=steps,
            )
        return self.finding(
            None,
            f"{what}: the model was never trained, or its weights were not loaded.",
            Severity.NOTE,
            layers=layers,
        )

    def _still(
        self, layers: Mapping[str, _Layer], still: Sequence[str], moved: int, steps: int | None
    ) -> Iterator[Finding]:
        counted = f" after {number(steps, 'step')}" if steps else ""
        if len(still) > moved:
            named = ", ".join(still[:3]) + (", ..." if len(still) > 3 else "")
            yield self.finding(
                None,
                f"{len(still)} layers ({named}) still hold what their initializers give{counted}, while "
                f"{moved} {'has' if moved == 1 else 'have'} moved; most weights were not loaded, or not "
                "trained.",
                layers=len(still),
                moved=moved,
            )
            return
        for name in still:
            layer = layers[name]
            first, _ = layer.drawn[0]
            names = ", ".join(dict.fromkeys(start.name for _, start in layer.starts))
            whose = "its" if layer.is_declared else "Keras' default"
            yield self.finding(
                first,
                f"The layer still holds what {whose} initializers ({names}) give{counted}, while {moved} "
                f"other {'layer has' if moved == 1 else 'layers have'} moved; it was made anew, not loaded, "
                "or never trained.",
                size=layer.size,
                moved=moved,
            )


def _is_changed(info: TensorInfo) -> bool:
    """Say whether training changes a tensor, and changes it from something that may be known."""
    is_part = info.role in MATRIX_ROLES or info.role in _SHIFTS
    return is_part and info.trainable is not False and not info.quantization and is_weight(info)


def _layers(model: Measured) -> dict[str, _Layer]:
    """Return the layers that training changes, by name, with what it changes in them."""
    layers: dict[str, _Layer] = defaultdict(_Layer)
    for info in model.tensors:
        if _is_changed(info):
            layers[info.layer].add(info)
    return layers


def _alone(layers: Mapping[str, _Layer], name: str, model: Measured, least: int) -> bool:
    """Say whether the other layers moved so far that this one's random values would show it alone."""
    others = [
        excess_of(model.stats[info.name], start)
        for other, layer in layers.items()
        if other != name
        for info, start in layer.drawn
        if start.is_sharp and info.size >= least
    ]
    coarsest = max(resolution_of(info, start) for info, start in layers[name].drawn)
    return bool(others) and float(median(others)) >= _CLEARLY * coarsest
