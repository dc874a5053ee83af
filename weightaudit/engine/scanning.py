"""How a worker looks at bytes: each is read once, and checksummed, summed up and folded on the way."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.catalog import Entry, Extent
from weightaudit.checksums import checksum
from weightaudit.dtypes import decode, itemsize
from weightaudit.engine.folds import Folded, Folds, Tables, begin
from weightaudit.engine.plan import RUN_BYTES, Run
from weightaudit.engine.reading import PIECE_BYTES, Bytes, read_pieces
from weightaudit.errors import ReadError
from weightaudit.kernels import CHUNK_BYTES, NO_OUTLINE, PAGE_BYTES, has_one_pass, native
from weightaudit.profiling import READING
from weightaudit.statistics import UNKNOWN, Block, Statistic, Stats
from weightaudit.statistics.block import Outline, Scratch
from weightaudit.statistics.summary import Sketch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.engine.decoding import Decoder
    from weightaudit.engine.plan import Unit
    from weightaudit.kernels import Sums
    from weightaudit.profiling import Profile
    from weightaudit.source import Files, LocalFile
    from weightaudit.tensor import TensorInfo

BLOCK_ELEMENTS = 1 << 19
"""Most elements of a block, 2 MiB of float32."""

FIRST_ELEMENTS = 1 << 15
"""Elements of the first block of a stretch, in which most is found out that needs a look at elements."""

THROUGH_BYTES = CHUNK_BYTES
"""How much is read before it is summed up: the buffer stays in the L2 cache of a core. At most a chunk."""


@dataclass(slots=True)  # not frozen, as `Unit`
class Subject:
    """A tensor to be measured: what it is, where it is, how it is decoded, what is wanted of it.

    Nothing changes it. Tensors of one kind share the tuple of their statistics.
    """

    info: TensorInfo
    entry: Entry
    decoder: Decoder
    statistics: tuple[Statistic[Any], ...]


@dataclass(slots=True)  # not frozen, as `Unit`
class Part:
    """What came of one unit.

    Attributes:
        unit: The unit.
        found: Finished statistics, or measurements under way; there are none after a failure.
        checksum: Of its bytes, if the tensor has a checksum of its own.
        failure: Why it could not be measured, or empty.
    """

    unit: Unit
    found: Stats | Folds | None
    checksum: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What came of units that were read together.

    Attributes:
        parts: What came of each; none for bytes that belong to no tensor.
        region: Number of the region in which they lie, or -1.
        nbytes: How many bytes of it they cover.
        checksum: The checksum of those.
        failure: Why they could not be read, or empty.
    """

    parts: tuple[Part, ...]
    region: int = -1
    nbytes: int = 0
    checksum: int = 0
    failure: str = ""


