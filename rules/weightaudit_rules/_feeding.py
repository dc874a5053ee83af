"""Batch normalizations, and the kernels whose outputs they normalize."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.identity.classes import STATELESS
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from weightaudit.identity.topology import Node, Topology
    from weightaudit.rule import Measured
    from weightaudit.tensor import TensorInfo

NORMALIZATIONS = frozenset({"BatchNormalization", "SyncBatchNormalization"})
_FEEDERS = frozenset({
    *(f"Conv{rank}D{kind}" for rank in (1, 2, 3) for kind in ("", "Transpose")),
    "Dense", "DepthwiseConv1D", "DepthwiseConv2D",
})  # fmt: skip
_RECTIFIERS = frozenset({
    "relu", "relu6", "leaky_relu", "elu", "gelu", "swish", "silu", "mish", "sigmoid", "hard_sigmoid",
    "hard_swish", "softplus", "exponential",
})  # fmt: skip
_BRANCHES = frozenset({"Add", "Average", "Concatenate", "Maximum"})
_MAX_STEPS = 64

Tensors = dict[Role, "TensorInfo"]


class Fed(NamedTuple):
    """A batch normalization behind a layer whose inputs are rectified outputs of other batch normalizations.

    Attributes:
        kernel: Kernel of the layer.
        bias: Its bias, if it has one.
        mean: Moving mean of the normalization.
        variance: Its moving variance.
        sources: Scale and offset of each normalization in front of the layer, as far as they have them.
    """

    kernel: TensorInfo
    bias: TensorInfo | None
    mean: TensorInfo
    variance: TensorInfo
    sources: tuple[Tensors, ...]


def fed(model: Measured) -> Iterator[Fed]:
    """Yield each such place of a model, as far as its topology is known."""
    if not any(info.role is Role.MOVING_VARIANCE for info in model.tensors):
        return
    topology = model.topology
    held = _by_node(model.tensors, topology)
    for path, tensors in held.items():
        node = topology.nodes[path]
        if node.layer_class not in NORMALIZATIONS or tensors is None or len(node.predecessors) != 1:
            continue
        feeder = topology.nodes[node.predecessors[0]]
        own = held.get(feeder.path)
        mean, variance = tensors.get(Role.MOVING_MEAN), tensors.get(Role.MOVING_VARIANCE)
        if own is None or mean is None or variance is None or feeder.layer_class not in _FEEDERS:
            continue
        kernel = own.get(Role.KERNEL)
        sources = sources_of(feeder, topology, held) if feeder.activation == "linear" else ()
        if kernel is not None and kernel.output_axes and sources:
            yield Fed(kernel, own.get(Role.BIAS), mean, variance, sources)


def _by_node(tensors: Sequence[TensorInfo], topology: Topology) -> dict[str, Tensors | None]:
    """Return the tensors of each node by role; None for a node that has two of a role."""
    held: dict[str, Tensors | None] = {}
    by_layer: dict[str, list[TensorInfo]] = defaultdict(list)
    for info in tensors:
        if info.layer and not info.is_bookkeeping:
            by_layer[info.layer].append(info)
    for layer, members in by_layer.items():
        node = topology.at(layer)
        roles = {info.role: info for info in members}
        if node is not None:
            held[node.path] = roles if len(roles) == len(members) and node.path not in held else None
    return held


def sources_of(feeder: Node, topology: Topology, held: Mapping[str, Tensors | None]) -> tuple[Tensors, ...]:
    """Return the normalizations whose rectified outputs are all inputs of a layer; empty if it has others."""
    found: list[Tensors] = []
    seen: set[tuple[str, bool]] = set()
    waiting = [(path, False) for path in feeder.predecessors[: _MAX_STEPS + 1]]
    while waiting and len(seen) < _MAX_STEPS:
        path, rectified = step = waiting.pop()
        if step in seen:
            continue
        seen.add(step)
        node = topology.nodes[path]
        rectified = rectified or node.activation in _RECTIFIERS
        if node.layer_class in NORMALIZATIONS:
            tensors = held.get(path)
            if tensors is None or not rectified:
                return ()
            found.append(tensors)
        elif _passes(node) and len(node.predecessors) <= _MAX_STEPS:
            waiting += [(before, rectified) for before in node.predecessors]
        else:
            return ()
    return () if waiting else tuple(found)


def _passes(node: Node) -> bool:
    plain = node.keeps_scale or node.layer_class in {"ReLU", "Activation"}
    return (
        plain and bool(node.predecessors) and (len(node.predecessors) == 1 or node.layer_class in _BRANCHES)
    )


def reads_inputs(layer: str, topology: Topology) -> bool:
    """Say whether nothing but layers without weights stands between a layer and the model's inputs.

    Args:
        layer: What `TensorInfo.layer` says.
        topology: The model's; where it does not tell, the answer is False.
    """
    node = topology.at(layer)
    # Sequential models of Keras 2 have no layer for the input: it enters the first that is listed.
    first = next(iter(topology.nodes), "")
    waiting = [] if node is None else [node]
    seen: set[str] = set()
    while waiting and len(seen) < _MAX_STEPS:
        at = waiting.pop()
        before = [topology.nodes[path] for path in at.predecessors[: _MAX_STEPS + 1] if path not in seen]
        is_entry = at.layer_class == "InputLayer" or at.path == first
        if any(one.layer_class not in STATELESS for one in before) or not (at.predecessors or is_entry):
            return False
        seen |= {one.path for one in before}
        waiting += before
    return node is not None and not waiting
