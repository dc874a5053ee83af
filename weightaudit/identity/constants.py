"""Constants of a graph: numbers that inference reads, and of which only their place is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from weightaudit.identity.describe import Nature, tensor
from weightaudit.tensor import Evidence, Role

if TYPE_CHECKING:
    from weightaudit.catalog import Catalog
    from weightaudit.identity.describe import Described

_NATURE = Nature(Role.CONSTANT, Evidence.CONFIG, trainable=False, is_named_by_layer=False)


def split_constants(catalog: Catalog) -> tuple[Catalog, list[Described]]:
    """Return a catalog without the constants of its graph, and these, described by their keys.

    Frozen weights are among them, and tables, masks and initial values: what a graph does with a
    constant is not looked at, so none is given the role of a weight.
    """
    constants = [entry for entry in catalog.entries if entry.attributes.get("operation") == "Const"]
    if not constants:
        return catalog, []
    kept = tuple(entry for entry in catalog.entries if entry.attributes.get("operation") != "Const")
    return replace(catalog, entries=kept), [tensor(entry, entry.key, _NATURE) for entry in constants]
