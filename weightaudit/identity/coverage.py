"""What a file of a TensorFlow checkpoint lacks, as far as it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.catalog import Defect, Entry, Flaw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from weightaudit.identity.config import Layer
    from weightaudit.identity.describe import Described

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def losses_of_checkpoints(entries: Sequence[Entry]) -> list[str]:
    """Return a warning where a subclassed model of Keras 3 was saved without Keras."""
    if any("/_operations/" in entry.key for entry in entries):
        return []
    if not any("/_kernel/.ATTRIBUTES/" in entry.key for entry in entries):
        return []
    warning = (
        "tf.train.Checkpoint leaves out layers that a Keras 3 model holds in lists or dicts, and nothing "
        "in the file tells whether this model has any; model.save_weights() stores them all."
    )
    return [warning]


def unstored(root: Layer, tensors: Sequence[Described]) -> list[Defect]:
    """Return a defect for each configured layer of which no tensor is stored, going by names."""
    stored = {component for info, _ in tensors for component in info.name.split("/")}
    expected = list(with_variables(root))
    absent = [layer for layer in expected if layer.name not in stored]
    # Automatic names count the layers of a program: those of another run tell nothing.
    if 2 * len(absent) > len(expected):
        return []
    message = (
        "The configuration declares the layer {0.name} ({0.layer_class}), but no tensor of it is in the "
        "checkpoint; save the model again with model.save_weights()."
    )
    return [Defect(Flaw.MISSING_TENSOR, message.format(layer), layer.name) for layer in absent]


def with_variables(model: Layer) -> Iterator[Layer]:
    """Yield the layers of a model, and of models in it, that surely have variables."""
    for layer in model.children:
        if layer.is_model:
            yield from with_variables(layer)
        elif any(each.builtin and each.variables for each in layer.walk()):
            yield layer


def unlisted(entries: Iterable[Entry], names: Mapping[str, str]) -> list[Defect]:
    """Return a defect for each variable that the object graph lists under a key that is not stored."""
    stored = {entry.key for entry in entries}
    keys = [key for key in names if key not in stored and not key.startswith("_all_variables/")]
    message = "The object graph lists {}, but the index of the checkpoint does not; save the model again."
    paths = [key.removesuffix(_SUFFIX) for key in keys]
    return [Defect(Flaw.MISSING_TENSOR, message.format(path), path) for path in paths]
