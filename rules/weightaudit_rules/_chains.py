"""Paths through a model on which no normalization comes between the layers."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from weightaudit_rules._peers import sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.identity.topology import Node, Topology
    from weightaudit.rule import Measured
    from weightaudit_rules._peers import Size

_PLAIN = frozenset({
    *(f"Conv{rank}D{kind}" for rank in (1, 2, 3) for kind in ("", "Transpose")),
    "Dense", "DepthwiseConv1D", "DepthwiseConv2D",
})  # fmt: skip
_PASSING = frozenset({"linear", "relu", "leaky_relu", "elu", "selu", "gelu", "swish", "silu", "mish"})


class Chain(NamedTuple):
    """Layers that follow each other.

    Attributes:
        last: The last layer with a kernel.
        growth: Sum of the growths of all kernels, in powers of two.
        layers: How many there are.
        before: The chain up to the layer before; None for the first.
    """

    last: Size
    growth: float
    layers: int
    before: Chain | None = None

    def members(self) -> Iterator[Size]:
        """Yield the kernels, the last one first."""
        chain: Chain | None = self
        while chain is not None:
            yield chain.last
            chain = chain.before


def chains(model: Measured) -> Iterator[Chain]:
    """Yield, for each layer with a plain kernel, the chain that ends there with the largest growth of all.

    A chain begins behind anything through which growth does not pass in step: normalizations,
    activations that saturate, recurrent and unknown layers. Where branches join, the one that grew
    most goes on. Layers in cycles are left out. Takes time in proportion to nodes and edges.
    """
    topology = model.topology
    held: dict[str, Size | None] = {}
    for size in sizes(model) if topology.nodes else ():
        node = topology.at(size.info.layer)
        if node is not None:
            # A layer of two kernels is no plain one.
            held[node.path] = None if node.path in held else size
    carried: dict[str, Chain] = {}
    for node in _in_order(topology):
        ahead = [carried[path] for path in node.predecessors if path in carried]
        chain = (
            max(ahead, key=lambda one: one.growth) if len(ahead) == len(node.predecessors) and ahead else None
        )
        kernel = held.get(node.path)
        if kernel is not None and node.layer_class in _PLAIN:
            chain = _extended(chain, kernel)
            yield chain
        elif not node.keeps_scale:
            chain = None
        if chain is not None and node.activation in _PASSING:
            carried[node.path] = chain


def _extended(chain: Chain | None, size: Size) -> Chain:
    if chain is None:
        return Chain(size, size.growth, 1)
    return Chain(size, chain.growth + size.growth, chain.layers + 1, chain)


def _in_order(topology: Topology) -> Iterator[Node]:
    """Yield nodes after all that feed them."""
    nodes: Mapping[str, Node] = topology.nodes
    missing: dict[str, int] = defaultdict(int, {path: len(node.predecessors) for path, node in nodes.items()})
    ready = deque(path for path, count in missing.items() if not count)
    while ready:
        node = nodes[ready.popleft()]
        yield node
        for path in node.successors:
            missing[path] -= 1
            if not missing[path]:
                ready.append(path)
