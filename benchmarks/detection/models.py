"""The models that faults are seeded into, and that must be left alone while they are clean."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from benchmarks.timing import CHECKOUT, run_python

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

ORIGINS = ("corpus", "trained", "fresh")
"""Real models of others, ones trained here, and ones that were never trained."""

HARMLESS = frozenset({"gt1000", "gt65504", "denormal_opt", "allzero_vec"})
"""Marks of a manifest that say nothing bad: counters and variances beyond 1000, slots with denormal numbers,
biases that are all zero."""

FORMATS = ("h5:keras", "keras-zip", "savedmodel", "tf-bundle")
"""Beginnings of what a manifest calls the formats that can be audited."""

LISTING = "models.json"


@dataclass(frozen=True, slots=True)
class Model:
    """A saved model.

    Attributes:
        name: Its name in reports.
        path: The file, the directory, or the prefix of a checkpoint.
        origin: One of `ORIGINS`.
        early: The same model earlier in the same training, if it was saved.
    """

    name: str
    path: Path
    origin: str
    early: Path | None = None


def as_json(models: Sequence[Model]) -> str:
    """Return models as one line of JSON."""
    return json.dumps(
        [[one.name, str(one.path), one.origin, str(one.early) if one.early else None] for one in models]
    )


def from_json(text: str) -> list[Model]:
    """Return the models of `as_json`."""
    return [
        Model(name, Path(path), origin, Path(early) if early else None)
        for name, path, origin, early in json.loads(text)
    ]


def corpus_folder() -> Path | None:
    """Return where real models are: ``WEIGHTAUDIT_CORPUS``, else beside the checkout; None if nowhere."""
    named = os.environ.get("WEIGHTAUDIT_CORPUS")
    folder = Path(named) if named else CHECKOUT.parent / "shared" / "models"
    return folder if (folder / "manifest.tsv").is_file() else None


def corpus(folder: Path) -> list[Model]:
    """Return the models of a corpus that are trained, can be audited and have no known anomaly.

    Args:
        folder: Has a ``manifest.tsv`` with the columns ``short-name``, ``relpath``, ``format``, ``kind``
            and ``anomalies`` (marks like ``gt1000x4`` separated by semicolons).
    """
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [
        Model(row["short-name"], folder / row["relpath"], "corpus")
        for row in rows
        if row["kind"] == "trained"
        and row["format"].startswith(FORMATS)
        and not row["format"].endswith("novars")
        and _marks(row["anomalies"] or "") <= HARMLESS
    ]


def _marks(text: str) -> set[str]:
    """Return the marks without their counts: ``gt1000x4;nanx1`` has ``gt1000`` and ``nan``."""
    return {mark.rpartition("x")[0].partition("(")[0] for mark in text.split(";") if mark}


def is_held_out(model: Model) -> bool:
    """Say whether a model of a corpus belongs to the half on which no bound is chosen: by its name."""
    return crc32(model.name.encode()) % 2 == 1


def own(
    folder: Path,
    seed: int,
    chosen: Collection[str] = (),
    architectures: str | None = None,
    *,
    held_out: bool = False,
) -> list[Model]:
    """Return the models that are trained here; those that the folder has already are not made again.

    Args:
        folder: Where they are, or are to be; those that are held out have a folder in it.
        seed: Of the data and of the initial weights.
        chosen: Names of networks; nothing for all.
        architectures: Names of those of `keras.applications`, separated by commas; None for some.
        held_out: Whether it is the other networks (`held_out.held_out_networks`).

    Raises:
        CommandError: They could not be trained.
    """
    folder = folder / "held-out" if held_out else folder
    listing = folder / LISTING
    if not listing.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        arguments = [str(folder), "--seed", str(seed), "--networks", ",".join(chosen)]
        arguments += [] if architectures is None else ["--applications", architectures]
        arguments += ["--held-out"] if held_out else []
        run = run_python("-m", "benchmarks.detection.training", *arguments)
        listing.write_text(run.output.splitlines()[-1], encoding="utf-8")
    return from_json(listing.read_text(encoding="utf-8"))
