"""Models of a single layer, whose weights have the units of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.tensor import Role
from weightaudit_rules._roles import is_weight

if TYPE_CHECKING:
    from weightaudit.rule import Measured

_MEASURED = frozenset({Role.MOVING_MEAN, Role.MOVING_VARIANCE, Role.CONSTANT})
_MOST_TARGETS = 4


def is_linear(model: Measured) -> bool:
    """Say whether all weights of a model are one kernel of up to four outputs, and its bias: a regression.

    Between data and answer there is nothing else: a weight is so many units of the target for one unit of
    an input, and prices in euros for years since 0 make it large, molecules per litre make it tiny. What a
    Normalization layer has measured is no weight.
    """
    layer: str | None = None
    kernels = 0
    for info in model.tensors:
        if not is_weight(info) or info.role in _MEASURED:
            continue
        if info.role is Role.KERNEL:
            kernels += 1
            if kernels > 1 or len(info.shape) != 2 or info.shape[1] > _MOST_TARGETS:
                return False
        if info.role not in {Role.KERNEL, Role.BIAS} or layer not in {None, info.layer}:
            return False
        layer = info.layer
    return kernels == 1