class Scanner:
    """One worker, with the memory that it uses again and again.

    Args:
        files: Open files of the model.
        subjects: Tensors of the model, as units number them.
        compiled: Whether compiled kernels are used, if there are any.
    """

    def __init__(self, files: Files, subjects: Sequence[Subject], *, compiled: bool = True) -> None:
        self._files = files
        self._subjects = subjects
        self._scratch = Scratch(compiled=compiled)
        self._tables = Tables()

    def scan(self, run: Run) -> list[Scanned]:
        """Measure the units of a run, in their order. What cannot be read is told in the result.

        The bits of the results do not depend on what a tensor is read together with.
        """
        with np.errstate(all="ignore"):
            if run.extent is not None and len(run.units) > 1:
                try:
                    return [self._scan_together(run, run.extent)]
                except ReadError:
                    # One of them may be the cause, and the others fine.
                    return [self._scan_alone(unit) for unit in run.units]
            return [self._scan_alone(unit) for unit in run.units]

    def _scan_together(self, run: Run, extent: Extent) -> Scanned:
        """Read small tensors that lie side by side at once, and look at each in memory."""
        raw = self._buffer(extent.nbytes)
        region, kind = run.units[0].region, run.units[0].checksum
        kind = kind if region >= 0 else ""
        value, *_ = self._scan(self._files[extent.file], extent.offset, extent.nbytes, raw, kind=kind)
        parts: list[Part] = []
        for unit in run.units:
            if unit.tensor >= 0 and unit.extent is not None:
                place = unit.extent.offset - extent.offset
                parts.append(self._look(unit, raw[place : place + unit.extent.nbytes]))
        return Scanned(tuple(parts), region, extent.nbytes, value)

    def _look(self, unit: Unit, raw: Bytes) -> Part:
        """Measure a whole tensor whose bytes are in memory: most follows from its sums and extremes."""
        subject = self._subjects[unit.tensor]
        info, decoder = subject.decoder.info, subject.decoder
        own = unit.checksum if unit.region < 0 else ""
        value = checksum(own, raw) if own else 0
        if not (self._scratch.compiled and native and decoder.summed):
            border = _border(subject.entry)
            folds = begin(subject.statistics, info)
            for start, values in decoder.blocks(unit.start, raw, BLOCK_ELEMENTS):
                self._update(folds, Block(values, start, self._scratch, border=border))
            return Part(unit, self._tables.finished(subject.statistics, folds), value)
        repeats = 0
        if raw.size >= 2 * PAGE_BYTES:
            repeats = native.repeats(raw, unit.extent.offset) if unit.extent else -1
        sums = native.summarize(raw, decoder.summed)
        summary = Sketch(unit.count, *sums, repeats=repeats, raw=raw, dtype=decoder.summed)
        if summary.is_finite:
            results = [statistic.follow(info, summary) for statistic in subject.statistics]
        else:
            results = [UNKNOWN] * len(subject.statistics)
        unknown = [place for place, result in enumerate(results) if result is UNKNOWN]
        if unknown:
            self._find(subject, raw, summary, results, unknown)
        return Part(unit, self._tables.stats(subject.statistics, results), value)

    def _find(
        self, subject: Subject, raw: Bytes, summary: Sketch, results: list[Any], unknown: list[int]
    ) -> None:
        """Put in the results at some places: what does not follow from the sums of a tensor in memory."""
        info, decoder = subject.decoder.info, subject.decoder
        folds = begin([subject.statistics[place] for place in unknown], info)
        border = _border(subject.entry)
        block = self._summed_block(decoder.summed, 0, raw, summary, border=border, repeats=summary.repeats)
        self._update(folds, block)
        for place, (_, fold) in zip(unknown, folds, strict=True):
            results[place] = fold.finish()

    def _scan_alone(self, unit: Unit) -> Scanned:
        region, nbytes = unit.region, unit.extent.nbytes if unit.extent else 0
        try:
            if unit.tensor < 0:
                return Scanned((), region, nbytes, self._checksum_gap(unit))
            subject = self._subjects[unit.tensor]
            if unit.extent is not None and nbytes <= RUN_BYTES and unit.count == subject.info.size:
                return self._scan_together(Run((unit,), unit.extent), unit.extent)
            folds = begin(subject.statistics, subject.decoder.info)
            value = self._fold(subject, unit, folds)
        except ReadError as error:
            parts = (Part(unit, None, failure=str(error)),) if unit.tensor >= 0 else ()
            return Scanned(parts, region, nbytes, failure=str(error))
        return Scanned((Part(unit, folds, value),), region, nbytes, value)

    def _fold(self, subject: Subject, unit: Unit, folds: Folds) -> int:
        """Fold a stretch of a tensor block by block, and return the checksum of its bytes."""
        entry, decoder, storage = subject.entry, subject.decoder, subject.entry.storage
        if isinstance(storage, Extent) and decoder.summed and self._scratch.compiled:
            return self._fold_summed(subject, storage, unit, folds)
        value = 0
        for first, raw in read_pieces(self._files, entry, unit.start, unit.count, self._buffer):
            value = checksum(unit.checksum, raw, value) if unit.checksum else 0
            for start, values in decoder.blocks(first, raw, BLOCK_ELEMENTS):
                self._update(folds, Block(values, start, self._scratch, border=_border(entry)))
        return value

    def _fold_summed(self, subject: Subject, storage: Extent, unit: Unit, folds: Folds) -> int:
        """Fold a stretch of a type that is summed up as it is stored, and return the checksum of its bytes.

        The first block is short: some statistics have to see a few elements of every channel, and
        then seldom any more. The rest is summed up on the way through a small buffer; those that want to
        see elements of a chunk all the same read it again, and those that want all read all.
        """
        dtype, kind = subject.decoder.summed, unit.checksum
        start, end = unit.start, unit.start + unit.count
        middle = min(end, start + FIRST_ELEMENTS)
        value = self._fold_blocks(dtype, storage, range(start, middle), folds, kind=kind)
        rest = range(middle, end)
        if not rest or not has_one_pass(kind) or not all(one.lazy for one in subject.statistics):
            return self._fold_blocks(dtype, storage, rest, folds, kind=kind, value=value)
        value, outline = self._outline(dtype, storage, rest, kind, value)
        wanting = [one for one in folds if not self._suffices(outline, one)]
        if wanting:
            self._fold_blocks(dtype, storage, rest, wanting)
        return value

    def _outline(
        self, dtype: str, storage: Extent, elements: range, kind: str, value: int
    ) -> tuple[int, Block]:
        """Return the checksum of elements, gone on from `value`, and a block that reads them if it must."""
        file, size = self._files[storage.file], itemsize(dtype)
        place, nbytes = storage.offset + elements.start * size, len(elements) * size
        rows = np.empty((-(-nbytes // THROUGH_BYTES), 7))
        value, repeats, sums = self._scan(
            file,
            place,
            nbytes,
            self._buffer(THROUGH_BYTES),
            dtype=dtype,
            kind=kind,
            value=value,
            outline=rows.data.cast("B"),
        )

        def read(start: int, end: int) -> NDArray[Any]:
            raw = self._buffer((end - start) * size)
            file.read_into(place + start * size, raw.data)
            return decode(raw, dtype)

        summary = Sketch(len(elements), *sums or ())
        return value, Block(
            _no_elements,
            elements.start,
            self._scratch,
            size=len(elements),
            summary=summary,
            border=_border_of(storage.offset, size),
            repeats=repeats,
            outline=Outline(THROUGH_BYTES // size, rows, read),
        )

    def _suffices(self, outline: Block, one: Folded) -> bool:
        try:
            self._update([one], outline)
        except _ElementsWantedError:
            return False
        return True

    def _fold_blocks(
        self, dtype: str, storage: Extent, elements: range, folds: Folds, *, kind: str = "", value: int = 0
    ) -> int:
        """Fold elements block by block, and return the checksum of their bytes, gone on from `value`."""
        file, size = self._files[storage.file], itemsize(dtype)
        for first in elements[::BLOCK_ELEMENTS]:
            raw = self._buffer(min(BLOCK_ELEMENTS, elements.stop - first) * size)
            place = storage.offset + first * size
            value, repeats, sums = self._scan(file, place, raw.size, raw, dtype=dtype, kind=kind, value=value)
            summary = Sketch(raw.size // size, *sums or ())
            border = _border_of(storage.offset, size)
            self._update(
                folds, self._summed_block(dtype, first, raw, summary, border=border, repeats=repeats)
            )
        return value

    def _summed_block(
        self, dtype: str, first: int, raw: Bytes, summary: Sketch, *, border: int, repeats: int
    ) -> Block:
        """Make a block whose sums are known; it is decoded when a fold asks for the elements."""
        size = itemsize(dtype)

        def values(start: int, end: int) -> NDArray[Any]:
            return decode(raw[start * size : end * size], dtype)

        return Block(
            values,
            first,
            self._scratch,
            size=summary.count,
            summary=summary,
            border=border,
            repeats=repeats,
        )

    def _checksum_gap(self, unit: Unit) -> int:
        if unit.extent is None:
            return 0
        file, end, value = self._files[unit.extent.file], unit.extent.offset + unit.extent.nbytes, 0
        for place in range(unit.extent.offset, end, PIECE_BYTES):
            raw = self._buffer(min(PIECE_BYTES, end - place))
            value, *_ = self._scan(file, place, raw.size, raw, kind=unit.checksum, value=value)
        return value

    def _scan(
        self,
        file: LocalFile,
        offset: int,
        nbytes: int,
        raw: Bytes,
        *,
        dtype: str = "",
        kind: str = "",
        value: int = 0,
        outline: memoryview = NO_OUTLINE,
    ) -> tuple[int, int, Sums | None]:
        with self._reading():
            return file.scan(offset, nbytes, raw.data, dtype=dtype, kind=kind, value=value, outline=outline)

    def _reading(self) -> AbstractContextManager[None]:
        """Say what goes on around every call that brings bytes: nothing."""
        return nullcontext()

    def _update(self, folds: Folds, block: Block) -> None:
        for _, fold in folds:
            fold.update(block)

    def _buffer(self, size: int) -> Bytes:
        return self._scratch.take("piece", size, np.uint8)


class TimedScanner(Scanner):
    """A worker that charges its reading and each statistic to a profile."""

    def __init__(
        self, files: Files, subjects: Sequence[Subject], profile: Profile, *, compiled: bool
    ) -> None:
        super().__init__(files, subjects, compiled=compiled)
        self._profile = profile

    def scan(self, run: Run) -> list[Scanned]:
        with self._profile.clock("reading", "everything"):
            return super().scan(run)

    def _reading(self) -> AbstractContextManager[None]:
        return self._profile.clock("reading", READING)

    def _update(self, folds: Folds, block: Block) -> None:
        for statistic, fold in folds:
            with self._profile.clock("statistics", type(statistic).__name__):
                fold.update(block)


class _ElementsWantedError(Exception):
    """A fold wants to see elements of a block of which only sums and extremes are at hand."""


def _no_elements(start: int, end: int) -> NDArray[Any]:  # noqa: ARG001 - whichever are asked for
    raise _ElementsWantedError


def _border(entry: Entry) -> int:
    """Return the first element with which a page of the file begins; 0 if it does not lie in one piece."""
    size = itemsize(entry.dtype)
    return _border_of(entry.storage.offset, size) if isinstance(entry.storage, Extent) and size else 0


def _border_of(offset: int, size: int) -> int:
    return -(-(-offset % PAGE_BYTES) // size)
