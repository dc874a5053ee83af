"""Statistics as keys of tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.statistics import Above, Extremes, Moments, NonFinite, Statistic, Zeros

if TYPE_CHECKING:
    from weightaudit.statistics import Fold
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class Own(Statistic[int]):
    """A statistic with a hash of its own."""

    def __hash__(self) -> int:
        return 7

    def start(self, info: TensorInfo) -> Fold[int]:
        raise NotImplementedError


def test_statistics_without_fields_have_hashes_of_their_own() -> None:
    """Kinds without fields do not share a hash, which would make every table a list; equal ones do."""
    kinds = (Extremes, Moments, NonFinite, Zeros)
    assert len({hash(kind()) for kind in kinds}) == len(kinds)
    assert [hash(kind()) for kind in kinds] == [hash(kind()) for kind in kinds]


def test_statistics_with_fields_are_told_apart_by_them() -> None:
    """Statistics of one kind are the same key if their fields are the same, and another one if not."""
    assert hash(Above(1.0)) == hash(Above(1.0))
    assert {Above(1.0): 1, Above(2.0): 2}[Above(2.0)] == 2


def test_a_statistic_may_hash_itself() -> None:
    """The hash that a statistic defines is its hash."""
    assert hash(Own()) == 7
