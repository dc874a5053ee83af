"""Pairs the weights of layers that only their order tells apart: the third Dense here, the third there."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from weightaudit.comparison.pairing import strangers
from weightaudit.comparison.paths import MOST_PREFIXES, leaf, name_path
from weightaudit.comparison.result import Match

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from weightaudit.comparison.pairing import Pairing
    from weightaudit.tensor import TensorInfo

    Feature = Callable[[TensorInfo], Hashable]
    Sides = tuple[list[TensorInfo], list[TensorInfo]]

_DIGITS = re.compile(r"_*(\d+)$")
_WORD = re.compile(r"[^\W\d_]+")
_ATTRIBUTES = re.compile(r"/[^/]*/\.ATTRIBUTES/.*$", re.DOTALL)
_VARIABLES = "variables/"


def pair_in_order(pairing: Pairing, order: tuple[Sequence[str], Sequence[str]], *, trusted: bool) -> None:
    """Pair weights that are left, kind by kind, in the order of their layers.

    A kind is a role and a shape; it is divided by class, variable, words in the names and depth
    wherever both models have as many of each part. What remains together is paired first with first
    where both have equally many, and their order is that of the model: as configured, or by the
    numbers that Keras gives. Attributes with names of their own have no order, and stay alone; so do
    layers of which others with the same name but for its number were paired by name: the numbers mean
    the same there, so one layer was taken out and another put in. Nor are the small tensors of two layers
    paired whose kernels have no shape in common. And nothing is guessed where more than half of the
    smaller model would still be without a partner.

    Args:
        pairing: What has been paired, and what is left.
        order: Paths of the layers of each model as configured; none where they are not known.
        trusted: Whether names mean the same in both: then only their numbers may differ.
    """
    sides = tuple(
        [info for info in side.values() if not info.is_bookkeeping]
        for side in (pairing.first, pairing.second)
    )
    ranks = tuple(_Ranks(layers, infos) for layers, infos in zip(order, sides, strict=True))
    are_strangers = strangers(*sides)
    named = {_stems(name_path(pair.first)) for pair in pairing.pairs if pair.match is Match.NAME}
    kinds: dict[Hashable, Sides] = defaultdict(lambda: ([], []))
    for number, infos in enumerate(sides):
        for info in infos:
            stem = _stems(name_path(info)) if trusted else ()
            if stem not in named:
                kinds[info.role, info.shape, stem][number].append(info)
    found = [
        pair
        for both in kinds.values()
        for parts in _divided(both, ranks)
        for pair in _in_turn(parts, ranks)
        if not are_strangers(*pair)
    ]
    paired = sum(not pair.first.is_bookkeeping for pair in pairing.pairs)
    # Two models that have nothing else in common are two models, and not one whose layers kept their order.
    if 2 * (paired + len(found)) >= paired + min(map(len, sides)):
        for here, there in found:
            pairing.take(here, there, Match.ORDER)


class _Ranks:
    """The layers of one model in order.

    Attributes:
        full: Full path of the layer, and its rank in the configuration, by every unambiguous end of
            it: containers leave out the models that hold it. None for what is ambiguous.
        shallowest: Components of the shortest path of a tensor.
    """

    def __init__(self, layers: Sequence[str], infos: Iterable[TensorInfo]) -> None:
        self.full: dict[tuple[str, ...], tuple[int, int] | None] = {}
        for rank, layer in enumerate(layers):
            parts = tuple(layer.split("/"))
            for start in range(min(MOST_PREFIXES, len(parts))):
                end = parts[start:]
                self.full[end] = None if end in self.full else (rank, len(parts))
        self.shallowest = min((self._length(info) for info in infos), default=0)

    def depth(self, info: TensorInfo) -> int:
        """Return how deep in the model the layer of a tensor lies, counted from the shallowest."""
        return self._length(info) - self.shallowest

    def order(self, infos: Sequence[TensorInfo]) -> list[TensorInfo] | None:
        """Return tensors in the order of the model; None if nothing tells it."""
        found = [self.full.get(_layer(info)) for info in infos]
        if all(found) and len(set(found)) == len(found):
            return [infos[index] for index in sorted(range(len(infos)), key=lambda index: found[index] or ())]
        places = [_place(info) for info in infos]
        if len(set(map(_stems, places))) > 1:
            return None
        return [
            infos[index] for index in sorted(range(len(infos)), key=lambda index: _numbers(places[index]))
        ]

    def _length(self, info: TensorInfo) -> int:
        known = self.full.get(_layer(info))
        return known[1] if known else len(_place(info))


def _divided(sides: Sides, ranks: tuple[_Ranks, ...]) -> Iterable[Sides]:
    """Divide tensors of one kind wherever both models have as many of each part."""
    parts = [sides]
    features: tuple[Callable[[Sides], tuple[Feature, Feature]], ...] = (
        lambda _: (_class, _class),
        lambda _: (leaf, leaf),
        _words,
        lambda _: (ranks[0].depth, ranks[1].depth),
    )
    for feature in features:
        parts = [smaller for part in parts for smaller in _split(part, *feature(part))]
    return parts


def _split(sides: Sides, first: Feature, second: Feature) -> list[Sides]:
    tokens = [first(info) for info in sides[0]], [second(info) for info in sides[1]]
    if Counter(tokens[0]) != Counter(tokens[1]):
        return [sides]
    found: dict[Hashable, Sides] = defaultdict(lambda: ([], []))
    for number, infos in enumerate(sides):
        for token, info in zip(tokens[number], infos, strict=True):
            found[token][number].append(info)
    return list(found.values())


def _words(sides: Sides) -> tuple[Feature, Feature]:
    """Return the words of a path that as many tensors have on both sides: ``query``, ``forward``."""
    found = [Counter(word for info in infos for word in _words_of(info)) for infos in sides]
    shared = {word for word, count in found[0].items() if found[1][word] == count}

    def feature(info: TensorInfo) -> Hashable:
        return frozenset(_words_of(info) & shared)

    return feature, feature


def _in_turn(sides: Sides, ranks: tuple[_Ranks, ...]) -> Iterable[tuple[TensorInfo, TensorInfo]]:
    """Return the first of one model with the first of the other, and so on; nothing if no order tells."""
    depths = [{rank.depth(info) for info in infos} for rank, infos in zip(ranks, sides, strict=True)]
    if len(sides[0]) != len(sides[1]) or (depths[0] != depths[1] and max(map(len, depths)) > 1):
        return ()
    one, other = (rank.order(infos) for rank, infos in zip(ranks, sides, strict=True))
    return zip(one, other, strict=True) if one and other else ()


def _class(info: TensorInfo) -> str:
    return info.layer_class


def _layer(info: TensorInfo) -> tuple[str, ...]:
    return tuple(info.name.split("/"))[:-1]


def _place(info: TensorInfo) -> tuple[str, ...]:
    """Return the path of a tensor's layer, from its key where that numbers the layers of a checkpoint."""
    path, count = _ATTRIBUTES.subn("", info.key)
    return tuple(path.split("/")) if count and not info.key.startswith(_VARIABLES) else _layer(info)


def _words_of(info: TensorInfo) -> set[str]:
    return set(_WORD.findall("/".join(_layer(info)).lower()))


def _stems(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(_DIGITS.sub("", part) for part in parts)


def _numbers(parts: Iterable[str]) -> tuple[tuple[int, str], ...]:
    """Return the numbers at the ends of a path's components, to sort by: no number comes first."""
    found = [_DIGITS.search(part) for part in parts]
    digits = [match[1].lstrip("0") if match else "" for match in found]
    return tuple((len(one) + bool(match), one) for one, match in zip(digits, found, strict=True))
