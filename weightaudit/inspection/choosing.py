"""Which tensors somebody wants to see, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from math import inf, isnan
from typing import TYPE_CHECKING

from weightaudit.errors import UsageError
from weightaudit.globs import matches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.inspection.looking import Sight
    from weightaudit.tensor import Role, TensorInfo


class Order(StrEnum):
    """What tensors are sorted by: names ascending, all else with the largest first."""

    NAME = "name"
    RMS = "rms"
    SPARSITY = "sparsity"
    SIZE = "size"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which tensors are meant: those that fit one entry of each part that is not empty.

    Attributes:
        tensors: Names of tensors, paths of layers, or globs over names, where ``*`` also matches ``/``.
        roles: Roles.
        layer_classes: Globs over the Keras class name.
        weights_only: Whether what inference never reads is left out, unless its role is asked for.
    """

    tensors: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    layer_classes: tuple[str, ...] = ()
    weights_only: bool = False

    def choose(self, checkpoint: Checkpoint) -> list[TensorInfo]:
        """Return the tensors of a model that are meant, in the model's order.

        Raises:
            UsageError: An entry of `tensors` means nothing, or nothing is left.
        """
        named = self._named(checkpoint)
        chosen = [
            info
            for info in checkpoint
            if (named is None or info.name in named)
            and (info.role in self.roles if self.roles else not (self.weights_only and info.is_bookkeeping))
            and (not self.layer_classes or matches(info.layer_class, self.layer_classes))
        ]
        if not chosen and (self.tensors or self.roles or self.layer_classes):
            raise UsageError(f"No tensor {self._said()}; without these options all are listed.")
        return chosen

    def is_in_depth(self, chosen: Sequence[TensorInfo]) -> bool:
        """Say whether single tensors were named, so that each is shown in depth."""
        names = {info.name for info in chosen}
        return bool(self.tensors) and (len(chosen) == 1 or all(one in names for one in self.tensors))

    def _named(self, checkpoint: Checkpoint) -> set[str] | None:
        if not self.tensors:
            return None
        names = {info.name for info in checkpoint}
        found: set[str] = set()
        for entry in self.tensors:
            meant = {entry} if entry in names else _meant(entry, checkpoint)
            if not meant:
                raise UsageError(f"No tensor or layer is called {entry!r}{_hint(entry, checkpoint)}.")
            found |= meant
        return found

    def _said(self) -> str:
        parts = [
            f"is called {' or '.join(self.tensors)}" if self.tensors else "",
            f"has the role {' or '.join(self.roles)}" if self.roles else "",
            f"belongs to a {' or '.join(self.layer_classes)}" if self.layer_classes else "",
            "is read by inference" if self.weights_only and not self.roles else "",
        ]
        return " and ".join(filter(None, parts))


def tensor_names(path: str) -> list[str]:
    """Return the names of the tensors of a model, in its order, without reading a weight.

    Args:
        path: A model, a checkpoint prefix, or the address of a version.

    Raises:
        WeightauditError: It cannot be opened, or it is not one model.
    """
    from weightaudit.addressing import find_model
    from weightaudit.checkpoint import open_checkpoint

    with open_checkpoint(find_model(path).path) as checkpoint:
        return [info.name for info in checkpoint]


def ordered(sights: Sequence[Sight], order: Order | None) -> tuple[Sight, ...]:
    """Return tensors in an order; those without the figure come last, equal ones stay as they were."""
    if order is None:
        return tuple(sights)
    if order is Order.NAME:
        return tuple(sorted(sights, key=lambda one: one.info.name))
    return tuple(sorted(sights, key=lambda one: -_figure(one, order)))


def _figure(sight: Sight, order: Order) -> float:
    if order is Order.SIZE:
        return sight.info.size
    shown = sight.portrait
    if shown is None:
        return -inf
    figure = {Order.RMS: shown.rms, Order.SPARSITY: shown.sparsity}.get(order, shown.peak)
    return -inf if isnan(figure) else figure


def _meant(entry: str, checkpoint: Checkpoint) -> set[str]:
    """Return the names of the tensors that belong to a layer, or fit a glob."""
    if not entry:  # an empty variable of a shell, not the layer of what belongs to none
        return set()
    inside = {info.name for info in checkpoint if info.layer == entry or info.layer.startswith(f"{entry}/")}
    return inside or {info.name for info in checkpoint if fnmatchcase(info.name, entry)}


def _hint(entry: str, checkpoint: Checkpoint) -> str:
    from weightaudit.policy import did_you_mean

    names = [info.name for info in checkpoint]
    within = next((name for name in names if name.endswith(f"/{entry}")), None)
    if within is not None:
        return f" (did you mean {within!r}?)"
    # Of a hundred thousand names, comparing all would take longer than the rest of the command.
    near = [name for name in names if abs(len(name) - len(entry)) <= _FORGOTTEN]
    return did_you_mean(entry, near[:_MOST]) or "; without a name, all are listed"


_FORGOTTEN = 4
"""Characters that somebody forgets or doubles at most."""

_MOST = 20_000
"""Names that are compared."""
