"""The protocol of a statistic: a frozen description that starts a fold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum, auto
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Unknown(Enum):
    """The answer to what cannot be told without looking at the elements."""

    UNKNOWN = auto()


UNKNOWN: Final = Unknown.UNKNOWN


class Fold(Protocol[T_co]):
    """A measurement under way. It sees every element of a stretch of one tensor, in order."""

    def update(self, block: Block) -> None:
        """Take in one block of the tensor."""
        ...

    def merge(self, other: Self) -> None:
        """Take in the fold of the stretch that follows this one. Associative."""
        ...

    def finish(self) -> T_co:
        """Return the result; update and merge are not called again."""
        ...


class Statistic(ABC, Generic[T]):
    """A frozen dataclass that says what to measure. Equal statistics are measured once.

    Elements that are NaN or infinite are left out of every statistic but `NonFinite`, so
    that one bad value does not hide what the others say.

    Attributes:
        lazy: Whether most blocks of a healthy tensor can be taken in without a look at their elements,
            and `Fold.update` changes nothing before it asks for those. Such a fold is first shown
            what is known of a long stretch, and then its blocks one by one if that did not suffice.
    """

    lazy: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        # Dataclasses hash their fields alone: statistics without any would all have one hash, and every look
        # into a table would compare them one by one.
        hints = get_annotations(cls).values()
        has_fields = getattr(cls, "__match_args__", ()) or any("ClassVar" not in str(hint) for hint in hints)
        if not has_fields and "__hash__" not in cls.__dict__:
            type.__setattr__(cls, "__hash__", _hash_of_kind)

    @abstractmethod
    def start(self, info: TensorInfo) -> Fold[T]:
        """Begin to measure a tensor (or a stretch of it)."""

    def answer(self, info: TensorInfo, known: Stats) -> T | Unknown:
        """Return the result without looking at the elements, if other statistics of the tensor tell it.

        The answer is what a fold over the whole tensor would give, or has the same guarantee
        where the statistic documents one instead of a value.

        Args:
            info: The tensor, as `start` sees it.
            known: Finished statistics of the same tensor, or what is known of them.
        """
        return UNKNOWN

    def follow(self, info: TensorInfo, overview: Summary) -> T | Unknown:
        """Return the result, as `answer` does, if the overview of a tensor tells it.

        Args:
            info: The tensor, as `start` sees it.
            overview: Its sums and extremes; every element is finite.
        """
        return UNKNOWN


def _hash_of_kind(statistic: Statistic[Any]) -> int:
    return hash(type(statistic))


class Stats:
    """The finished statistics of one tensor, looked up by what was asked for.

    Models have very many tensors of few kinds: those of one kind share the table of places, so that each
    takes no more memory than its results.
    """

    __slots__ = ("_places", "_values")

    def __init__(self, results: Mapping[Statistic[Any], Any]) -> None:
        self._places: Mapping[Statistic[Any], int] = {what: place for place, what in enumerate(results)}
        self._values: Sequence[Any] = tuple(results.values())

    @classmethod
    def aligned(cls, places: Mapping[Statistic[Any], int], values: Sequence[Any]) -> Self:
        """Return statistics whose results lie at the places that a table tells; both are kept as they are."""
        stats = cls.__new__(cls)
        stats._places = places  # noqa: SLF001 - they are its own
        stats._values = values  # noqa: SLF001
        return stats

    def __getitem__(self, statistic: Statistic[T]) -> T:
        value: T = self._values[self._places[statistic]]
        return value

    def get(self, statistic: Statistic[T]) -> T | None:
        """Return the result, or None if it was not measured."""
        place = self._places.get(statistic)
        return None if place is None else self._values[place]

    def __contains__(self, statistic: object) -> bool:
        return statistic in self._places

    def __iter__(self) -> Iterator[Statistic[Any]]:
        return iter(self._places)

    def __repr__(self) -> str:
        results = ", ".join(f"{what!r}: {self[what]!r}" for what in self)
        return f"Stats({{{results}}})"
