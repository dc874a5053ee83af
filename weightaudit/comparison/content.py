"""Finds tensors that are the same bit for bit: what is left when names do not tell which is which."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from weightaudit.catalog import Absent
from weightaudit.comparison.pairing import agree
from weightaudit.comparison.result import Match
from weightaudit.digests import entry_digest
from weightaudit.dtypes import itemsize
from weightaudit.engine.reading import read_pieces
from weightaudit.engine.threads import thread_count
from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.comparison.pairing import Pairing
    from weightaudit.tensor import Role, TensorInfo


def fingerprints(
    pairing: Pairing, models: tuple[Checkpoint, Checkpoint], workers: int | None
) -> tuple[dict[str, str], dict[str, str]]:
    """Return for each side the content of tensors that may be the same as one of the other side, by name.

    Tensors of one value repeated, such as fresh biases, are left out: they tell nothing apart. One
    that cannot be read is noted in the pairing.
    """
    sides = (pairing.first, pairing.second)
    kinds = [{_kind(info) for info in side.values()} for side in sides]
    shared = kinds[0] & kinds[1]
    found: list[dict[str, str]] = []
    with ThreadPoolExecutor(thread_count(workers)) as pool:
        for number, (side, model) in enumerate(zip(sides, models, strict=True)):
            chosen = [info for info in side.values() if info.is_numeric and _kind(info) in shared]
            prints: dict[str, str] = {}
            for info, (text, failure) in zip(
                chosen, pool.map(partial(_fingerprint, model), chosen), strict=True
            ):
                if failure:
                    pairing.unread[number, info.name] = failure
                elif text:
                    prints[info.name] = f"{info.dtype} {text}"
            found.append(prints)
    return found[0], found[1]


def pair_by_turns(pairing: Pairing, prints: Sequence[Mapping[str, str]]) -> None:
    """Pair what several tensors hold bit for bit, in the order of the models: any order is right."""
    # Which two can be one is for shape and role to say, so of each queue the first tensor speaks for all.
    waiting: dict[Hashable, dict[Role, deque[tuple[int, TensorInfo]]]] = {}
    for place, info in enumerate(pairing.second.values()):
        if info.name in prints[1]:
            alike = waiting.setdefault((prints[1][info.name], info.shape), {})
            alike.setdefault(info.role, deque()).append((place, info))
    for info in list(pairing.first.values()):
        alike = waiting.get((prints[0].get(info.name), info.shape), {})
        fitting = [others for others in alike.values() if others and agree(info, others[0][1])]
        if fitting:
            _, other = min(fitting, key=lambda others: others[0][0]).popleft()
            pairing.take(info, other, Match.CONTENT)


def _kind(info: TensorInfo) -> Hashable:
    return info.shape, info.dtype


def _fingerprint(model: Checkpoint, info: TensorInfo) -> tuple[str, str]:
    """Return the digest of a tensor, empty if it tells nothing, and why it cannot be read."""
    entry = model.entry(info)
    if isinstance(entry.storage, Absent):
        return "", entry.storage.reason
    try:
        return "" if _is_constant(model, info) else entry_digest(model.files, entry) or "", ""
    except ReadError as error:
        return "", str(error)


def _is_constant(model: Checkpoint, info: TensorInfo) -> bool:
    """Say whether all elements have the same bytes; the first two usually show that they have not."""
    entry = model.entry(info)
    first = None
    for _, raw in read_pieces(model.files, entry, 0, info.size):
        elements = raw.reshape(-1, itemsize(entry.dtype))
        first = elements[0].copy() if first is None else first
        if (elements[1:2] != first).any() or (elements != first).any():
            return False
    return True
