"""WA510: an optimizer's state that contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit.tensor import Role
from weightaudit_rules._median import median
from weightaudit_rules._options import require
from weightaudit_rules._slot_laws import Breach, breaches
from weightaudit_rules._slots import Quotient, Slot, excesses, quotients, slots_of
from weightaudit_rules._training import EXTREMES, MANY_STEPS, STATE_NEEDS, counters
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic
    from weightaudit.tensor import TensorInfo

_JUDGED = frozenset({Role.OPTIMIZER_SLOT, Role.COUNTER, Role.HYPERPARAMETER})
_RATES = frozenset({"learning_rate", "lr"})
_SCALES = frozenset({"dynamic_scale", "current_loss_scale", "loss_scale"})
_LARGEST_SCALE = 2.0**40
"""Gradients that still fit float16 when scaled by so much are smaller than its smallest number."""


def _first() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, 1e-3, (64, 32)).astype(np.float32)


def _second() -> NDArray[np.float32]:
    return np.random.default_rng(2).exponential(1e-5, (64, 32)).astype(np.float32)


def _zeros() -> NDArray[np.float32]:
    return np.zeros((64, 32), np.float32)


def _part(name: str, values: Callable[[], NDArray[Any]], role: str = "optimizer_slot") -> Example:
    return Example(title=name, values=values, severity=None, info=_info(name, role))


def _info(name: str, role: str = "optimizer_slot") -> dict[str, Any]:
    return {
        "name": f"optimizer/{name}",
        "key": f"optimizer/{name}",
        "role": role,
        "layer": "",
        "layer_class": "",
    }


def _steps(count: int) -> Example:
    return _part("iteration", lambda: np.array(count), "counter")


_VELOCITY = _part("dense/kernel/velocity", _second)
_ON = {"enabled": True}


@dataclass(frozen=True)
class OptimizerState(Rule):
    """The saved state of an optimizer contradicts itself.

    Why it matters: training that goes on from such a state takes steps that are far too large or too small,
    or begins anew without a word. Inference never reads it, so the rule is silent unless it is enabled, and
    its findings are warnings at most.

    What is normal: Adam's two moments are averages of gradients and of their squares, so each squared first
    moment is at most 1 / (1 - beta_2) times the second: below 1e4 whatever the betas and however they change
    (for 0.9 and 0.999 at most 52.9, by Cauchy and Schwarz). So the means of m**2 and v, and the largest of
    both, are compared; a second moment of zeros beside a first one that moved is the extreme of it. In the
    same way the squared mean gradient of a centered RMSprop is at most its mean square, Adamax' first moment
    at most 100 times its norm, AMSGrad's maximum at least the second moment, and the means of Adafactor's two
    factors are one. The laws and their proofs are in `_slot_laws`; what smaller numbers than the type has,
    or its rounding, may have lost is allowed for. Where names of slots are a guess, this is a note.

    Besides, sum(m**2) / sum(v) differs little between the variables of a model. Of an unusual pair the slot
    is named that is farther from the median of its kind. Where no gradient comes, as in units that are all
    dead, m fades by beta_1 in each step and v by beta_2, so the quotient falls by 0.81 in each step with 0.9
    and 0.999: a quotient far below the median beside a second moment that is not above its own median is a
    note.
    Where there are no pairs, the root mean square of a slot is compared with the median of its kind, for
    second moments with the square of the bound. And slots are zero before the first step, and not after 100,
    but for gradients that were just used and factors of what is no matrix; a learning rate is above 0; a loss
    scale lies between 1 and 2**40.

    Measured: on 58 real models (31 with slots), 269 test files (127 with slots) and 120 states of small
    models, saved after 0, 1, 10 and 300 steps of Adam, AdamW, AMSGrad, Nadam, Adamax, Lamb, Lion, RMSprop,
    Adagrad, Adadelta, Ftrl, SGD, with loss scaling, averaging or gathered gradients, there was one finding:
    a note on a slot of zeros. The quotient was at most 46, and between 1 / 192 and 1630 times the model's
    median in the 54 models with at least four pairs. In 74 states without pairs the root mean square of a
    momentum was at most 22 times the median of its kind, and that of second moments 183 times. Nothing is
    said of 42 files, states of 21 settings of optimizers after 320 steps as `.keras` and as weights. In 37
    models, real ones and small ones that were trained for 400 steps, slots were hurt at random: of 111 that
    were multiplied so that their largest number was 1e12, 102 were found and named (4 by a note); of 111 that
    were multiplied by 1e6, 89 were found, two of them by the slot beside them; of 96 second moments that
    became zeros all (18 by a note). What was missed were slots that have only numbers for names (Lion,
    gathered gradients, quantized models), which are not judged, and of those multiplied by 1e6 some of models
    with fewer than four variables, and averages of squares without a first moment (RMSprop, Adagrad), for
    which 1e6 is the bound. Most factors below 1e3 pass.

    Known false positives: schedules that end at a learning rate of 0; variables that no gradient reaches (a
    note); two optimizers that take turns, whose counters differ (a note); optimizers of your own that use
    these names for other quantities. Negative and non-finite values are told by WA101 to WA103.

    How to mend: delete the optimizer's state before training goes on, or take it from the last good
    checkpoint.

    Attributes:
        enabled: Whether the rule judges at all.
        spread: How many times the quotient of a variable may be above or below the model's median.
        max_ratio: How many times the root mean square of a slot may be above the median of its kind; its
            square for second moments.
    """

    enabled: bool = False
    spread: float = 1e5
    max_ratio: float = 1e3

    code = "WA510"
    name = "optimizer-state"
    severity = Severity.WARNING
    examples = (
        Example(
            title="Adam's state after 300 steps",
            values=_first,
            severity=None,
            info=_info("dense/kernel/momentum"),
            beside=(_VELOCITY, _steps(300), _part("learning_rate", lambda: np.array(1e-3), "hyperparameter")),
            options=_ON,
        ),
        Example(
            title="Adam's state before the first step",
            values=_zeros,
            severity=None,
            info=_info("dense/kernel/momentum"),
            beside=(_part("dense/kernel/velocity", _zeros), _steps(0)),
            options=_ON,
        ),
        Example(
            title="moments that contradict each other, without a policy",
            values=lambda: _first() * np.float32(1e6),
            severity=None,
            info=_info("dense/kernel/momentum"),
            beside=(_VELOCITY,),
        ),
        Example(
            title="a first moment that the second rules out",
            values=lambda: _first() * np.float32(1e6),
            severity=Severity.WARNING,
            info=_info("dense/kernel/momentum"),
            beside=(_VELOCITY,),
            options=_ON,
        ),
        Example(
            title="a second moment that was lost: zeros beside a first moment that moved",
            values=_first,
            severity=Severity.WARNING,
            info=_info("dense/kernel/momentum"),
            beside=(_part("dense/kernel/velocity", _zeros), _steps(300)),
            options=_ON,
        ),
        Example(
            title="slots that moved though no step was counted",
            values=_first,
            severity=Severity.WARNING,
            info=_info("dense/kernel/momentum"),
            beside=(_VELOCITY, _steps(0)),
            options=_ON,
        ),
        Example(
            title="slots of zeros after 5000 steps",
            values=_zeros,
            severity=Severity.WARNING,
            info=_info("dense/kernel/momentum"),
            beside=(_part("dense/kernel/velocity", _zeros), _steps(5000)),
            options=_ON,
        ),
        Example(
            title="a negative learning rate",
            values=lambda: np.array(-1e-3, np.float32),
            severity=Severity.WARNING,
            info=_info("learning_rate", "hyperparameter"),
            options=_ON,
        ),
        Example(
            title="a loss scale that fell to nearly 0",
            values=lambda: np.array(2.0**-20, np.float32),
            severity=Severity.WARNING,
            info=_info("dynamic_scale", "hyperparameter"),
            options=_ON,
        ),
    )

    def __post_init__(self) -> None:
        require(self.spread > 1 and self.max_ratio > 1, "spread and max_ratio must be above 1")

    def is_active(self) -> bool:
        return self.enabled

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return info.role in _JUDGED and info.dtype[:7] != "complex"

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return STATE_NEEDS

    def check_model(self, model: Measured) -> Iterator[Finding]:
        slots = slots_of(model)
        broken = [*breaches(slots)]
        yield from (self._breach(one) for one in broken)
        told = {slot.info.name for one in broken for slot in (one.first, one.second)}
        yield from self._counted(slots, counters(model), told)
        pairs = [pair for pair in quotients(slots) if pair.first.info.name not in told]
        yield from self._quotients(pairs, {slot.info.name: size for slot, size in excesses(slots)})
        if not pairs:
            yield from self._excesses(slots)
        yield from self._rates(model)
        yield from self._scales(model)

    def _breach(self, breach: Breach) -> Finding:
        """Tell of slots that no gradients can have given; of one that is zero alone, that it was lost."""
        law, first, second, what, ratio, bound = breach
        # Where a file tells only places, names are a guess, and other optimizers keep other numbers there.
        guessed = not (first.info.is_certain and second.info.is_certain)
        severity = Severity.NOTE if guessed else None
        if second.is_zero:
            message = (
                f"It is zero, though {first.kind} beside it is up to {numeral(first.peak)}: it was lost."
            )
            return self.finding(second.info, message, severity, peak=first.peak)
        one, other = ("values" if power == 1 else "squares" for power in law.powers)
        message = (
            f"The {what} of its {one} is {numeral(ratio)} times that of the {other} in {second.kind} "
            f"beside it, where at most {numeral(bound, 6)} is possible; one is damaged."
        )
        return self.finding(first.info, message, severity, quotient=ratio, bound=bound)

    def _counted(
        self, slots: Sequence[Slot], counts: dict[str, int], broken: AbstractSet[str]
    ) -> Iterator[Finding]:
        """Compare counters with each other, and with slots that are zero or not, but for broken ones."""
        told = sorted({count for count in counts.values() if count})
        if len(told) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            yield self.finding(None, f"The counters of steps disagree: {listed}.", Severity.NOTE)
        steps = max(counts.values(), default=-1)
        moved = [slot for slot in slots if not (slot.is_constant or slot.may_move_early)]
        still = [slot for slot in slots if slot.is_zero]
        if steps == 0 and moved:
            message = (
                f"{part(len(moved), len(slots), 'slot', 'has', 'have')} moved, though no step was counted."
            )
            yield self.finding(None, message, moved=len(moved), slots=len(slots))
        elif steps >= MANY_STEPS and slots and len(still) == len(slots):
            every = "The only slot is" if len(slots) == 1 else f"All {len(slots)} slots are"
            message = f"{every} zero, though {steps} steps were counted."
            yield self.finding(None, message, steps=steps, slots=len(slots))
        elif steps >= MANY_STEPS:
            for slot in still:
                if slot.may_rest or slot.info.name in broken:
                    continue
                message = f"The slot is zero after {steps} steps: no gradient has reached its variable."
                yield self.finding(slot.info, message, Severity.NOTE, steps=steps)

    def _quotients(self, pairs: Sequence[Quotient], sizes: Mapping[str, float]) -> Iterator[Finding]:
        """Compare the quotients of a model with each other, and name the slot that makes one unusual."""
        if len(pairs) < 4:
            return
        usual = float(median([pair.value for pair in pairs]))
        second = float(median([pair.second.sums.mean for pair in pairs]))
        for pair in pairs:
            if usual / self.spread <= pair.value <= usual * self.spread:
                continue
            # Without gradients the first moment fades sooner than the second, which fades too.
            faded = pair.value < usual and pair.second.sums.mean <= second
            culprit = pair.first if faded else pair.culprit(usual, sizes)
            quotient, median_quotient = pair.value, usual
            what, other = "sum of its squares", f"sum of {pair.second.kind}"
            if culprit is pair.second:
                quotient, median_quotient = 1 / quotient, 1 / median_quotient
                what, other = "sum of its values", f"sum of squares of {pair.first.kind}"
            cause = "most likely it exploded" if quotient > median_quotient else "most likely it was reset"
            if faded:
                cause = "no gradient has reached the variable for many steps, or the first moment was reset"
            message = (
                f"The {what} is {numeral(quotient)} times the {other} beside it, where the model's median "
                f"is {numeral(median_quotient)}; {cause}."
            )
            severity = Severity.NOTE if faded else None
            yield self.finding(culprit.info, message, severity, quotient=quotient, median=median_quotient)

    def _excesses(self, slots: Sequence[Slot]) -> Iterator[Finding]:
        for slot, excess in excesses(slots):
            bound = self.max_ratio**2 if slot.is_square else self.max_ratio
            if excess > bound:
                times = f"{numeral(excess)} times the median of its kind, above {numeral(bound, 6)}"
                message = f"Its root mean square is {times}."
                yield self.finding(slot.info, message, ratio=excess, bound=bound)

    def _rates(self, model: Measured) -> Iterator[Finding]:
        rates = _scalars(model, _RATES)
        used = any(rate > 0 for _, rate in rates)
        for info, rate in rates:
            # The outer optimizer of a loss scale has a rate of its own, which stays 0.
            if rate < 0 or (rate == 0 and not used):
                effect = "climbs instead of descending" if rate < 0 else "changes nothing"
                yield self.finding(
                    info, f"The learning rate is {numeral(rate, 6)}; training {effect}.", value=rate
                )

    def _scales(self, model: Measured) -> Iterator[Finding]:
        for info, scale in _scalars(model, _SCALES):
            if not 1 <= scale <= _LARGEST_SCALE:
                cause = "gradients overflow again and again" if scale < 1 else "gradients vanish"
                bounds = f"outside of 1 to {numeral(_LARGEST_SCALE, 6)}"
                message = f"The loss scale is {numeral(scale, 6)}, {bounds}: {cause}."
                yield self.finding(info, message, value=scale)


def _scalars(model: Measured, names: frozenset[str]) -> list[tuple[TensorInfo, float]]:
    """Return an optimizer's own numbers of these names, if they are finite."""
    found: list[tuple[TensorInfo, float]] = []
    for info in model.tensors:
        if info.role is Role.HYPERPARAMETER and info.size == 1 and info.name.rpartition("/")[2] in names:
            stats = model.stats.get(info.name)
            ends = None if stats is None else stats.get(EXTREMES)
            if ends is not None and isfinite(ends.maximum):
                found.append((info, ends.maximum))
    return found
