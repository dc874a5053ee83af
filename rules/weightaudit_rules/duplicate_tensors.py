"""WA503: kernels and embeddings that hold the same numbers as another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit_rules._initial import start_of
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_second_copy, is_weight
from weightaudit_rules._training import EXTREMES, MOMENTS, STATE_NEEDS, State, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic
    from weightaudit.tensor import TensorInfo

_WHOLE = 3
"""From so many copies on that make up half of all kernels, a part of the model was copied, not a layer."""


def _kernel(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, (64, 32)).astype(np.float32)


def _signs(seed: int) -> NDArray[np.float32]:
    return np.sign(_kernel(seed))


def _other(values: Callable[[], NDArray[np.float32]], **info: Any) -> tuple[Example, ...]:
    named = {"name": "other/kernel", "layer": "other"} | info
    return (Example(title="other", values=values, severity=None, info=named),)


@dataclass(frozen=True)
class DuplicateTensors(Rule):
    """Two kernels or embeddings of a model hold the same numbers.

    Why it matters: layers that are trained apart never agree. One was loaded into the place of the other (a
    loop that used one index twice, a name that matched twice), a copy was left behind by an export, or the
    same seed made them and neither was trained.

    What is normal: no two. Weights that layers share are stored once, or taken for one tensor.

    Formula: tensors of one role, shape and type are called equal if sum, sum of squares, minimum and maximum
    are, bit for bit. Equal bytes give equal sums, because every tensor is added up in the same order. The
    converse is no certainty: the same numbers in another order may give the same sums. But numbers that
    differ hardly do: each of 64 float32 numbers brings 24 bits, so their sum and their sum of squares take
    one of more than 2**24 values each. That holds where values spread over a range, so tensors whose sum
    of squares is a whole number, or whose extremes are opposite (signs, one-hot rows, ternary and clipped
    weights), are not judged. Tried with 200,000 random tensors of 64 values each in float32, float16 and
    bfloat16: no two of the 2e10 pairs of a type agreed.

    Measured: none in 12 fresh architectures of ``keras.applications``, 120 states of small models in
    training, 58 real models and 269 test files. In trained models each kernel in turn was copied over
    another of its shape: 182 of 182 were found.

    Known false positives: tied embeddings that an exporter wrote twice (a note), target networks and averaged
    copies kept inside of the model (a single note, where copies make up half of it), layers made with one
    fixed seed that were not trained (a note).

    How to mend: find out which of the two is right, and load or train the other again; share the layer if
    the weights are meant to be tied.

    Attributes:
        min_size: Elements that a tensor has at least to be judged.
    """

    min_size: int = 64

    code = "WA503"
    name = "duplicate-tensors"
    severity = Severity.WARNING
    examples = (
        Example(
            title="two kernels", values=lambda: _kernel(1), severity=None, beside=_other(lambda: _kernel(2))
        ),
        Example(
            title="kernels of signs, whose sums may agree by chance",
            values=lambda: _signs(1),
            severity=None,
            beside=_other(lambda: _signs(1)),
        ),
        Example(
            title="the same kernel twice",
            values=lambda: _kernel(1),
            severity=Severity.WARNING,
            beside=_other(lambda: _kernel(1)),
        ),
        Example(
            title="an embedding that was written twice",
            values=lambda: _kernel(1),
            severity=Severity.NOTE,
            info={"role": "embedding", "layer_class": "Embedding"},
            beside=_other(lambda: _kernel(1), role="embedding", layer_class="Embedding"),
        ),
    )

    def __post_init__(self) -> None:
        require(self.min_size >= 16, "min_size must be at least 16")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return info.role in MATRIX_ROLES and info.size >= self.min_size and is_weight(info)

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return STATE_NEEDS

    def check_model(self, model: Measured) -> Iterator[Finding]:
        alike: dict[object, list[TensorInfo]] = defaultdict(list)
        for info in model.tensors:
            if (
                info.trainable is not False
                and not is_second_copy(info)
                and self.applies(info)
                and (fingerprint := _fingerprint(info, model))
            ):
                alike[fingerprint].append(info)
        judged = sum(map(len, alike.values()))
        groups = [group for group in alike.values() if len(group) > 1]
        copies = sum(len(group) - 1 for group in groups)
        if copies >= _WHOLE and 2 * sum(map(len, groups)) >= judged:
            yield self.finding(
                None,
                f"{copies} of {judged} kernels and embeddings are copies of others, "
                f"such as {groups[0][1].name} of {groups[0][0].name}: "
                "a part of the model is in it twice, as a target network is.",
                Severity.NOTE,
                copies=copies,
                judged=judged,
            )
            return
        for group in groups:
            yield from self._copies(group, model)

    def _copies(self, group: Sequence[TensorInfo], model: Measured) -> Iterator[Finding]:
        first = group[0]
        fresh = state_of(first, model.stats[first.name], start_of(first)) is State.INITIAL
        for info in group[1:]:
            if fresh:
                ending = "both are as the same seed made them."
                severity = Severity.NOTE
            elif info.role is Role.EMBEDDING:
                ending = "if they are tied, one is superfluous; if not, one was overwritten."
                severity = Severity.NOTE
            else:
                ending = "one was loaded or copied into the place of the other."
                severity = Severity.WARNING
            yield self.finding(
                info,
                f"It holds the same {info.size} numbers as {first.name}; {ending}",
                severity,
                size=info.size,
            )


def _fingerprint(info: TensorInfo, model: Measured) -> tuple[object, ...]:
    """Return what equal tensors agree in; nothing if others could agree in it by chance."""
    stats = model.stats.get(info.name)
    if stats is None or MOMENTS not in stats or EXTREMES not in stats:
        return ()
    sums, found = stats[MOMENTS], stats[EXTREMES]
    if sums.count != info.size or found.minimum == -found.maximum or float(sums.squares).is_integer():
        return ()
    if found.minimum == found.maximum:
        return ()
    return (info.role, info.shape, info.dtype, sums.total, sums.squares, found.minimum, found.maximum)
