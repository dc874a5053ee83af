"""Layers that do more, when Keras loads or runs them, than compute with what the file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.catalog import Defect, Flaw
from weightaudit.identity.config import Layer, as_list, as_mapping, as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LOOKUPS = frozenset(["IntegerLookup", "StringLookup", "TextVectorization"])
_MOST_NAMED = 5

_CODE = "holds Python code, which runs when the model is loaded or called"
_MODEL = "loads another model from a path"
_PICKLE = "holds a pickled module of PyTorch, which runs code when it is loaded"
_VOCABULARY = "reads its vocabulary from a path"


def reaching(layers: Iterable[Layer]) -> list[Defect]:
    """Return a remark for each kind of layer that reaches beyond the file, with the layers' names.

    A Lambda around a function that the program has to know by name holds no code, and is left out.

    Args:
        layers: The layers of a configuration, those inside others too.
    """
    found: dict[str, dict[str, None]] = {}
    for layer in layers:
        for kind in _kinds(layer):
            found.setdefault(kind, {})[layer.name or layer.layer_class] = None
    return [Defect(Flaw.REACH, f"{_named([*names])} {kind}.") for kind, names in found.items()]


def _kinds(layer: Layer) -> Iterator[str]:
    config = layer.config
    if _has_code(layer):
        yield _CODE
    if layer.layer_class == "TFSMLayer" and as_text(config.get("filepath")):
        yield _MODEL
    elif layer.layer_class == "TorchModuleWrapper" and config.get("module"):
        yield _PICKLE
    elif layer.layer_class in _LOOKUPS and as_text(config.get("vocabulary")):
        yield _VOCABULARY


def _has_code(layer: Layer) -> bool:
    # Keras 2 writes a list of the code, its defaults and its closure; Keras 3 marks code wherever it stands.
    if layer.layer_class == "Lambda" and as_list(layer.config.get("function")):
        return True
    return any(as_mapping(value).get("class_name") == "__lambda__" for value in layer.config.values())


def _named(names: list[str]) -> str:
    told = ", ".join(names[:_MOST_NAMED])
    rest = len(names) - _MOST_NAMED
    kind = "The layer" if len(names) == 1 else "Each of the layers"
    return f"{kind} {told} and {rest} more" if rest > 0 else f"{kind} {told}"
