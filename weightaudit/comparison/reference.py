"""The checkpoint that models are judged against: opened once, compared with each of them."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.addressing import find_model
from weightaudit.catalog import Flaw
from weightaudit.checkpoint import open_checkpoint
from weightaudit.comparison.comparing import compare_checkpoints
from weightaudit.comparison.result import Status
from weightaudit.errors import ReadError
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.report import Reference, Skipped

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.comparison.jobs import Progress
    from weightaudit.comparison.result import Comparison


@dataclass(frozen=True, slots=True)
class OpenReference:
    """A reference that is open.

    Attributes:
        checkpoint: Its tensors.
        source: What reports say of it.
    """

    checkpoint: Checkpoint
    source: Reference

    def compare(
        self,
        model: Checkpoint,
        label: str,
        *,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> Comparison:
        """Compare a model with it; the reference is the first of both.

        Optimizer states, metrics, counters and seeds are left out. A tensor that is equal is read once
        on both sides; of one that differs, little more.

        Args:
            model: The model, open.
            label: What it is called in reports.
            workers: Threads; by default one per usable CPU, at most 8.
            progress: Told how much was read.

        Raises:
            ReadError: A file was written to meanwhile.
        """
        labels = (self.source.path, label)
        return compare_checkpoints(
            self.checkpoint, model, labels=labels, weights_only=True, workers=workers, progress=progress
        )

    def note(self, found: Comparison) -> str:
        """Return one sentence for the report: what was compared, and how much of it moved."""
        pairs = [one for one in found.tensors if one.moved is not None]
        moved = sum(bool(one.moved) for one in pairs)
        gone, new = found.count(Status.REMOVED), found.count(Status.ADDED)
        alone = f"{gone} {'is' if gone == 1 else 'are'} gone, {new} {'is' if new == 1 else 'are'} new"
        tensors = "the 1 tensor that is" if len(pairs) == 1 else f"{len(pairs)} tensors that are"
        both = f"of {tensors} in both, {moved} {'differs' if moved == 1 else 'differ'}"
        guesses = sum(one.match is not None and one.match.is_guess for one in found.tensors)
        guessed = (
            f"; {guesses} of the pairs {'is a guess' if guesses == 1 else 'are guesses'}" if guesses else ""
        )
        return f"Compared with {self.source.path} ({self.source.container}): {both}{guessed}; {alone}."

    def unread(self, found: Comparison) -> Iterator[Skipped]:
        """Yield what could not be compared, because this model or the other cannot be read there."""
        for one in found.tensors:
            if one.status is Status.UNREAD:
                info = one.second or one.first
                yield Skipped(info.name if info else "", f"It was not compared: {one.reason}")
        for defect in self.checkpoint.defects:
            if defect.flaw is Flaw.MISSING_DATA and not defect.tensor:
                yield Skipped("", f"The reference {self.source.path} is not whole: {defect.message}")


@contextmanager
def open_reference(
    text: str | os.PathLike[str], *, limits: Limits = DEFAULT_LIMITS
) -> Generator[OpenReference]:
    """Open the checkpoint that models are judged against.

    Args:
        text: A path as for `open_checkpoint`, a directory that holds one model, or a version, such as
            ``model.keras@3``.
        limits: Bounds on what the file may ask for.

    Raises:
        UsageError: There is no such model, or there are several.
        StoreError: There is no such version.
        ReadError: It is damaged, or is not a saved TensorFlow or Keras model.
    """
    found = find_model(os.fspath(text))
    try:
        checkpoint = open_checkpoint(found.path, limits=limits)
    except ReadError as error:
        raise type(error)(f"The reference {found.label} cannot be read: {error}") from error
    with checkpoint:
        yield OpenReference(checkpoint, Reference(found.label, checkpoint.container, found.digest))
