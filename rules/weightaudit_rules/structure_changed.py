"""WA607: tensors that are gone, new, or of another shape or type than in the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.comparison import Status
from weightaudit.rule import Example, Severity
from weightaudit_rules._reference import ReferenceRule, matches, trained
from weightaudit_rules._roles import is_second_copy, is_weight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.comparison import Comparison, TensorComparison
    from weightaudit.rule import Finding


@dataclass(frozen=True)
class StructureChanged(ReferenceRule):
    """A weight of the reference is gone, or has another shape or type, or there is a new one.

    Why it matters: layers in plain lists, subclassed layers that do not track their parts, and
    converters that pass over what they do not know all save models that lack weights. Such a model
    loads, with fresh numbers where the old ones were.

    Formula: tensors are paired by name, and where containers name them differently by place, path,
    layer or content, as in `weightaudit diff`; what no pairing finds is gone, or new. Where not one
    pair is found, that is the only finding. Optimizer states, metrics, counters and seeds are left
    out.

    What is normal: checkpoints of one training have the same tensors. A tensor that is gone, or
    whose shape is another, is an error; a new one and a type that changes values are warnings; a
    wider type that holds the very same values is a note.

    Known false positives: another head after transfer learning (its shape differs); layers that
    were renamed and trained on, which are told as gone and as new; an export to a narrower or
    quantized type.

    How to mend: save the whole model again, with every layer as an attribute; name what is meant to
    differ in `expected`.

    Attributes:
        expected: Globs of tensor names that may differ in this way.
    """

    expected: tuple[str, ...] = ()

    relies_on_role = False
    code = "WA607"
    name = "structure-changed"
    severity = Severity.ERROR
    examples = (
        Example(title="the same shape and type", values=trained, severity=None, reference=trained),
        Example(
            title="another shape, as the policy expects",
            values=lambda: trained()[:, :10],
            severity=None,
            options={"expected": ("layer/*",)},
            reference=trained,
        ),
        Example(
            title="the same values in a wider type",
            values=lambda: trained().astype(np.float16).astype(np.float32),
            severity=Severity.NOTE,
            reference=lambda: trained().astype(np.float16),
        ),
        Example(
            title="values rounded to float16",
            values=lambda: trained().astype(np.float16),
            severity=Severity.WARNING,
            reference=trained,
        ),
        Example(
            title="another shape",
            values=lambda: trained()[:, :10],
            severity=Severity.ERROR,
            reference=trained,
        ),
    )

    def check_reference(self, comparison: Comparison) -> Iterator[Finding]:
        pairs = sum(one.first is not None and one.second is not None for one in comparison.tensors)
        if comparison.tensors and not pairs:
            message = f"No tensor of it matches one of {comparison.first}: is that the same model?"
            yield self.finding(None, message, tensors=len(comparison.tensors))
            return
        for one in comparison.tensors:
            info = one.second or one.first
            if info is None or not is_weight(info) or matches(info.name, self.expected):
                continue
            # Of the containers, only those of Keras 3 store the kernel of a SpectralNormalization twice.
            if is_second_copy(info) and one.status in {Status.ADDED, Status.REMOVED}:
                continue
            said = _said(one)
            if said is not None:
                yield self.finding(info, said[1], said[0], status=one.status.value)


def _said(one: TensorComparison) -> tuple[Severity, str] | None:
    """Return how bad it is, and what happened; None if nothing did."""
    first, second = one.first, one.second
    if first is None or second is None:
        if one.status is Status.REMOVED and first is not None:
            what = f"It is in the reference ({_shape(first.shape)} {first.dtype})"
            return Severity.ERROR, f"{what}, and no tensor of this model matches it."
        if one.status is Status.ADDED:
            return Severity.WARNING, "It is new: no tensor of the reference matches it."
    elif one.status is Status.RESHAPED:
        return (
            Severity.ERROR,
            f"Its shape is {_shape(second.shape)}, and {_shape(first.shape)} in the reference.",
        )
    elif one.status is Status.RETYPED:
        types = f"Its type is {second.dtype}, and {first.dtype} in the reference"
        if one.is_lossless:
            return Severity.NOTE, f"{types}, with the same values."
        return Severity.WARNING, f"{types}, and its values differ."
    return None


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
