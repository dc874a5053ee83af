"""What there is to audit, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.wholes import label_of

if TYPE_CHECKING:
    from weightaudit.errors import WeightauditError
    from weightaudit.report import LeftOut


@dataclass(frozen=True, slots=True)
class Target:
    """One saved model to audit.

    Attributes:
        path: What to open: a file, a SavedModel or unpacked Keras directory, the ``.index`` of a
            checkpoint, or the first shard of a V1 checkpoint.
        label: Its name in reports: relative to the working directory, with ``/``; a checkpoint
            by its prefix.
        explicit: Whether it must turn out to be a model, because the user named it or because
            its own name says so. Any other one that is not a model is left out.
        refusal: Why there is nothing to open where a model was asked for; None if there is.
    """

    path: Path
    label: str
    explicit: bool
    refusal: WeightauditError | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What paths, directories and globs turned up.

    Attributes:
        targets: The models, each once, and what was asked for in vain.
        left_out: Files in directories and globs that are neither models nor parts of one.
    """

    targets: tuple[Target, ...]
    left_out: tuple[LeftOut, ...]


Passed = dict[Path, str]
"""Files that were passed over, and what each is instead of a model to audit."""

STORE = "a version store: name it, or a version in it, to audit that"
"""What a version store is instead."""


def target_of(path: Path, *, explicit: bool = True, refusal: WeightauditError | None = None) -> Target:
    """Return a target with its label."""
    return Target(path, label_of(path), explicit, refusal)
