"""WA310: weights that break the constraint that the model's own configuration declares for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import NonFinite
from weightaudit.tensor import Declared
from weightaudit_rules._declared import Demand, demand_of, half_sum_error, is_known, shown
from weightaudit_rules._initial import start_of
from weightaudit_rules._norms import NormRule
from weightaudit_rules._training import STATE_NEEDS, Training, state_of, training_needs, training_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from weightaudit.projections import Projection
    from weightaudit.rule import Measured
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo
    from weightaudit_rules._selection import SelectiveRule

_NON_FINITE = NonFinite()


def _kernel(norm: float) -> NDArray[np.float32]:
    """Return a Dense kernel whose columns have one norm."""
    kernel = np.random.default_rng(1).uniform(-1, 1, (64, 32))
    kernel *= norm / np.linalg.norm(kernel, axis=0)
    return kernel.astype(np.float32)


def _fresh() -> NDArray[np.float32]:
    """Return a kernel as its initializer gives it."""
    bound = (6 / (64 + 32)) ** 0.5
    return np.random.default_rng(1).uniform(-bound, bound, (64, 32)).astype(np.float32)


def _declares(name: str, **config: Any) -> dict[str, Any]:
    return {"constraint": Declared(name, config), "initializer": Declared("GlorotUniform"), "trainable": True}


@dataclass(frozen=True)
class DeclaredConstraint(Rule):
    """Weights break the constraint that the model's own configuration declares for them.

    Why it matters: whoever reads the configuration relies on the bound (Lipschitz bounds, cosines,
    monotone models), and it does not hold. Keras constrains a variable only after an optimizer's step:
    not when it is created, loaded, frozen, averaged or quantized, not if the constraint was set after the
    layer was built (keras#10226), and in one release never (keras#18883).

    What is normal: with n the Euclidean norm over `axis`, MaxNorm demands n <= max_value, MinMaxNorm
    min_value <= n <= max_value, UnitNorm n = 1, NonNeg w >= 0 (-0.0 is not below). Keras divides by n + 1e-7
    in the variable's precision. Its results were measured, for groups of 8 to 25,088 weights drawn with
    deviations of 0.02 to 1, on TensorFlow's CPU: they miss a norm by up to 2.6e-6 in float32, 8.5e-3 in
    bfloat16, and 1.6e-3 in float16 up to 256 weights. Tolerated is a relative 1e-5 plus twice the storage
    type's epsilon (1.02e-5, 1.6e-2, 2e-3), two quantization steps for int8 and int4, and 1e-7 below a lower
    bound; NonNeg has none.

    It is an error where training should have enforced it: the checkpoint's step counter is above zero and
    the layer is trainable. Without a counter, it is one where the tensor cannot be what its initializer gave
    (the comparison of WA501), or where a bias, offset or scale of its layer has left its initial value, or,
    if the layer has none of these, one of another layer. It is a note where nothing was trained yet: nothing
    has moved, and the counter is zero, or weights are as initialized. It is a warning in a frozen layer;
    where the counter is zero though weights have moved; where nothing shows that the layer was trained; where
    all offending groups are zero, which Keras leaves at zero; with an optimizer that averages weights
    (``use_ema``), which Keras does before it constrains them; and in float16, if Keras' own sums explain the
    miss: they lose up to 1.5e-5 of a norm per weight of the group. Averages that are only short of a lower
    bound, and a MinMaxNorm with a rate below 1, which only moves towards its bounds, are notes. So are
    constraints that cannot be checked: custom classes, and RadialConstraint. A constraint whose arguments
    make no sense, or whose axes the tensor lacks, is a warning. Tensors with NaN or Inf are left to WA101 and
    WA102.

    Known false positives: groups that were nearly zero just before the last step, which end up
    1e-7 / n short; ``keras.config.set_epsilon`` with more than 1e-5; a head without a bias that was put onto
    a trained model and saved before it was trained itself, which gives an error instead of a warning.

    How to mend: `weightaudit repair` projects onto exactly the declared set, and changes groups that offend
    only; a group of zeros has no direction and must be trained again. Set constraints before the
    layer is built.
    """

    code = "WA310"
    name = "declared-constraint"
    severity = Severity.ERROR
    examples = (
        Example(
            title="columns of norm 1 under UnitNorm",
            values=lambda: _kernel(1),
            severity=None,
            info=_declares("UnitNorm", axis=0),
        ),
        Example(title="columns of norm 9 without a constraint", values=lambda: _kernel(9), severity=None),
        Example(
            title="columns of norm 9 under MaxNorm(2)",
            values=lambda: _kernel(9),
            severity=Severity.ERROR,
            info=_declares("MaxNorm", max_value=2, axis=0),
        ),
        Example(
            title="columns of norm 9 in a frozen layer",
            values=lambda: _kernel(9),
            severity=Severity.WARNING,
            info={**_declares("MaxNorm", max_value=2, axis=0), "trainable": False},
        ),
        Example(
            title="as initialized, with negative values under NonNeg",
            values=_fresh,
            severity=Severity.NOTE,
            info=_declares("NonNeg"),
        ),
        Example(
            title="an axis that the kernel does not have",
            values=lambda: _kernel(1),
            severity=Severity.WARNING,
            info=_declares("UnitNorm", axis=[0, 1, 2]),
        ),
        Example(
            title="a class that Keras does not define",
            values=lambda: _kernel(1),
            severity=Severity.NOTE,
            info={"constraint": Declared("my_package>Symmetric", builtin=False)},
        ),
    )

    def applies(self, info: TensorInfo) -> bool:
        return False

    def goes_by_kind(self) -> bool:
        return True

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        declared = [info for info in model.tensors if info.constraint]
        if not declared:
            return {}
        wanted = dict(training_needs(model))
        for info in declared:
            wanted[info.name] = (*wanted.get(info.name, ()), *_needs(info))
        return wanted

    def check_model(self, model: Measured) -> Iterator[Finding]:
        declared = [(info, info.constraint) for info in model.tensors if info.constraint]
        if not declared:
            return
        training = training_of(model)
        unknown: dict[str, Finding] = {}
        for info, constraint in declared:
            if not is_known(constraint):
                unknown.setdefault(info.layer, self._unknown(info, constraint))
            stats = model.stats.get(info.name)
            # A policy may have left out this rule for some tensors, which are then not measured for it.
            if stats is not None and _is_judged(info) and all(what in stats for what in _needs(info)):
                yield from self._judged(info, constraint, stats, training)
        yield from unknown.values()

    def _judged(
        self, info: TensorInfo, constraint: Declared, stats: Stats, training: Training
    ) -> Iterator[Finding]:
        try:
            demand = demand_of(info, constraint)
        except ValueError as error:
            message = f"{shown(constraint)} is declared, but {error}, so it was not judged."
            yield self.finding(info, message, Severity.WARNING)
            return
        if stats[_NON_FINITE].total:
            return
        for found in demand.judge.check(info, stats):
            severity, reason = _verdict(info, stats, demand, training, found)
            broken = found.message[:1].lower() + found.message[1:].rstrip(".")
            yield replace(
                found,
                code=self.code,
                severity=severity,
                message=f"{shown(constraint)} is declared, but {broken}; {reason}.",
                values={**found.values, "steps": training.steps},
            )

    def _unknown(self, info: TensorInfo, constraint: Declared) -> Finding:
        what = "no rule knows how" if constraint.builtin else "its class is not one of Keras"
        message = f"{shown(constraint)} is declared and cannot be checked: {what}."
        return self.finding(info, message, Severity.NOTE)

    def projection(self, info: TensorInfo) -> Projection | None:
        demand = _demand(info)
        return demand.exact.projection(info) if demand else None


def _needs(info: TensorInfo) -> tuple[Statistic[Any], ...]:
    demand = _demand(info)
    return (_NON_FINITE, *STATE_NEEDS, *demand.judge.needs(info)) if demand else ()


def _is_judged(info: TensorInfo) -> bool:
    declared = info.constraint
    return declared is not None and is_known(declared) and info.is_floating and info.size > 0


def _demand(info: TensorInfo) -> Demand | None:
    """Return what is demanded of a tensor, None if that makes no sense or cannot be judged."""
    if info.constraint is None or not _is_judged(info):
        return None
    try:
        return demand_of(info, info.constraint)
    except ValueError:
        return None


def _verdict(
    info: TensorInfo, stats: Stats, demand: Demand, training: Training, found: Finding
) -> tuple[Severity, str]:
    """Return how bad it is that a tensor breaks its constraint, and why, as the end of a sentence."""
    state = state_of(info, stats, start_of(info))
    if training.never_began(state):
        return Severity.NOTE, "nothing was trained yet, so it was never enforced"
    if demand.rate < 1:
        return Severity.NOTE, f"a rate of {numeral(demand.rate, 6)} only moves towards the bounds"
    zeros, is_short = _short(info, stats, demand.judge)
    if is_short and zeros == found.values["count"]:
        return Severity.WARNING, "those are zero, which Keras leaves at zero and no projection mends"
    if info.trainable is False:
        return Severity.WARNING, "it is frozen, so no step has enforced it"
    if training.steps == 0:
        return Severity.WARNING, "the optimizer has taken no step, so it was never enforced"
    if training.averaged:
        # Averages of vectors on a sphere lie inside of it; anything else is the doing of Keras' order.
        severity = Severity.NOTE if is_short else Severity.WARNING
        return severity, "the optimizer averages weights, which Keras does before it constrains them"
    if _is_rounding(info, stats, demand.judge):
        return Severity.WARNING, "Keras adds up squares in float16, which explains it"
    if training.steps:
        return Severity.ERROR, f"training should have enforced it (steps taken: {training.steps})"
    if training.reached(info, state):
        return (
            Severity.ERROR,
            "training should have enforced it (no step counter, but weights are not as initialized)",
        )
    return Severity.WARNING, "nothing shows that the layer was trained, so it may never have been enforced"


def _short(info: TensorInfo, stats: Stats, rule: SelectiveRule) -> tuple[int, bool]:
    """Return how many groups are zero, and whether no group is above the upper bound, as far as norms go."""
    if not isinstance(rule, NormRule):
        return 0, False
    norms = np.concatenate([np.ravel(stats[what]) for what in rule.needs(info)])
    above = norms > rule.bounds[1] * (1 + (rule.tolerance or 0.0))
    return int((norms == 0).sum()), not above.any()


def _is_rounding(info: TensorInfo, stats: Stats, rule: SelectiveRule) -> bool:
    """Say whether norms miss their bounds by no more than what float16 does to sums of many squares."""
    if info.dtype != "float16" or not isinstance(rule, NormRule):
        return False
    return not any(replace(rule, tolerance=half_sum_error(info, rule)).check(info, stats))
