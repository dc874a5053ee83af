"""The layers of a model as a tree, and what its tensors add up to."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING

from weightaudit.tensor import BOOKKEEPING_ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from weightaudit.inspection.looking import Sight


@dataclass(slots=True)
class Sum:
    """What tensors add up to; grows while it is made.

    Attributes:
        tensors: How many there are.
        numbers: Numbers in them, as stored.
        nbytes: Bytes of these.
        measured: Numbers that were measured and are finite.
        squares: Sum of the squares of these.
        nonfinite: Numbers that are NaN or infinite.
        failures: Tensors that could not be read.
    """

    tensors: int = 0
    numbers: int = 0
    nbytes: int = 0
    measured: int = 0
    squares: float = 0.0
    nonfinite: int = 0
    failures: int = 0

    @property
    def rms(self) -> float | None:
        """Root mean square of the finite numbers; None if none was measured."""
        return sqrt(self.squares / self.measured) if self.measured else None

    def add(self, sight: Sight) -> None:
        """Take in a tensor."""
        self.tensors += 1
        self.failures += bool(sight.failure)
        if sight.info.is_numeric:
            self.numbers += sight.info.size
            self.nbytes += sight.info.nbytes
        if sight.portrait is not None:
            finite = sight.portrait.size - sight.portrait.nonfinite
            self.measured += finite
            self.squares += sight.portrait.l2**2 if finite else 0.0
            self.nonfinite += sight.portrait.nonfinite


@dataclass(slots=True)
class Node:
    """A layer, with the layers inside it; grows while it is made.

    Attributes:
        name: Last part of its path.
        layer_class: Its Keras class, empty if not known.
        sum: Its tensors and those of the layers inside it.
        children: The layers inside it by name, in the order of the model.
        is_layer: Whether it is one; False for tensors that belong to training, by role.
    """

    name: str
    layer_class: str = ""
    sum: Sum = field(default_factory=Sum)
    children: dict[str, Node] = field(default_factory=dict[str, "Node"])

    is_layer: bool = True

    def walk(self) -> Iterator[tuple[tuple[str, ...], Node]]:
        """Yield every layer inside this one with its path, each before those inside it."""
        # Names come from a file, which may nest them deeper than Python's stack is.
        waiting: list[tuple[tuple[str, ...], Node]]
        waiting = [((node.name,), node) for node in reversed(self.children.values())]
        while waiting:
            path, node = waiting.pop()
            yield path, node
            waiting += [((*path, child.name), child) for child in reversed(node.children.values())]


_BESIDE = "(beside the layers)"
"""Stands for the layer of tensors that belong to none."""

_DEEPEST = 32
"""Layers inside one another that are told apart: a name of nothing but slashes must not fill the memory."""


def tree(sights: Iterable[Sight]) -> Node:
    """Return the layers of a model as a tree; the sum of its root is that of all layers.

    Optimizer slots, metrics, counters and seeds are counted by role in nodes of their own at the end.
    What lies deeper than 32 layers is one layer, whose name is the rest of the path.
    """
    root, others = Node(""), dict[str, Node]()
    for sight in sights:
        info = sight.info
        if info.is_bookkeeping:
            others.setdefault(info.role.value, Node(f"({info.role.value})", is_layer=False)).sum.add(sight)
            continue
        root.sum.add(sight)
        node = root
        for part in (info.layer or _BESIDE).split("/", _DEEPEST - 1):
            node = node.children.setdefault(part, Node(part))
            node.sum.add(sight)
        node.layer_class = node.layer_class or info.layer_class
    # No layer has a slash in its key, whatever it is called.
    root.children.update({f"/{role}": node for role, node in others.items()})
    return root


@dataclass(frozen=True, slots=True)
class Totals:
    """What all tensors add up to.

    Attributes:
        all: All of them.
        weights: Those that inference reads.
        by_role: By role: those that inference reads before the others, the most numbers first.
        by_dtype: By storage type, the most bytes first.
    """

    all: Sum
    weights: Sum
    by_role: Sequence[tuple[str, Sum]]
    by_dtype: Sequence[tuple[str, Sum]]


def totals(sights: Iterable[Sight]) -> Totals:
    """Add up tensors."""
    whole, weights = Sum(), Sum()
    roles, dtypes = defaultdict[str, Sum](Sum), defaultdict[str, Sum](Sum)
    for sight in sights:
        for one in (whole, roles[sight.info.role.value], dtypes[sight.info.dtype]):
            one.add(sight)
        if not sight.info.is_bookkeeping:
            weights.add(sight)
    return Totals(
        whole,
        weights,
        sorted(roles.items(), key=lambda pair: (pair[0] in BOOKKEEPING_ROLES, -pair[1].numbers, pair[0])),
        sorted(dtypes.items(), key=lambda pair: (-pair[1].nbytes, pair[0])),
    )
