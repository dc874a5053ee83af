"""Comparing what is recovered from a file with the live model's own answers, tensor by tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import prod
from typing import Any

from tests.zoo.live import Answer
from weightaudit.checkpoint import Checkpoint
from weightaudit.identity.classes import canonical
from weightaudit.identity.layers import role_of
from weightaudit.tensor import Declared, Role, TensorInfo

ATTRIBUTES = (
    "name", "role", "layer class", "trainable", "constraint", "regularizer", "initializer", "policy", "fans",
)  # fmt: skip
"""What is compared, in the order of the table."""

# keras.initializers.compute_fans takes every tensor for a convolution kernel; it is right for these.
_USUAL_FANS = frozenset({"Dense", "Conv1D", "Conv2D", "Conv3D"})


@dataclass
class Tally:
    """What was recovered from files of one kind.

    Attributes:
        asked: How many tensors have an answer, by attribute.
        right: For how many of them the file gave the same answer.
        stored: Variables of live models that the files hold.
        live: Variables of live models.
        wrong: Answers that were given as certain and differ from the live model's.
        missed: What else is not recovered.
        extra: Tensors of which the live model knows nothing.
        defects: What is reported as missing or damaged.
        notes: Remarks for the user.
    """

    asked: Counter[str] = field(default_factory=Counter[str])
    right: Counter[str] = field(default_factory=Counter[str])
    stored: int = 0
    live: int = 0
    wrong: list[str] = field(default_factory=list[str])
    missed: list[str] = field(default_factory=list[str])
    extra: list[str] = field(default_factory=list[str])
    defects: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])

    def row(self) -> list[str]:
        """Return the cells of a table: how many of how many answers are right."""
        cells = [f"{self.stored}/{self.live}"]
        cells += [
            f"{self.right[each]}/{self.asked[each]}" if self.asked[each] else "-" for each in ATTRIBUTES
        ]
        return [*cells, str(len(self.wrong))]

    def add(self, other: Tally) -> None:
        """Add what was recovered from another file of the same kind."""
        self.asked += other.asked
        self.right += other.right
        self.stored += other.stored
        self.live += other.live
        for mine, its in zip(self._lists(), other._lists(), strict=True):
            mine.extend(its)

    def _lists(self) -> tuple[list[str], ...]:
        return self.wrong, self.missed, self.extra, self.defects, self.notes


def compare(checkpoint: Checkpoint, live: Iterable[Answer], tally: Tally, case: str) -> None:
    """Match the tensors of a file with variables by type, shape and bytes, and count what agrees."""
    unmatched: dict[tuple[object, ...], list[TensorInfo]] = {}
    for info in checkpoint.tensors:
        if info.is_numeric:
            unmatched.setdefault((info.shape, checkpoint.read_stored(info.name)), []).append(info)
    answers = list(live)
    paths = {answer.path for answer in answers}
    for answer in answers:
        found = unmatched.get((answer.shape, answer.data), [])
        tally.live += 1
        if not found:
            tally.missed.append(f"{case}: {answer.path}")
            continue
        tally.stored += 1
        info = next((each for each in found if each.name == answer.path), found[0])
        found.remove(info)
        _judge(info, answer, paths, tally, case)
    tally.extra += [f"{case}: {info.name}" for rest in unmatched.values() for info in rest]


def _judge(info: TensorInfo, answer: Answer, paths: AbstractSet[str], tally: Tally, case: str) -> None:
    for attribute, expected, given in _answers(info, answer):
        if expected is not None:
            tally.asked[attribute] += 1
            tally.right[attribute] += given == expected
        if given == expected:
            continue
        # A name misleads if it is that of another variable; a shorter one, or a number, does not.
        claims = given is not None and info.is_certain
        if attribute == "name":
            claims = claims and (given in paths or (answer.kind == "slot" and not given[-1].isdigit()))
        if claims:
            tally.wrong.append(f"{case}: {answer.path}: {attribute} is {expected}, not {given} ({info.name})")
        else:
            tally.missed.append(
                f"{case}: {answer.path}: {attribute} is {expected}, not {given} ({info.name})"
            )


def _answers(info: TensorInfo, answer: Answer) -> Iterator[tuple[str, Any, Any]]:
    """Yield each attribute with the live model's answer and the file's; None for no answer."""
    if answer.kind != "factor":
        yield "name", answer.path, info.name
    yield "role", _role(answer), None if info.role is Role.UNKNOWN else info.role
    yield "trainable", answer.trainable, info.trainable
    if answer.kind != "weight":
        return
    yield "layer class", canonical(answer.layer_class), info.layer_class.rpartition(">")[2] or None
    yield "constraint", _plain(answer.constraint), _plain(info.constraint)
    yield "regularizer", _plain(answer.regularizer), _plain(info.regularizer)
    # What Keras gives to integers is only there until quantized weights are put in.
    if answer.initializer is not None and "int" not in answer.dtype and info.role is not Role.QUANTIZATION:
        yield "initializer", _plain(answer.initializer), _plain(info.initializer)
    yield "policy", answer.policy or None, getattr(info, "policy", "") or None
    if answer.layer_class in _USUAL_FANS and answer.path.endswith("/kernel") and "int" not in answer.dtype:
        *window, inputs, outputs = answer.shape
        fans = (prod(window) * inputs, prod(window) * outputs)
        yield "fans", fans, None if info.fan_in is None else (info.fan_in, info.fan_out)


def _role(answer: Answer) -> Role | None:
    if answer.kind == "seed":
        return Role.SEED
    name = answer.path.rpartition("/")[2]
    if answer.kind in {"slot", "factor"}:
        return Role.OPTIMIZER_SLOT
    if answer.kind == "optimizer":
        return Role.COUNTER if "int" in answer.dtype else Role.HYPERPARAMETER if not answer.shape else None
    role = role_of(name, canonical(answer.layer_class))
    return None if role is Role.UNKNOWN else role


def _plain(declared: Declared | None) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """Return the class and arguments of a declaration, so that lists equal tuples."""
    if declared is None:
        return None
    config = {
        key: list(item) if isinstance(item, tuple | list) else item for key, item in declared.config.items()
    }
    # A seed is drawn anew; axes are derived from the equation of the layer, since Keras 3.15.
    for key in ("seed", "input_axes", "output_axes"):
        config.pop(key, None)
    kept = sorted((key, str(item)) for key, item in config.items() if item is not None)
    return declared.name.removeprefix("VarianceScaling"), tuple(kept)
