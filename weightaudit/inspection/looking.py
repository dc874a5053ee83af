"""What there is to see of tensors: measured, not judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Flaw
from weightaudit.measuring import reporter, subjects_of
from weightaudit.portrait import Portrait, portrait
from weightaudit.statistics import Extremes, Magnitudes, Moments, NonFinite, Zeros

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.auditor import Means
    from weightaudit.catalog import Defect
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


Wanted = Callable[["TensorInfo"], "tuple[Statistic[Any], ...]"]
"""Says what is measured of a tensor. Tensors of one kind should share the tuple, for speed."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One tensor as somebody looks at it.

    Attributes:
        info: What it is.
        stats: What was measured; None without numbers, and where it could not be read.
        portrait: The same, to be shown.
        failure: Why it could not be read, or empty.
    """

    info: TensorInfo
    stats: Stats | None = None
    portrait: Portrait | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Tensors of a model to be looked at.

    Attributes:
        path: Path of the model as the user knows it, or the address of a version.
        container: Kind of container.
        sights: The tensors, in the order in which they are to be shown.
        tensors: How many there are in the model.
        notes: Remarks about the model.
        damage: Sentences about damage of the container or of checksums that was met on the way.
    """

    path: str
    container: str
    sights: Sequence[Sight]
    tensors: int
    notes: Sequence[str] = ()
    damage: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether everything could be read."""
        return not any(sight.failure for sight in self.sights)


def look(
    checkpoint: Checkpoint,
    label: str,
    infos: Sequence[TensorInfo],
    wanted: Wanted,
    means: Means,
) -> Inspection:
    """Measure tensors and judge nothing.

    Args:
        checkpoint: The model.
        label: Its name for the user.
        infos: Tensors of it.
        wanted: Says what is measured of a tensor, at least what `Detail.FIGURES` does.
        means: How it is done; its store is not used.

    Raises:
        ReadError: A file was written to meanwhile.
        UsageError: TensorFlow is asked for, and not installed.
    """
    subjects, failures = subjects_of(checkpoint, infos, wanted)
    advance = reporter(means.progress, label, sum(one.info.nbytes for one in subjects))
    measure = means.engine.chosen(subjects).measure
    # What has one checksum for all tensors can be told to be damaged where all are read.
    regions = checkpoint.regions if len(infos) == len(checkpoint) else ()
    measured = measure(checkpoint.files, subjects, regions, workers=means.workers, progress=advance)
    checkpoint.check_unchanged()
    failures |= measured.failures
    return Inspection(
        label,
        checkpoint.container,
        tuple(_sight(info, measured.stats.get(info.name), failures.get(info.name, "")) for info in infos),
        len(checkpoint),
        (*checkpoint.notes, *(one.message for one in checkpoint.defects if one.flaw is Flaw.REACH)),
        tuple(_said(one) for one in (*checkpoint.defects, *measured.defects) if one.flaw is not Flaw.REACH),
    )


def _said(one: Defect) -> str:
    return f"{one.tensor}: {one.message}" if one.tensor else one.message


def _sight(info: TensorInfo, stats: Stats | None, failure: str) -> Sight:
    return Sight(info, stats, None if stats is None else portrait(info, stats), failure)


def with_histogram(_: TensorInfo) -> tuple[Statistic[Any], ...]:
    """Return what a table with small histograms needs: not the norms of channels, which may be many."""
    return _with_histogram()


@cache
def _with_histogram() -> tuple[Statistic[Any], ...]:
    return NonFinite(), Extremes(), Moments(), Zeros(), Magnitudes()
