"""Measurements of one tensor that are under way, and where their results go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from weightaudit.statistics import Fold, Statistic, Stats

if TYPE_CHECKING:
    from weightaudit.tensor import TensorInfo

Statistics = tuple[Statistic[Any], ...]
Folded = tuple[Statistic[Any], Fold[Any]]
Folds = list[Folded]
"""In the order of the tensor's statistics. No table: to hash statistics takes longer than to measure a small
tensor."""

Places = Mapping[Statistic[Any], int]


def begin(statistics: Sequence[Statistic[Any]], info: TensorInfo) -> Folds:
    """Begin to measure a tensor, or a stretch of it."""
    return [(statistic, statistic.start(info)) for statistic in statistics]


class Tables:
    """Tells where each statistic of a tensor lies among its results; equal tensors share one table."""

    def __init__(self) -> None:
        self._by_tuple: dict[int, Places] = {}
        self._by_members: dict[tuple[int, ...], Places] = {}

    def stats(self, statistics: Statistics, results: Sequence[Any]) -> Stats:
        """Return the results of a tensor, which come in the order of its statistics."""
        places = self._by_tuple.get(id(statistics))
        if places is None:
            # Tuples of the same statistics are very many in some models, and hashing one takes long.
            members = tuple(map(id, statistics))
            places = self._by_members.get(members)
            if places is None:
                places = {statistic: place for place, statistic in enumerate(statistics)}
                self._by_members[members] = places
            self._by_tuple[id(statistics)] = places
        return Stats.aligned(places, tuple(results))

    def finished(self, statistics: Statistics, folds: Folds) -> Stats:
        """Return what measurements under way come to."""
        return self.stats(statistics, [fold.finish() for _, fold in folds])
