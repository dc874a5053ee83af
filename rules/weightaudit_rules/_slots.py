"""What the slots of an optimizer say: which belong together, and how their sizes compare."""

from __future__ import annotations

import re
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.identity.optimizer import is_second_moment
from weightaudit.tensor import Role
from weightaudit_rules._median import median
from weightaudit_rules._training import EXTREMES, MOMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from weightaudit.rule import Measured
    from weightaudit.statistics import MomentSums
    from weightaudit.tensor import TensorInfo

_PAIRS = {"momentum": "velocity", "m": "v", "Adam": "Adam_1"}
"""Names that Keras, its versions before 3, and TensorFlow 1 give the two moments of Adam."""
_OTHERS = re.compile(r"rms|schedule_?free")
"""Optimizers whose slots have Adam's names where a file tells names."""
_WEIGHTS = frozenset({"average", "iterate"})
"""Weights, averaged or, of ScheduleFreeAdamW, not averaged: they may be as the model's from the start."""
_UNSCALED = _WEIGHTS | {"linear", "gradient_accumulator"}
"""Ftrl's dual variables, sums under way, and weights: their sizes follow no gradient's."""
_FACTORS = frozenset({"row_factor", "column_factor"})


class Slot(NamedTuple):
    """One slot of an optimizer, as measured.

    Attributes:
        info: The tensor.
        owner: Name of the slot without its last component: the same for all slots of a variable.
        kind: That last component.
        sums: Its moments.
        smallest: Its smallest value.
        largest: Its largest value.
    """

    info: TensorInfo
    owner: str
    kind: str
    sums: MomentSums
    smallest: float
    largest: float

    @property
    def is_constant(self) -> bool:
        """Whether all its values are one, as an initial accumulator's are."""
        return self.smallest == self.largest

    @property
    def is_zero(self) -> bool:
        """Whether every value is 0."""
        return self.is_constant and not self.sums.squares

    @property
    def peak(self) -> float:
        """Its largest magnitude."""
        return max(self.largest, -self.smallest)

    @property
    def may_move_early(self) -> bool:
        """Whether it need not be constant before the first step."""
        return self.kind in _WEIGHTS

    @property
    def may_rest(self) -> bool:
        """Whether it is zero in good order: gradients just used, factors of what is no matrix."""
        return self.kind == "gradient_accumulator" or (self.kind in _FACTORS and not self.info.shape)

    def mean_of(self, power: int) -> float:
        """Return the mean of its values (power 1) or of their squares (power 2)."""
        return self.sums.mean if power == 1 else self.sums.squares / self.sums.count

    @property
    def is_square(self) -> bool:
        """Whether it averages squares of gradients."""
        return is_second_moment(self.info.name)


def slots_of(model: Measured) -> list[Slot]:
    """Return the measured slots with a name and only finite values, in the order of the container."""
    found: list[Slot] = []
    for info in model.tensors:
        stats = model.stats.get(info.name) if info.role is Role.OPTIMIZER_SLOT and info.size else None
        if stats is None or MOMENTS not in stats or EXTREMES not in stats:
            continue
        owner, _, kind = info.name.rpartition("/")
        sums, ends = stats[MOMENTS], stats[EXTREMES]
        if sums.count == info.size and not kind.isdigit():
            found.append(Slot(info, owner, kind, sums, ends.minimum, ends.maximum))
    return found


class Quotient(NamedTuple):
    """How large the first moment of a variable is beside its second.

    Attributes:
        first: The first moment.
        second: The second moment.
        value: Sum of the squares of the first, by the sum of the second.
    """

    first: Slot
    second: Slot
    value: float

    def culprit(self, usual: float, sizes: Mapping[str, float]) -> Slot:
        """Return which of both makes the quotient unusual: the one farther from others of its kind.

        Args:
            usual: The model's median quotient.
            sizes: Root mean squares by name, each as a multiple of the median of its kind.
        """
        of_first, of_second = (sizes.get(one.info.name, 1.0) for one in (self.first, self.second))
        # Second moments are squares. A pair that is large as a whole has one slot that is too large.
        is_large = of_first * sqrt(of_second) >= 1
        return self.first if is_large == (self.value > usual) else self.second


def quotients(slots: Sequence[Slot]) -> list[Quotient]:
    """Return the quotients of all variables that have the two moments of Adam, and both have moved."""
    found: list[Quotient] = []
    for slots_of_one in by_variable(slots):
        for first, second in _PAIRS.items():
            if first in slots_of_one and second in slots_of_one:
                moment, other = slots_of_one[first], slots_of_one[second]
                total = other.sums.total
                if total > 0 and moment.sums.squares > 0 and averages_gradients(moment, slots_of_one):
                    found.append(Quotient(moment, other, moment.sums.squares / total))
    return found


def by_variable(slots: Sequence[Slot]) -> list[dict[str, Slot]]:
    """Return the slots of each variable by their kind, in stored order."""
    found: dict[str, dict[str, Slot]] = {}
    for slot in slots:
        found.setdefault(slot.owner, {})[slot.kind] = slot
    return [*found.values()]


def averages_gradients(first: Slot, slots: Mapping[str, Slot]) -> bool:
    """Say whether a slot with the name of Adam's first moment is one, among those of its variable.

    RMSprop calls its slots ``velocity`` and ``momentum`` too, but makes all of the former first, and its
    momentum adds up steps, not gradients; that of ScheduleFreeAdamW holds weights.
    """
    kinds = [*slots]
    is_first = kinds.index(first.kind) < kinds.index(_PAIRS[first.kind])
    return is_first and not _OTHERS.search(first.info.key.lower())


def excesses(slots: Sequence[Slot]) -> Iterator[tuple[Slot, float]]:
    """Yield each slot with its root mean square as a multiple of the median of its kind in the model."""
    kinds: dict[str, list[Slot]] = {}
    for slot in slots:
        if slot.kind not in _UNSCALED and slot.sums.squares > 0:
            kinds.setdefault(slot.kind, []).append(slot)
    for members in kinds.values():
        if len(members) > 3:
            usual = float(median([slot.sums.rms for slot in members]))
            yield from ((slot, slot.sums.rms / usual) for slot in members)
