"""Which configured layer a path means: every tensor asks, so names are looked up and not searched for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.identity.classes import class_of_path
from weightaudit.identity.config import Layer, explains

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST = 16
"""Layers that a path may mean, among which the one that has the variable is looked for."""

_Table = dict[str, list[Layer]]


class LayerLookup:
    """Finds layers of a configuration by the components of paths.

    What lies inside a layer is gone through once, when it is first asked about, so that all tensors
    together take time in proportion to the size of the model and the depth of its nesting.

    Args:
        root: The model.
    """

    def __init__(self, root: Layer) -> None:
        self._root = root
        self._names: dict[int, _Table] = {}
        self._classes: dict[int, _Table] = {}
        self._children: dict[int, _Table] = {}

    def inside(self, layer: Layer, component: str) -> Sequence[Layer]:
        """Return the layers inside one of the model, at any depth, that a component means."""
        if id(layer) not in self._names:
            self._names[id(layer)] = _by_name(each for each in layer.walk() if each is not layer)
        return self._names[id(layer)].get(component, ())

    def children(self, layer: Layer, component: str) -> Sequence[Layer]:
        """Return the layers directly inside one of the model that a component means."""
        if id(layer) not in self._children:
            self._children[id(layer)] = _by_name(layer.children)
        return self._children[id(layer)].get(component, ())

    def owner(self, scope: Sequence[str], variable: str) -> Layer | None:
        """Return the only configured layer that a scope names and that has such a variable.

        Wrappers of Keras 2 give no scope to the layer inside, and automatic names count all cells of a
        program, so the layer around the owner of a variable may have to tell which it is.
        """
        if not scope:
            return None
        named = [layer for layer in self._everywhere(scope[-1]) if layer.name == scope[-1]]
        found = _having(variable, [_unwrapped(layer, variable) for layer in named])
        if len(found) != 1 and len(scope) > 1:
            found = _having(variable, self._within(scope[-2], scope[-1]))
        return found[0] if len(found) == 1 else None

    def _everywhere(self, component: str) -> list[Layer]:
        """Return the layers of the whole model that a component means; of too many, enough to show it."""
        root = [self._root] if component in _names_of(self._root) else []
        return [*root, *self.inside(self._root, component)[: _MOST + 1]]

    def _within(self, around: str, component: str) -> list[Layer]:
        """Return layers of a name, or of the class that it tells, inside all that another name means."""
        outers = self._everywhere(around)
        found: list[Layer] = []
        for outer in outers if len(outers) <= _MOST else ():
            named = self.inside(outer, component)[: _MOST + 1]
            alike = self._of_class(outer, class_of_path(component))[: _MOST + 1]
            inner = (*(layer for layer in named if layer.name == component), *alike)
            found += {id(layer): layer for layer in inner}.values()
        return found

    def _of_class(self, layer: Layer, layer_class: str) -> Sequence[Layer]:
        if id(layer) not in self._classes:
            table: _Table = {}
            for each in layer.walk():
                if each is not layer:
                    table.setdefault(each.layer_class, []).append(each)
            self._classes[id(layer)] = table
        return self._classes[id(layer)].get(layer_class, ())


def _by_name(layers: Iterable[Layer]) -> _Table:
    table: _Table = {}
    for layer in layers:
        for name in _names_of(layer):
            table.setdefault(name, []).append(layer)
    return table


def _names_of(layer: Layer) -> tuple[str, ...]:
    """Return what a component of a path may call a layer; Keras 2 put ``backward_`` before a user's own."""
    if layer.attributes == ("backward_layer",):
        return layer.name, f"backward_{layer.name}"
    return (layer.name,)


def _having(variable: str, layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers that have a variable of this name; none where too many could be meant."""
    return [] if len(layers) > _MOST else [one for one in layers if explains(one, variable)]


def _unwrapped(layer: Layer, variable: str) -> Layer:
    """Return the layer inside wrappers that have no such variable of their own."""
    while len(layer.children) == 1 and not explains(layer, variable) and not layer.is_model:
        layer = layer.children[0]
    return layer
