"""What a comparison says: plain data, without numpy, so that commands and renderers start quickly."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf, nan
from typing import TYPE_CHECKING

from weightaudit.report import ExitCode

if TYPE_CHECKING:
    from weightaudit.tensor import TensorInfo


class Status(StrEnum):
    """What became of one tensor."""

    UNREAD = "unread"
    """It could not be read in one of the models, so nothing is known."""
    REMOVED = "removed"
    ADDED = "added"
    RESHAPED = "reshaped"
    """Its shape is another, so its elements have no counterparts."""
    RETYPED = "retyped"
    """Its storage type is another; its values were compared after decoding."""
    CHANGED = "changed"
    """Some of its stored bits differ."""
    RENAMED = "renamed"
    """It is the same bit for bit, under a name that nothing but its content connects with the other."""
    EQUAL = "equal"
    """It is the same bit for bit."""


class Match(StrEnum):
    """How it is known that two tensors are one."""

    NAME = "name"
    """Both have the same name."""
    PLACE = "place"
    """Both have the same place in their files: how Keras itself finds weights when it loads them."""
    PATH = "path"
    """Their paths are the same but for what a container puts before them."""
    LAYER = "layer"
    """Their layers are paired, and they are the same variable of it, or the only one of its shape."""
    CONTENT = "content"
    """They are the same bit for bit, and not one value repeated."""
    ORDER = "order"
    """A guess: both models have as many of the kind, and both are at the same place in its order."""
    LIKENESS = "likeness"
    """A guess: their numbers correlate, and with those of no other tensor nearly as much."""

    @property
    def is_guess(self) -> bool:
        """Whether nothing in the files says that both tensors are one."""
        return self in {Match.ORDER, Match.LIKENESS}


@dataclass(frozen=True, slots=True)
class MovedChannel:
    """One output channel of a kernel in two models.

    Attributes:
        index: Its index along the output axes.
        relative: Norm of the difference over the norm of the first.
        cosine: Cosine of the angle between both; 0 if the second is zero.
        gain_ratio: How many times larger the second is, by its norm.
    """

    index: tuple[int, ...]
    relative: float
    cosine: float
    gain_ratio: float


@dataclass(frozen=True, slots=True)
class ChannelDrift:
    """How far the output channels of a kernel moved.

    Attributes:
        channels: How many there are.
        median: Median of their relative changes, but for channels whose norm is below a tenth of the
            median norm.
        furthest: Of the same, the eight with the largest relative change, the largest first.
    """

    channels: int
    median: float
    furthest: tuple[MovedChannel, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """How the numbers of two tensors differ, after decoding; parts of complex numbers count singly.

    Norms, `relative`, `largest` and `cosine` are over elements that are finite in both, in float64.

    Attributes:
        size: Numbers in each tensor.
        elements: How many differ: in their bits, or in value where the storage types do.
        relative: Norm of the difference over the norm of the first; Inf where that is zero and the
            difference is not, 0 where both are, NaN where a sum of squares exceeds float64.
        largest: Largest difference of one element, 0 if there is none.
        place: Index of that element in the tensor as it is decoded; None if there is none.
        before: Its value in the first.
        after: Its value in the second.
        sign_flips: Numbers that are positive in one and negative in the other.
        zeros_before: Zeros in the first.
        zeros_after: Zeros in the second.
        nonfinite_before: NaN and infinities in the first.
        nonfinite_after: NaN and infinities in the second.
        nonfinite_new: Numbers that are finite in the first and not in the second.
        nonfinite_gone: Numbers that are finite in the second and not in the first.
        nonfinite_other: Numbers that are finite in neither, and not the same.
        cosine: Cosine of the angle between both as vectors; NaN if either norm is zero.
        norm_before: Euclidean norm of the first; infinite where its sum of squares exceeds float64.
        norm_after: That of the second.
        channels: How far its output channels moved; None for what is no kernel with 2 to 65,536 channels
            of at least 16 numbers each.
    """

    size: int
    elements: int
    relative: float
    largest: float
    place: tuple[int, ...] | None
    before: float | None
    after: float | None
    sign_flips: int
    zeros_before: int
    zeros_after: int
    nonfinite_before: int
    nonfinite_after: int
    nonfinite_new: int
    nonfinite_gone: int
    nonfinite_other: int
    cosine: float
    norm_before: float
    norm_after: float
    channels: ChannelDrift | None = None

    @property
    def gain_ratio(self) -> float:
        """How many times larger the second is, by its norm; Inf if the first is zero, NaN if both are.

        Both have the same shape, so it is also the ratio of their root mean squares and of their gains.
        """
        if self.norm_before:
            return self.norm_after / self.norm_before
        return inf if self.norm_after else nan

    @property
    def touches_nonfinite(self) -> bool:
        """Whether a NaN or an infinity came, went or changed."""
        return bool(self.nonfinite_new or self.nonfinite_gone or self.nonfinite_other)


@dataclass(frozen=True, slots=True)
class TensorComparison:
    """One tensor in two models.

    Attributes:
        status: What became of it.
        first: The tensor in the first model; None if it was added.
        second: The tensor in the second model; None if it was removed.
        match: How both were paired; None where there is nothing to pair.
        difference: How the numbers differ, for those changed or retyped.
        within: Whether it was changed or retyped by no more than the tolerance.
        reason: Why it could not be read, as a sentence; otherwise empty.
    """

    status: Status
    first: TensorInfo | None
    second: TensorInfo | None
    match: Match | None = None
    difference: Difference | None = None
    within: bool = False
    reason: str = ""

    @property
    def name(self) -> str:
        """Its name in the first model, or in the second if it was added."""
        info = self.first or self.second
        return info.name if info is not None else ""

    @property
    def moved(self) -> bool | None:
        """Whether its numbers differ; None where elements have no counterparts, or could not be read."""
        if self.status in {Status.EQUAL, Status.RENAMED}:
            return False
        if self.status not in {Status.CHANGED, Status.RETYPED}:
            return None
        if self.difference is None:
            return True if self.status is Status.CHANGED else None
        return self.difference.elements > 0

    @property
    def is_lossless(self) -> bool:
        """Whether another storage type holds the very same values."""
        return self.status is Status.RETYPED and self.difference is not None and not self.difference.elements

    @property
    def counts(self) -> bool:
        """Whether it makes the models differ. A name alone does not: containers give names of their own."""
        return not self.within and self.status not in {Status.EQUAL, Status.RENAMED, Status.UNREAD}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models, tensor by tensor; the tensors are left out of its `repr`.

    Attributes:
        first: What the first model is called in reports.
        second: What the second one is called.
        containers: Kinds of container of both.
        tensors: Every tensor of either, in the order of the first; what was added comes last.
        tolerance: Relative difference up to which a changed tensor counts as equal.
        weights_only: Whether optimizer states, metrics, counters and seeds were left out.
        failures: What of the models themselves is missing, as sentences.
        notes: Remarks for the user.
    """

    first: str
    second: str
    containers: tuple[str, str]
    tensors: tuple[TensorComparison, ...] = field(repr=False)
    tolerance: float = 0.0
    weights_only: bool = False
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every tensor could be read, and there was at least one."""
        return (
            bool(self.tensors)
            and not self.failures
            and all(one.status is not Status.UNREAD for one in self.tensors)
        )

    @property
    def is_equal(self) -> bool:
        """Whether the models are the same, within the tolerance, as far as they were read."""
        return not any(one.counts for one in self.tensors)

    @property
    def exit_code(self) -> ExitCode:
        """0 equal, 1 different, 3 not everything could be read."""
        if not self.is_complete:
            return ExitCode.INCOMPLETE
        return ExitCode.PASSED if self.is_equal else ExitCode.FINDINGS

    def count(self, status: Status) -> int:
        """Return how many tensors have this status."""
        return sum(one.status is status for one in self.tensors)
