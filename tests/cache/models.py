"""Small models in one file, opened as the auditor opens them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from weightaudit.cache import Recalled, Store, recall, remember
from weightaudit.cache.identity import TIMELESS, file_system
from weightaudit.catalog import Checksum, Entry, Extent, Region
from weightaudit.checksums import crc32c
from weightaudit.engine.decoding import PlainDecoder
from weightaudit.engine.numpy_engine import Measurement, measure
from weightaudit.engine.scanning import Subject
from weightaudit.source import Files
from weightaudit.statistics import Moments, NonFinite
from weightaudit.tensor import TensorInfo

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic

BASIC: tuple[Statistic[Any], ...] = (NonFinite(), Moments())


def require_disk(path: Path) -> None:
    """Skip the test if nothing is kept of files at this path, because they lie in memory or on an overlay."""
    if file_system(path.stat().st_dev) in TIMELESS:
        pytest.skip(f"statistics are only kept of files on a disk, and {path} is on none; try --basetemp")


def later() -> int:
    """Return a time at which a file that was written just now has been left alone for long."""
    return time.time_ns() + 60_000_000_000


@dataclass(frozen=True)
class Model:
    """Tensors one after another in a file of their own directory."""

    path: Path
    entries: tuple[Entry, ...]

    @contextmanager
    def opened(self) -> Generator[Files]:
        """Open its file."""
        with Files(self.path.parent) as files:
            files.open(self.path.name)
            yield files

    @property
    def region(self) -> Region:
        """The whole file under one checksum, as it was when this was asked."""
        data = self.path.read_bytes()
        return Region("all of it", Extent(0, 0, len(data)), Checksum("crc32c", crc32c(data)))

    def subjects(self, statistics: Sequence[Statistic[Any]] = BASIC) -> list[Subject]:
        """Ask the same of every tensor."""
        infos = [TensorInfo(name=e.key, key=e.key, shape=e.shape, dtype=e.dtype) for e in self.entries]
        return [
            Subject(info, entry, PlainDecoder(info, entry), tuple(statistics))
            for info, entry in zip(infos, self.entries, strict=True)
        ]


def write(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> Model:
    """Write arrays to a new file, with checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    entries: list[Entry] = []
    data = b""
    for name, array in arrays.items():
        raw = array.tobytes()
        extent = Extent(0, len(data), len(raw))
        stored = Checksum("crc32c", crc32c(raw))
        entries.append(Entry(name, array.shape, array.dtype.name, extent, checksum=stored))
        data += raw
    (folder / "model").write_bytes(data)
    return Model(folder / "model", tuple(entries))


@dataclass(frozen=True)
class Pass:
    """What one audit of a model did: what it recalled, what it measured, and both together."""

    recalled: Recalled
    measured: Measurement
    result: Measurement


def audit(
    store: Store,
    model: Model,
    wanted: Sequence[Statistic[Any]] | list[Subject] = BASIC,
    regions: Sequence[Region] = (),
    *,
    since: int | None = None,
    engine: str = "numpy",
) -> Pass:
    """Recall, measure and remember, as the auditor does.

    Args:
        store: Where statistics are kept.
        model: The model.
        wanted: What is asked of every tensor; or, as a list, the subjects themselves.
        regions: Checksummed ranges.
        since: Time before the model was opened; by default one at which its file is old.
        engine: Name under which results are kept.
    """
    with model.opened() as files:
        moment = later() if since is None else since
        subjects = cast("list[Subject]", wanted) if isinstance(wanted, list) else model.subjects(wanted)
        recalled = recall(store, files, subjects, regions, since=moment, engine=engine)
        measured = measure(files, recalled.subjects, recalled.regions)
        files.check_unchanged()
        remember(store, files, recalled, measured, engine=engine)
        return Pass(recalled, measured, recalled.joined(measured))
