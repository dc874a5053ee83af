"""From a catalog to what each tensor is: its name, role, layer, geometry and declared constraint."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from weightaudit.catalog import Catalog, Defect, Entry, Layout
from weightaudit.identity.optimizer import is_second_moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.identity.describe import Described
    from weightaudit.tensor import TensorInfo

__all__ = ["Identified", "identify", "is_second_moment"]


@dataclass(frozen=True, slots=True)
class Identified:
    """What every tensor of a model is.

    Attributes:
        tensors: Each tensor once, under a name that is unique in the model, with where it is stored.
        defects: Variables that the configuration promises and the file lacks.
        notes: Sentences for the user that are no findings.
        copies: Second stored copies of a variable, by the key of the tensor that stands for both.
    """

    tensors: tuple[tuple[TensorInfo, Entry], ...]
    defects: tuple[Defect, ...] = ()
    notes: tuple[str, ...] = ()
    copies: Mapping[str, Entry] = field(default_factory=dict[str, Entry])


def identify(catalog: Catalog) -> Identified:
    """Say what each tensor of a catalog is.

    Configurations are read as data of a stranger: whatever does not fit leaves a tensor UNKNOWN,
    and nothing is raised.

    Args:
        catalog: Tensors and parsed documents of one saved model.
    """
    copies: Mapping[str, Entry] = {}
    # Each layout is imported when it is met: a check of a .keras file never loads the others.
    if catalog.layout is Layout.TENSORFLOW:
        from weightaudit.identity.constants import split_constants
        from weightaudit.identity.tensorflow import drop_copies, identify_tensorflow

        catalog, constants = split_constants(catalog)
        catalog, copies = drop_copies(catalog)
        tensors, defects, notes = identify_tensorflow(catalog)
        tensors += constants
    elif catalog.layout is Layout.KERAS_LEGACY:
        from weightaudit.identity.legacy import identify_legacy

        tensors, defects, notes = identify_legacy(catalog)
    else:
        from weightaudit.identity.keras3 import identify_keras3

        tensors, defects, notes = identify_keras3(catalog)
    stored = f"{len(copies)} variables are stored twice, as Keras 3 exports are; each is audited once."
    return Identified(_unique(tensors), tuple(defects), (*([stored] if copies else ()), *notes), copies)


def _unique(tensors: Sequence[Described]) -> tuple[Described, ...]:
    """Add the key to names that more than one tensor has; the last component keeps telling the variable."""
    counts = Counter([info.name for info, _ in tensors])
    if len(counts) == len(tensors) and "" not in counts:
        return tuple(tensors)
    unique: list[Described] = []
    taken: set[str] = set()
    for info, entry in tensors:
        name = info.name
        if counts[name] > 1 or not name:
            layer, slash, variable = name.rpartition("/")
            name = f"{layer} ({info.key}){slash}{variable}".strip()
        while name in taken:
            name += "'"
        taken.add(name)
        unique.append((replace(info, name=name) if name != info.name else info, entry))
    return tuple(unique)
