"""What the slots of an optimizer say: which belong together, and how their sizes compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from weightaudit.identity.optimizer import is_second_moment
from weightaudit.tensor import Role
from weightaudit_rules._median import median
from weightaudit_rules._training import EXTREMES, MOMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from weightaudit.rule import Measured
    from weightaudit.statistics import MomentSums
    from weightaudit.tensor import TensorInfo

_PAIRS = {"momentum": "velocity", "m": "v", "Adam": "Adam_1"}
"""Names that Keras, its versions before 3, and TensorFlow 1 give the two moments of Adam."""
_UNSCALED = frozenset({"average", "linear", "gradient_accumulator"})
"""Averages of weights, Ftrl's dual variables, and sums under way: their sizes follow no gradient's."""


class Slot(NamedTuple):
    """One slot of an optimizer, as measured.

    Attributes:
        info: The tensor.
        owner: Name of the slot without its last component: the same for all slots of a variable.
        kind: That last component.
        sums: Its moments.
        is_constant: Whether all its values are one, as an initial accumulator's are.
    """

    info: TensorInfo
    owner: str
    kind: str
    sums: MomentSums
    is_constant: bool

    @property
    def is_zero(self) -> bool:
        """Whether every value is 0."""
        return self.is_constant and not self.sums.squares

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
            found.append(Slot(info, owner, kind, sums, ends.minimum == ends.maximum))
    return found


class Quotient(NamedTuple):
    """How large the first moment of a variable is beside its second.

    Attributes:
        slot: The first moment.
        value: Sum of its squares, by the sum of the second moment.
        second: Mean of the second moment.
    """

    slot: Slot
    value: float
    second: float


def quotients(slots: Sequence[Slot]) -> list[Quotient]:
    """Return the quotients of all variables that have the two moments of Adam, and both have moved.

    RMSprop calls its slots ``velocity`` and ``momentum`` too, but makes all of the former first, and its
    momentum adds up steps, not gradients.
    """
    by_owner: dict[str, dict[str, tuple[int, Slot]]] = {}
    for place, slot in enumerate(slots):
        by_owner.setdefault(slot.owner, {})[slot.kind] = place, slot
    found: list[Quotient] = []
    for kinds in by_owner.values():
        for first, second in _PAIRS.items():
            if first in kinds and second in kinds and kinds[first][0] < kinds[second][0]:
                first_slot, sums = kinds[first][1], kinds[second][1].sums
                total = sums.total
                if total > 0 and first_slot.sums.squares > 0 and "rms" not in first_slot.info.key.lower():
                    found.append(Quotient(first_slot, first_slot.sums.squares / total, sums.mean))
    return found


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
