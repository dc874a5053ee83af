"""What optimizers keep true between the slots of one variable, whatever the gradients are.

Averages are ``m' = b1 * m + (1 - b1) * g`` and ``v' = b2 * v + (1 - b2) * g**2``, and both begin at zero.

- Adam and its kin: ``m**2 <= C * v`` for each element, with C the largest 1 / (1 - b2), if b1 <= b2. By
  induction: squares are convex, so ``m'**2 <= b1 * m**2 + (1 - b1) * g**2 <= b1 * C * v + g**2``, and
  ``C * v' = b2 * C * v + C * (1 - b2) * g**2 >= b1 * C * v + g**2``. Betas may change from step to step, and
  gradients may be clipped, since both averages see the same ones. Corrections of the bias are not stored.
- RMSprop, centered: b1 is b2, and ``m**2 <= v`` (Jensen).
- Adamax, ``u' = max(b2 * u, |g|)``: ``|m| <= K * u`` with K = (1 - b1) * b2 / (b2 - b1), 1.01 for 0.9 and
  0.999; in the worst case, that g is b2 * u, ``b1 * K * u + (1 - b1) * b2 * u`` is ``K * b2 * u``.
- AMSGrad: ``v <= vhat`` for each element, as vhat is the largest v that ever was.
- Adafactor averages the means of rows and those of columns with the same weights: their means are one.

What holds for each element holds for means and for the largest, which are measured anyway.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from weightaudit_rules._slots import averages_gradients, by_variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from weightaudit_rules._slots import Slot

LARGEST_SUM = 1e4
"""1 / (1 - b2) for the largest b2 in use, 0.9999: of so many steps an average is made."""
_SMALLEST = {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126, "float16": 2.0**-14}
"""Smallest normal numbers. Many processors take what is below for zero, in each of the steps."""
_ROUNDING = {"bfloat16": 1e3, "float16": 1e2}
"""How far an average may stay behind, as it does not change by less than half of its last place."""


class Law(NamedTuple):
    """That a power of one slot is at most so many times a power of another slot of the same variable.

    Attributes:
        first: The slot that is bounded, by the last component of its name.
        second: The slot that bounds it.
        powers: Powers of both, 1 or 2.
        bound: The factor, with room for rounding in float32.
        is_adams: Whether it holds only where the first slot is a moment of Adam's, whose name others use.
        is_elementwise: Whether it holds for each element, not for the means alone.
    """

    first: str
    second: str
    powers: tuple[int, int]
    bound: float
    is_adams: bool = False
    is_elementwise: bool = True


_LAWS = (
    *(
        Law(first, second, (2, 1), LARGEST_SUM, is_adams=True)
        for first, second in (("momentum", "velocity"), ("m", "v"), ("Adam", "Adam_1"))
    ),
    *(Law(first, second, (2, 2), LARGEST_SUM) for first, second in (("momentum", "norm"), ("m", "u"))),
    *(Law(first, second, (2, 1), 2.0) for first, second in (("average_gradient", "velocity"), ("mg", "rms"))),
    *(Law(first, second, (1, 1), 1.01) for first, second in (("velocity", "velocity_hat"), ("v", "vhat"))),
    Law("row_factor", "column_factor", (1, 1), 2.0, is_elementwise=False),
    Law("column_factor", "row_factor", (1, 1), 2.0, is_elementwise=False),
)


class Breach(NamedTuple):
    """A law that two slots break.

    Attributes:
        law: The law.
        first: The slot that is too large.
        second: The slot that is too small.
        what: What of them was compared: ``mean`` or ``largest``.
        ratio: How many times the first, to its power, is the second; inf if that is zero.
        bound: The most that it may be.
    """

    law: Law
    first: Slot
    second: Slot
    what: str
    ratio: float
    bound: float


def breaches(slots: Sequence[Slot]) -> Iterator[Breach]:
    """Yield the laws that slots break, in the order of the variables."""
    for kinds in by_variable(slots):
        for law in _LAWS:
            first, second = kinds.get(law.first), kinds.get(law.second)
            if first is None or second is None or (law.is_adams and not averages_gradients(first, kinds)):
                continue
            breach = _breach(law, first, second)
            if breach is not None:
                yield breach


def _breach(law: Law, first: Slot, second: Slot) -> Breach | None:
    dtype = second.info.dtype
    # Negative second moments are told by WA103; a slot of one number may hold the place of none.
    if dtype not in _SMALLEST or second.smallest < 0 or not first.info.shape or not second.info.shape:
        return None
    if law.is_elementwise and first.info.shape != second.info.shape:
        return None
    compared = {"mean": (first.mean_of(law.powers[0]), second.mean_of(law.powers[1]))}
    if law.is_elementwise:
        compared["largest"] = first.peak ** law.powers[0], second.peak ** law.powers[1]
    lost = LARGEST_SUM * _SMALLEST[dtype]
    bound = law.bound * _ROUNDING.get(dtype, 1.0)
    for what, (larger, smaller) in compared.items():
        if larger > bound * (smaller + lost):
            return Breach(law, first, second, what, larger / smaller if smaller else inf, bound)
    return None
