"""Which tensor of one model is which of another, and how that is known.

Each step pairs what is unambiguous by its own token: exactly one tensor left on either side. The last
steps guess, by order and by likeness, and their pairs say so. What no step pairs was removed, or added.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from weightaudit.comparison.content import fingerprints, pair_by_turns
from weightaudit.comparison.likeness import layers, matrices, pair_alike, single_tensors
from weightaudit.comparison.ordering import pair_in_order
from weightaudit.comparison.pairing import Pairing, agree, strangers
from weightaudit.comparison.paths import (
    MOST_PREFIXES,
    attribute_path,
    class_ranks,
    is_place,
    layer_numbers,
    layer_places,
    leaf,
    name_path,
    only_numbered,
    owner,
)
from weightaudit.comparison.result import Match
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.comparison.pairing import Token
    from weightaudit.comparison.paths import Path
    from weightaudit.tensor import TensorInfo


def match_tensors(
    models: tuple[Checkpoint, Checkpoint],
    tensors: tuple[Sequence[TensorInfo], Sequence[TensorInfo]],
    workers: int | None = None,
) -> Pairing:
    """Pair the tensors of two open models.

    Args:
        models: Both.
        tensors: The tensors of each that take part.
        workers: Threads that read what no name tells apart; by default one per usable CPU.
    """
    one, other = ({info.name: info for info in infos} for infos in tensors)
    pairing = Pairing(one, other)
    trusted, is_aligned = _are_trusted(tensors), layer_places(tensors[0]) == layer_places(tensors[1])
    _by_name(pairing, trusted=trusted)
    if is_aligned:
        _by_place(pairing)
    if trusted:
        _by_ending(pairing, name_path)
        if layer_numbers(tensors[0]) == layer_numbers(tensors[1]):
            _by_ending(pairing, attribute_path)
    else:
        _by_rank(pairing, models, tensors)
    _by_layer(pairing, trusted=trusted)
    prints = fingerprints(pairing, models, workers)
    _by_tokens(pairing, Match.CONTENT, prints)
    _by_layer(pairing, trusted=trusted)
    pair_by_turns(pairing, prints)
    is_whole = _shapes(tensors[0]) == _shapes(tensors[1])
    if is_whole:
        _by_order(pairing, models, trusted=trusted)
    for units in (matrices, layers, single_tensors):
        pair_alike(pairing, models, units, workers)
        _by_layer(pairing, trusted=trusted, match=Match.LIKENESS)
    # Where one has a layer more, the numbers of those behind it mean others, and so does their order.
    if not is_aligned:
        _by_place(pairing)
    if not is_whole:
        _by_order(pairing, models, trusted=trusted)
    return pairing


def _shapes(infos: Sequence[TensorInfo]) -> Counter[tuple[int, ...]]:
    """Return how many weights a model has of each shape."""
    return Counter(info.shape for info in infos if not info.is_bookkeeping)


def _are_trusted(tensors: tuple[Sequence[TensorInfo], Sequence[TensorInfo]]) -> bool:
    """Say whether a name means the same in both models.

    A file that numbers its layers by class says with "dense_1" another thing than one that names them, and
    than one of other layers that does.
    """
    numbered = [only_numbered(infos) for infos in tensors]
    if numbered[0] and layer_places(tensors[0]) != layer_places(tensors[1]):
        return False
    return numbered[0] == numbered[1] or _fit(*tensors)


def _fit(first: Sequence[TensorInfo], second: Sequence[TensorInfo]) -> bool:
    """Say whether the weights of both models have the same names and shapes throughout."""
    one, other = (
        {info.name: info.shape for info in infos if not info.is_bookkeeping} for infos in (first, second)
    )
    return one == other


def _by_name(pairing: Pairing, *, trusted: bool) -> None:
    """Pair equal names, whatever else differs."""

    def token(info: TensorInfo) -> str | None:
        return info.name if trusted or info.is_bookkeeping else None

    pairing.unique(Match.NAME, token, token, fits=lambda _one, _other: True)


def _by_place(pairing: Pairing) -> None:
    """Pair equal keys of containers, where they mean a place, unless kernels tell two layers apart."""
    are_strangers = strangers(pairing.first.values(), pairing.second.values())

    def token(info: TensorInfo) -> str | None:
        return info.key if is_place(info.key) else None

    def fits(one: TensorInfo, other: TensorInfo) -> bool:
        return agree(one, other) and not are_strangers(one, other)

    pairing.unique(Match.PLACE, token, token, fits)


def _by_rank(
    pairing: Pairing,
    models: tuple[Checkpoint, Checkpoint],
    tensors: tuple[Sequence[TensorInfo], Sequence[TensorInfo]],
) -> None:
    """Pair the weights of the third Dense of five with those of the third of five, as Keras does."""
    orders = [
        () if only_numbered(infos) else model.layers for infos, model in zip(tensors, models, strict=True)
    ]
    ranks = [class_ranks(infos, order) for infos, order in zip(tensors, orders, strict=True)]
    _by_tokens(pairing, Match.PLACE, ranks)


def _by_order(pairing: Pairing, models: tuple[Checkpoint, Checkpoint], *, trusted: bool) -> None:
    """Pair weights that only their order tells apart, and what else their layers hold."""
    pair_in_order(pairing, (models[0].layers, models[1].layers), trusted=trusted)
    _by_layer(pairing, trusted=trusted, match=Match.ORDER)


def _by_tokens(pairing: Pairing, match: Match, tokens: Sequence[Mapping[str, Hashable]]) -> None:
    """Pair by tokens that are known by name, for each side."""
    pairing.unique(match, lambda info: tokens[0].get(info.name), lambda info: tokens[1].get(info.name))


def _by_ending(pairing: Pairing, path: Callable[[TensorInfo], Path]) -> None:
    """Pair tensors of which one's path is the end of the other's, and of no third one's.

    Layers go together: where one of their variables does not agree, they are taken for two.
    """
    one, other = (
        {name: found for name, info in infos.items() if len(found := path(info)) > 1}
        for infos in (pairing.first, pairing.second)
    )
    candidates = {*_endings(one, other), *((here, there) for there, here in _endings(other, one))}
    rivals = Counter(side for pair in candidates for side in enumerate(pair))
    alone = [
        (pairing.first[here], pairing.second[there])
        for here, there in sorted(candidates)
        if rivals[0, here] == rivals[1, there] == 1
    ]
    strangers = {(owner(here), owner(there)) for here, there in alone if not agree(here, there)}
    for here, there in alone:
        if (owner(here), owner(there)) not in strangers:
            pairing.take(here, there, Match.PATH)


def _endings(longer: Mapping[str, Path], shorter: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Yield names whose path ends with the whole path of another: at least its layer and variable.

    Of several others with that path, two stand for all.
    """
    whole: dict[Path, list[str]] = {}
    for name, path in shorter.items():
        whole.setdefault(path, []).append(name)
    for name, path in longer.items():
        for start in range(min(MOST_PREFIXES, len(path) - 1)):
            # Two show that a name is no one's partner; all of them, in a hostile file, never end.
            yield from ((name, other) for other in whole.get(path[start:], ())[:2])


def _by_layer(pairing: Pairing, *, trusted: bool, match: Match = Match.LAYER) -> None:
    """Pair the other tensors of layers that are paired: by variable, then weights by shape.

    Where the layers were paired by a guess, `match` says so.
    """
    partners = pairing.partners()

    def tokens(what: Callable[[TensorInfo], Hashable]) -> tuple[Token, Token]:
        def here(info: TensorInfo) -> Hashable | None:
            prefix, own = owner(info)
            # A layer without a partner has the same name in the other model, if names can be trusted.
            layer = partners.get(own, own if trusted else "")
            return (prefix + layer, what(info)) if layer else None

        return here, lambda info: ("".join(owner(info)), what(info))

    pairing.unique(match, *tokens(leaf))
    pairing.unique(match, *tokens(lambda info: info.shape), fits=_same_variable)


def _same_variable(one: TensorInfo, other: TensorInfo) -> bool:
    """Say whether two weights of one layer and shape are one: by role, or as one is only numbered."""
    if one.is_bookkeeping or other.is_bookkeeping or not agree(one, other):
        return False
    return one.role is other.role is not Role.UNKNOWN or leaf(one).isdigit() or leaf(other).isdigit()
