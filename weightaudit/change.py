"""What a repair does to one tensor: the line of a plan, and of a version's history."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from weightaudit.numerals import numeral


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a tensor before or after a change; those of no finite element are NaN.

    Attributes:
        l2: Euclidean norm of the finite elements.
        minimum: Smallest finite element.
        maximum: Largest finite element.
        zeros: Elements that are zero.
        nonfinite: Elements that are NaN or infinite.
    """

    l2: float
    minimum: float
    maximum: float
    zeros: int
    nonfinite: int


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one tensor.

    Attributes:
        tensor: Its name.
        projections: What is applied, in this order, as written in ``--project``.
        rules: Codes of the rules whose findings asked for it; empty if the user did.
        elements: Elements that change.
        size: Elements that there are.
        relative: Norm of the difference over the norm before, over elements finite before; Inf if
            the norm before is zero and something changes.
        largest: Largest difference of one element, over elements finite before.
        before: Figures of the tensor as it is.
        after: Figures of the tensor as it will be.
        digest: SHA-256 of its stored bytes as they will be, see `weightaudit.digests`.
    """

    tensor: str
    projections: tuple[str, ...]
    rules: tuple[str, ...]
    elements: int
    size: int
    relative: float
    largest: float
    before: Figures
    after: Figures
    digest: str

    @property
    def extent(self) -> str:
        """How far the tensor moves, for people: ``59.7 % of its norm``."""
        if not isfinite(self.relative):
            return f"more than any share of its norm, which is {numeral(self.before.l2, 6)}"
        return f"{percent(self.relative)} of its norm"


def percent(share: float) -> str:
    """Return a share as a percentage with three digits, or all before the point: ``2.77 %``, ``5348 %``."""
    value = 100 * share
    return f"{value:.0f} %" if 1e3 <= value < 1e6 else f"{numeral(value)} %"
