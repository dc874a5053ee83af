"""WA603: weights that moved though they are frozen."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.globs import matches
from weightaudit.numerals import numeral
from weightaudit.rule import Example, Severity
from weightaudit.tensor import Role
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require
from weightaudit_rules._reference import (
    STATISTICS,
    ReferenceRule,
    adapted,
    counterparts,
    evidence,
    is_frozen,
    trained_on,
    unmatched,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.comparison import Comparison, TensorComparison
    from weightaudit.rule import Finding


@dataclass(frozen=True)
class ThawedTensor(ReferenceRule):
    """Weights moved against the reference, though they are frozen.

    Why it matters: a backbone that was to stay as it is has changed (frozen after `compile`, or
    only in one of its inner models), so what was measured of it, or is shared with other models,
    no longer holds. The moving statistics of a BatchNormalization may leave even where its weights
    are frozen, if it is called in training mode.

    Formula: a weight has moved if a bit differs and ||w - w0|| / ||w0|| is above `tolerance`.

    What is normal: not a bit of a frozen layer changes. By default a weight counts as frozen if the
    configurations of both models declare `trainable=False` for its layer; moving statistics do if
    their layer's scale and offset are. A kernel with low-rank adapters (LoRA) is declared as not
    trained, but ``.keras`` files store it with them added, so it is not judged where another weight
    of its layer is trained. With `frozen`, exactly the tensors that it matches are
    judged, and one that moved is an error.

    Known false positives: a network that is trained alone and frozen inside another one, as the
    discriminator of a GAN is; layers without a bias whose adapters were added to the kernel; storing
    in another type, such as float16, which moves values by rounding (give a tolerance).

    How to mend: take the tensors from the reference (`weightaudit repair --donor`), freeze before
    `compile`, and call frozen normalizations with `training=False`.

    Attributes:
        frozen: Globs of tensor names that must not have moved; empty: what both models declare.
            One that matches no weight is a warning.
        tolerance: Relative change up to which a weight counts as not moved.
    """

    frozen: tuple[str, ...] = ()
    tolerance: float = 0.0

    code = "WA603"
    name = "thawed-tensor"
    severity = Severity.ERROR
    examples = (
        Example(
            title="a frozen kernel that stayed as it was",
            values=trained_kernel,
            severity=None,
            info={"trainable": False},
            reference=trained_kernel,
        ),
        Example(
            title="a kernel that was trained",
            values=trained_on,
            severity=None,
            info={"trainable": True},
            reference=trained_kernel,
        ),
        Example(
            title="moving variances of a layer of which nothing says that it is frozen",
            values=lambda: np.full(32, 0.5, np.float32),
            severity=None,
            info={"role": "moving_variance", "layer_class": "BatchNormalization", "trainable": False},
            reference=lambda: np.ones(32, np.float32),
        ),
        Example(
            title="a kernel that both models declare as frozen",
            values=trained_on,
            severity=Severity.WARNING,
            info={"trainable": False},
            reference=trained_kernel,
        ),
        Example(
            title="a kernel that the policy says is frozen",
            values=trained_on,
            severity=Severity.ERROR,
            options={"frozen": ("layer/*",)},
            reference=trained_kernel,
        ),
    )

    def __post_init__(self) -> None:
        require(self.tolerance >= 0, "tolerance must not be negative")

    def check_reference(self, comparison: Comparison) -> Iterator[Finding]:
        for pattern in unmatched(comparison, self.frozen):
            message = (
                f"{pattern!r} in `frozen` matches no weight that could be compared, so it judged nothing."
            )
            yield self.finding(None, message, Severity.WARNING, pattern=pattern)
        pairs = list(counterparts(comparison))
        layers: set[str] = set() if self.frozen else _frozen_layers(pairs)
        merged = adapted(comparison).merged
        for one in pairs:
            found = one.difference
            if one.second is None or not one.moved or found is None or found.relative <= self.tolerance:
                continue
            if self.frozen and matches(one.second.name, self.frozen):
                message = "It has moved, and the policy says that it is frozen"
            elif not self.frozen and is_frozen(one) and one.second.name not in merged:
                message = "It has moved, though both models declare its layer as frozen"
            elif one.second.role in STATISTICS and one.second.layer in layers:
                message = "These statistics have moved, though their layer is frozen"
            else:
                continue
            yield self.finding(
                one.second,
                f"{message}: a relative change of {numeral(found.relative)}.",
                Severity.ERROR if self.frozen else Severity.WARNING,
                **evidence(found),
            )


def _frozen_layers(pairs: list[TensorComparison]) -> set[str]:
    """Return the layers whose scale and offset, as far as they have them, are all frozen."""
    frozen: dict[str, list[bool]] = defaultdict(list)
    for one in pairs:
        if one.second is not None and one.second.role in {Role.NORM_SCALE, Role.NORM_OFFSET}:
            frozen[one.second.layer].append(is_frozen(one))
    return {layer for layer, members in frozen.items() if layer and all(members)}
