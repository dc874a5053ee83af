"""What of a model is to be measured, and how much of it has been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Absent
from weightaudit.dtypes import WITHOUT_NUMBERS
from weightaudit.engine.scanning import Subject
from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from weightaudit.auditor import Progress
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.statistics import Statistic
    from weightaudit.tensor import TensorInfo


def subjects_of(
    checkpoint: Checkpoint,
    infos: Iterable[TensorInfo],
    wanted: Callable[[TensorInfo], tuple[Statistic[Any], ...]],
) -> tuple[list[Subject], dict[str, str]]:
    """Say what to measure of tensors, and which of them cannot be measured at all.

    Args:
        checkpoint: The model.
        infos: Tensors of it; those that hold no numbers are passed over.
        wanted: Says what is measured of a tensor.

    Returns:
        What to measure, in the order of the tensors; and the names of the others, each with the reason.
    """
    subjects: list[Subject] = []
    failures: dict[str, str] = {}
    for info in infos:
        entry = checkpoint.entry(info)
        if isinstance(entry.storage, Absent):
            failures[info.name] = entry.storage.reason
        elif info.is_numeric:
            try:
                decoder = checkpoint.decoder(info)
            except ReadError as error:
                failures[info.name] = f"{error}."
                continue
            subjects.append(Subject(info, entry, decoder, wanted(info)))
        elif info.dtype not in WITHOUT_NUMBERS:
            failures[info.name] = f"Its numbers are of a type, {info.dtype}, that is not measured."
    return subjects, failures


def reporter(progress: Progress | None, label: str, total: int) -> Callable[[int], None] | None:
    """Return what an engine is to call with the bytes that it has read since the last call.

    Args:
        progress: Told the label, the bytes that were read, and the bytes that there are; None for nobody.
        label: What the model is called.
        total: Bytes that there are. The gaps between tensors, which are read for checksums, do not count, so
            that the count stops there.
    """
    if progress is None:
        return None
    done = 0

    def advance(nbytes: int) -> None:
        nonlocal done
        done = min(total, done + nbytes)
        progress(label, done, total)

    return advance
