"""What was measured of the tensors of a model, as far as it was: a report may know less than pages show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.portrait import portrait

if TYPE_CHECKING:
    from weightaudit.portrait import Portrait
    from weightaudit.report import ModelReport
    from weightaudit.tensor import TensorInfo


def portraits(model: ModelReport) -> dict[int, Portrait]:
    """Return the portraits of the tensors of a model by place; without those of which less is known."""
    found = ((place, portrayed(info, model)) for place, info in enumerate(model.tensors))
    return {place: one for place, one in found if one is not None}


def portrayed(info: TensorInfo, model: ModelReport | None) -> Portrait | None:
    """Return the portrait of a tensor; None where not even its plain statistics were measured."""
    stats = None if model is None else model.stats.get(info.name)
    try:
        return None if stats is None else portrait(info, stats)
    except KeyError:
        return None
