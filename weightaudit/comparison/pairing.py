"""Tensors of two models that find each other: what is paired, and what is left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weightaudit.comparison.paths import owner
from weightaudit.comparison.result import Match
from weightaudit.tensor import MATRIX_ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from weightaudit.tensor import TensorInfo

    Token = Callable[[TensorInfo], Hashable | None]
    Fits = Callable[[TensorInfo, TensorInfo], bool]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tensors that are one, and how that is known."""

    first: TensorInfo
    second: TensorInfo
    match: Match


def agree(one: TensorInfo, other: TensorInfo) -> bool:
    """Say whether two tensors can be one: the same shape, and no two different roles."""
    return one.shape == other.shape and (one.role is other.role or Role.UNKNOWN in {one.role, other.role})


def strangers(first: Iterable[TensorInfo], second: Iterable[TensorInfo]) -> Fits:
    """Return what says whether tensors are of two layers whose kernels have no shape in common.

    The biases of such layers may have one shape, as those of two heads have, and are not the same bias.

    Args:
        first: Tensors of the first model that have no partner yet.
        second: Those of the second.
    """
    here, there = _kernel_shapes(first), _kernel_shapes(second)

    def are_strangers(one: TensorInfo, other: TensorInfo) -> bool:
        shapes = here.get(owner(one)), there.get(owner(other))
        return bool(shapes[0] and shapes[1] and shapes[0].isdisjoint(shapes[1]))

    return are_strangers


def _kernel_shapes(infos: Iterable[TensorInfo]) -> dict[tuple[str, str], set[tuple[int, ...]]]:
    """Return the shapes of the kernels and embeddings of each layer."""
    shapes: dict[tuple[str, str], set[tuple[int, ...]]] = {}
    for info in infos:
        if info.role in MATRIX_ROLES:
            shapes.setdefault(owner(info), set()).add(info.shape)
    return shapes


@dataclass(slots=True)
class Pairing:
    """Tensors of two models on their way to each other.

    Attributes:
        first: Tensors of the first model that have no partner yet, by name.
        second: Those of the second.
        pairs: What was found.
        unread: Why a tensor that had to be read for it could not be, by side (0 or 1) and name.
    """

    first: dict[str, TensorInfo]
    second: dict[str, TensorInfo]
    pairs: list[Pair] = field(default_factory=list[Pair])
    unread: dict[tuple[int, str], str] = field(default_factory=dict[tuple[int, str], str])

    def unique(self, match: Match, first: Token, second: Token, fits: Fits = agree) -> None:
        """Pair tensors that alone have the same token on either side, if they fit; None is no token."""
        there = _alone(self.second.values(), second)
        for token, one in _alone(self.first.values(), first).items():
            other = there.get(token)
            if other is not None and fits(one, other):
                self.take(one, other, match)

    def take(self, one: TensorInfo, other: TensorInfo, match: Match) -> None:
        """Pair two tensors."""
        del self.first[one.name], self.second[other.name]
        self.pairs.append(Pair(one, other, match))

    def partners(self) -> dict[str, str]:
        """Return what layers and variables are called in the second model, where all pairs say the same."""
        found: dict[str, set[str]] = {}
        back: dict[str, set[str]] = {}
        for pair in self.pairs:
            one, other = pair.first, pair.second
            for here, there in ((one.name, other.name), (owner(one)[1], owner(other)[1])):
                found.setdefault(here, set()).add(there)
                back.setdefault(there, set()).add(here)
        return {here: there for here, (there, *more) in found.items() if not more and len(back[there]) == 1}


def _alone(infos: Iterable[TensorInfo], token: Token) -> dict[Hashable, TensorInfo]:
    """Return the tensors that alone have a token, by token."""
    tokens = [(token(info), info) for info in infos]
    counts = Counter(found for found, _ in tokens)
    return {found: info for found, info in tokens if found is not None and counts[found] == 1}
