"""Variables of which only names are known: that of their own, and those of what holds them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from weightaudit.identity.classes import class_of_path, kind_of_name
from weightaudit.identity.config import ATTENTION, PROJECTIONS, Layer
from weightaudit.identity.describe import Described, Nature, bookkeeping_nature, nature_of, tensor
from weightaudit.identity.layers import NEVER_TRAINED
from weightaudit.identity.names import class_of_owner, role_by_name, variable_of
from weightaudit.tensor import Evidence, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.catalog import Entry

_SCALARS = frozenset([Role.QUANTIZATION, Role.COUNTER, Role.SEED])
"""Roles that a variable without any axis may have, whoever holds it."""


def of_path(parts: Sequence[str]) -> str:
    """Return today's name of the variable that a path leads to."""
    return variable_of(parts[-1], parts[-2] if len(parts) > 1 else "")


def by_path(entry: Entry, name: str, parts: Sequence[str], variable: str) -> Described:
    """Describe a variable by the names that the framework wrote for it and for its layer.

    Args:
        entry: The stored tensor.
        name: Its canonical name.
        parts: Components of that name.
        variable: Today's name of the variable.
    """
    owner = parts[-2] if len(parts) > 1 else ""
    inside = owner in PROJECTIONS and len(parts) > 2 and class_of_path(parts[-3]) in ATTENTION
    kind = kind_of_name(owner)
    return tensor(entry, name, _nature_by_path(kind, variable, entry.shape, is_projection=inside))


@lru_cache(maxsize=4096)
def _nature_by_path(owner: str, variable: str, shape: tuple[int, ...], *, is_projection: bool) -> Nature:
    """Return the nature of a variable by its own name and that of its layer."""
    layer_class = class_of_owner(owner, variable)
    config: dict[str, str] = {}
    if is_projection or (owner in PROJECTIONS and len(shape) == 3):
        layer_class, config = "EinsumDense", {"equation": PROJECTIONS[owner]}
    layer = Layer(owner, layer_class, config)
    role = role_by_name(variable, owner)
    if not shape and not layer_class and role not in _SCALARS:
        # Variables called "a", "b" and "w" without any axis are no layer's.
        role = Role.UNKNOWN
    return nature_or_unknown(shape, variable, layer, role)


def nature_or_unknown(shape: tuple[int, ...], variable: str, layer: Layer, role: Role) -> Nature:
    """Return the nature of a variable by its role, as far as names tell one."""
    if role is Role.UNKNOWN:
        return Nature(layer_class=layer.layer_class)
    if role in {Role.COUNTER, Role.SEED} and layer.layer_class != "Normalization":
        return bookkeeping_nature(role)
    nature = nature_of(shape, variable, layer, Evidence.NAME, role)
    if layer.layer_class and not layer.trainable and role not in NEVER_TRAINED:
        nature = nature._replace(trainable=False)
    return nature
