"""What is known of a model from earlier audits, and what is left to be measured."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.cache import codec
from weightaudit.cache.answers import from_others
from weightaudit.cache.forms import FORMS
from weightaudit.cache.identity import Stamp, is_settled, layout, place, program, stamps
from weightaudit.cache.record import Column, Record, column, results
from weightaudit.engine.scanning import Subject
from weightaudit.statistics import (
    OVERVIEW,
    UNKNOWN,
    Extremes,
    Moments,
    NonFinite,
    Peak,
    Statistic,
    Stats,
    Summary,
    Uniform,
)
from weightaudit.statistics.summary import Overview

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from weightaudit.cache.store import Store
    from weightaudit.catalog import Region
    from weightaudit.engine.numpy_engine import Measurement
    from weightaudit.source import Files

Results = dict[Statistic[Any], Any]

_MAX_STATISTICS = 256
"""Statistics that are kept of one model; of more, only those of the last audit."""


_FOLLOWING = frozenset({Overview, NonFinite, Moments, Extremes, Peak, Uniform})
"""What follows from the overview of a tensor whose elements are finite, to the last bit."""


@dataclass(frozen=True)
class Recalled:
    """What is known of a model, and what is not.

    Attributes:
        subjects: Tensors of which something is missing, with the statistics that are to be measured.
        regions: Checksummed ranges that are still to be verified.
        wanted: All tensors, with all statistics that are wanted, and the overview if anything is kept.
        stamps: Stamps of the files when they were looked up.
        layout: Digest of what is measured; empty if what will be measured must not be kept.
        record: What is kept of the model as it is now, if anything is.
        found: What is known of what is wanted, for each tensor of `wanted`.
    """

    subjects: tuple[Subject, ...]
    regions: tuple[Region, ...]
    wanted: tuple[Subject, ...]
    stamps: tuple[Stamp, ...] = ()
    layout: str = ""
    record: Record | None = None
    found: list[Results] = field(default_factory=list[Results])

    def joined(self, measured: Measurement) -> Measurement:
        """Return what is known together with what was measured: the same as if all had been."""
        if self.record is None:
            return measured
        stats: dict[str, Stats] = {}
        for subject, found in zip(self.wanted, self.found, strict=True):
            new = measured.stats.get(subject.info.name)
            if len(found) == len(subject.statistics):
                stats[subject.info.name] = Stats(found)
            elif new is not None:
                both = {what: found[what] if what in found else new[what] for what in subject.statistics}
                stats[subject.info.name] = Stats(both)
        return dataclasses.replace(measured, stats=stats)


def recall(
    store: Store | None,
    files: Files,
    subjects: Sequence[Subject],
    regions: Sequence[Region],
    *,
    since: int,
    engine: str = "numpy",
) -> Recalled:
    """Look up what is known of a model.

    It holds for the files as they were opened: call `Files.check_unchanged` before relying on it.

    Args:
        store: Where statistics are kept; None for nowhere, so that everything is to be measured.
        files: Open files of the model.
        subjects: All its tensors with numbers, each with the statistics that are wanted, without repetition.
        regions: Its checksummed ranges.
        since: Time before the model was opened, in nanoseconds since 1970.
        engine: Name of the engine. Results of others may differ by rounding, and are not used.
    """
    if store is None:
        return Recalled(tuple(subjects), tuple(regions), tuple(subjects))
    wanted = _with_overview(subjects)
    now, digest = stamps(files), layout(wanted, regions)
    record = _record(store, place(files, engine), now, digest)
    try:
        found = _Known(record, wanted).everywhere() if record else []
    except ValueError:
        record, found = None, []
    missing = tuple(_missing(wanted, found)) if record else wanted
    kept = digest if missing and is_settled(files, since) else ""
    return Recalled(missing, () if record else tuple(regions), wanted, now, kept, record, found)


def remember(
    store: Store | None, files: Files, recalled: Recalled, measured: Measurement, *, engine: str = "numpy"
) -> None:
    """Keep what was measured, if all of it is sound and the files cannot have changed unnoticed.

    Nothing is kept of a model with a tensor that could not be read or a checksum that does not match, so
    such damage is found anew each time.

    Args:
        store: Where statistics are kept; None for nowhere.
        files: Open files of the model.
        recalled: What was known before.
        measured: What was measured of `Recalled.subjects` and `Recalled.regions`.
        engine: Name of the engine, as in `recall`.
    """
    if store is None or not recalled.layout or measured.failures or measured.defects:
        return
    if stamps(files) != recalled.stamps:
        return
    name = place(files, engine)
    before = dict(recalled.record.columns) if recalled.record else {}
    new = _columns(recalled, measured, before)
    columns = {**before, **new}
    data = _encoded(recalled, columns if len(columns) <= _MAX_STATISTICS else new)
    store.write(name, data if len(data) <= store.max_entry else _encoded(recalled, new))


def _with_overview(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """Want the overview too: it costs little, and most of what other thresholds ask follows from it."""
    # Tensors of one kind share the tuple of their statistics, and hashing those takes longer than all else.
    wide: dict[int, tuple[Statistic[Any], ...]] = {}
    for one in subjects:
        if id(one.statistics) not in wide:
            wide[id(one.statistics)] = tuple(dict.fromkeys((*one.statistics, OVERVIEW)))
    return tuple(Subject(one.info, one.entry, one.decoder, wide[id(one.statistics)]) for one in subjects)


def _missing(wanted: tuple[Subject, ...], found: list[Results]) -> Iterator[Subject]:
    """Yield the tensors of which something is not known, with just that."""
    for subject, known in zip(wanted, found, strict=True):
        if len(known) < len(subject.statistics):
            rest = tuple(what for what in subject.statistics if what not in known)
            yield dataclasses.replace(subject, statistics=rest)


def _record(store: Store, name: str, now: tuple[Stamp, ...], digest: str) -> Record | None:
    """Return what is kept of a model if it is about these files, as they are now."""
    data = store.read(name)
    if data is None:
        return None
    try:
        record = codec.decode(data, program())
    except codec.DamagedError:
        return None
    return record if record.stamps == now and record.layout == digest else None


def _encoded(recalled: Recalled, columns: Mapping[Statistic[Any], Column]) -> bytes:
    return codec.encode(Record(recalled.stamps, recalled.layout, columns), program())


def _columns(
    recalled: Recalled, measured: Measurement, before: Mapping[Statistic[Any], Column]
) -> dict[Statistic[Any], Column]:
    """Return the columns of what was measured, with the rows that they had before."""
    numbers = {subject.info.name: number for number, subject in enumerate(recalled.wanted)}
    found: defaultdict[Statistic[Any], dict[int, Any]] = defaultdict(dict)
    for subject in recalled.subjects:
        number, stats = numbers[subject.info.name], measured.stats[subject.info.name]
        overview = stats.get(OVERVIEW)
        if overview is None:
            overview = recalled.found[number][OVERVIEW]
        else:
            found[OVERVIEW][number] = overview
        for what, value in _kept(subject, stats, overview):
            found[what][number] = value
    shapes = _shapes(recalled.wanted)
    return {
        what: column(what, {**results(what, before[what], shapes), **rows} if what in before else rows)
        for what, rows in found.items()
    }


def _kept(subject: Subject, stats: Stats, overview: Summary) -> Iterator[tuple[Statistic[Any], Any]]:
    """Yield what does not follow from the overview: of a healthy tensor, next to nothing."""
    passed = _FOLLOWING if overview.is_finite else frozenset({Overview})
    known = Stats({OVERVIEW: overview})
    for what in subject.statistics:
        if type(what) in FORMS and type(what) not in passed:
            value = stats[what]
            if not _is_equal(what.answer(subject.decoder.info, known), value):
                yield what, value


def _is_equal(answer: Any, value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return isinstance(answer, np.ndarray) and answer.tobytes() == value.tobytes()
    return bool(answer == value)


def _shapes(subjects: Sequence[Subject]) -> list[tuple[int, ...]]:
    return [subject.decoder.info.shape for subject in subjects]


class _Known:
    """The columns of a record, each made into results when it is first asked for."""

    def __init__(self, record: Record, wanted: tuple[Subject, ...]) -> None:
        self._columns = record.columns
        self._wanted = wanted
        self._shapes = _shapes(wanted)
        self._results: dict[Statistic[Any], dict[int, Any]] = {}

    def everywhere(self) -> list[Results]:
        """Return what is known of each tensor; ValueError if the record contradicts itself."""
        overviews = self._rows(OVERVIEW)
        rows: dict[int, list[tuple[Statistic[Any], dict[int, Any]]]] = {}
        for one in self._wanted:
            if id(one.statistics) not in rows:
                rows[id(one.statistics)] = [(what, self._rows(what)) for what in one.statistics]
        return [
            self._of(number, one, rows[id(one.statistics)], overviews.get(number))
            for number, one in enumerate(self._wanted)
        ]

    def _of(
        self,
        number: int,
        subject: Subject,
        rows: list[tuple[Statistic[Any], dict[int, Any]]],
        overview: Summary | None,
    ) -> Results:
        found: Results = {}
        stats = Stats({} if overview is None else {OVERVIEW: overview})
        for what, known in rows:
            value = known.get(number, UNKNOWN)
            if value is UNKNOWN and type(what) in FORMS:
                value = what.answer(subject.decoder.info, stats)
                if value is UNKNOWN:
                    value = from_others(what, self._stats(number))
            if value is not UNKNOWN:
                found[what] = value
        return found

    def _rows(self, what: Statistic[Any]) -> dict[int, Any]:
        """Return the results of a statistic by the numbers of their tensors."""
        rows = self._results.get(what)
        if rows is None:
            known = self._columns.get(what)
            rows = self._results[what] = results(what, known, self._shapes) if known else {}
        return rows

    def _stats(self, number: int) -> Stats:
        everything = ((what, self._rows(what)) for what in self._columns)
        return Stats({what: rows[number] for what, rows in everything if number in rows})
