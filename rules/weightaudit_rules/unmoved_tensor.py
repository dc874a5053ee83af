"""WA602: weights that training left alone while it moved the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.globs import matches
from weightaudit.rule import Example, Severity
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require
from weightaudit_rules._reference import (
    TRAINED,
    ReferenceRule,
    adapted,
    counterparts,
    trained_on,
    unmatched,
)
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.comparison import Comparison, TensorComparison
    from weightaudit.rule import Finding


@dataclass(frozen=True)
class UnmovedTensor(ReferenceRule):
    """Weights are the same as in the reference, though they should have moved.

    Why it matters: a layer that gets no gradient, was left out of the optimizer, was frozen by
    mistake, or was overwritten with an old copy holds the model back, and no loss curve names it.

    Formula: a weight has not moved if every bit is that of the reference, or, where `tolerance` is
    given, if ||w - w0|| / ||w0|| is not above it. SageMaker Debugger's UnchangedTensor compares
    with rtol 1e-5 and atol 1e-8; no tolerance is the default here, because a step with
    any usual learning rate changes bits.

    What is normal: every trained kernel, bias, scale and offset moves in every epoch. By default a
    weight is told if most of the others moved (at most `share` of them did not) and no
    configuration says that it is frozen, nor low-rank adapters (LoRA) are stored beside it, which
    are trained in its place. With `moving`, exactly the tensors that it matches are
    judged, whatever the others did, and one that did not move is an error.

    Known false positives: layers that this training does not use, such as another head; transfer
    learning in files that do not say what was frozen (weights alone, checkpoints), where about half
    of the weights are frozen; units that are all dead, whose bias has no gradient;
    offsets that cancel, as in the difference of two outputs of one layer;
    learning rates so small that an update is less than half of the last digit of a float32 number,
    which is 6e-8 of it (in an epoch of SGD with 1e-7, norm scales near 1 rested and all else moved).

    How to mend: set `trainable`, see that the loss depends on the layer, and that the optimizer was
    made after it; name the tensors that may rest in an override that ignores the rule.

    Attributes:
        moving: Globs of tensor names that must have moved; empty: judged by what the others did.
            One that matches no weight is a warning.
        share: Largest share of the weights that may rest for these to be told, 0 to 1.
        tolerance: Relative change up to which a weight counts as not moved.
    """

    moving: tuple[str, ...] = ()
    share: float = 0.5
    tolerance: float = 0.0

    code = "WA602"
    name = "unmoved-tensor"
    severity = Severity.ERROR
    examples = (
        Example(
            title="a kernel that moved, as demanded",
            values=trained_on,
            severity=None,
            options={"moving": ("layer/*",)},
            reference=trained_kernel,
        ),
        Example(
            title="a model in which nothing moved: two copies of one checkpoint",
            values=trained_kernel,
            severity=None,
            reference=trained_kernel,
        ),
        Example(
            title="a kernel that did not move, against the demand",
            values=trained_kernel,
            severity=Severity.ERROR,
            options={"moving": ("*/kernel",)},
            reference=trained_kernel,
        ),
        Example(
            title="a kernel that moved by a millionth, against the demand",
            values=lambda: trained_kernel() * 1.000001,
            severity=Severity.ERROR,
            options={"moving": ("*",), "tolerance": 1e-5},
            reference=trained_kernel,
        ),
    )

    def __post_init__(self) -> None:
        require(0 <= self.share < 1, "share must be at least 0 and below 1")
        require(self.tolerance >= 0, "tolerance must not be negative")

    def check_reference(self, comparison: Comparison) -> Iterator[Finding]:
        for pattern in unmatched(comparison, self.moving):
            message = (
                f"{pattern!r} in `moving` matches no weight that could be compared, so it judged nothing."
            )
            yield self.finding(None, message, Severity.WARNING, pattern=pattern)
        frozen = frozenset[str]() if self.moving else adapted(comparison).resting
        pairs = (one for one in counterparts(comparison) if one.second and one.second.name not in frozen)
        judged = [one for one in pairs if self._is_judged(one)]
        resting = [one for one in judged if self._rests(one)]
        if not self.moving and len(resting) > self.share * len(judged):
            return
        moved = len(judged) - len(resting)
        others = part(moved, len(judged), "weight", "has", "have")
        for one in resting:
            if one.second is None:
                continue
            yield self.finding(
                one.second,
                "It is as in the reference, and the policy says that it moves."
                if self.moving
                else f"It is as in the reference, while {others} moved.",
                Severity.ERROR if self.moving else Severity.WARNING,
                moved=moved,
                weights=len(judged),
            )

    def _is_judged(self, one: TensorComparison) -> bool:
        infos = [info for info in (one.first, one.second) if info is not None]
        if self.moving:
            return matches(infos[-1].name, self.moving)
        return all(info.role in TRAINED and info.trainable is not False for info in infos)

    def _rests(self, one: TensorComparison) -> bool:
        return not one.moved or (one.difference is not None and one.difference.relative <= self.tolerance)
