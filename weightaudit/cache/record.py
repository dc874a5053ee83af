"""The statistics of one model, in columns: one for each statistic, with a row for each tensor."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weightaudit.cache.forms import FORMS, array_shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.cache.identity import Stamp
    from weightaudit.statistics import Statistic

DTYPES: dict[str, np.dtype[Any]] = {"i": np.dtype("<i8"), "f": np.dtype("<f8")}
"""The types of a column's numbers by their letters (`Form.types`)."""


@dataclass(frozen=True, slots=True)
class Column:
    """The results of one statistic.

    Attributes:
        rows: int64 numbers of the tensors that it is known of, ascending.
        numbers: One array for each number of a result (`Form.types`), as long as `rows`. For results that
            are kept as arrays: their int64 sizes, and their float64 elements one after the other.
    """

    rows: NDArray[np.int64]
    numbers: tuple[NDArray[Any], ...]

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.rows.nbytes + sum(array.nbytes for array in self.numbers)


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a model whose files bore these stamps.

    Every tensor was read whole, and every checksum was right.

    Attributes:
        stamps: Stamps of its files.
        layout: Digest of what was measured (`identity.layout`).
        columns: The results.
    """

    stamps: tuple[Stamp, ...]
    layout: str
    columns: Mapping[Statistic[Any], Column]


def column(statistic: Statistic[Any], results: Mapping[int, Any]) -> Column:
    """Return the column of results, at least one, which are given by the numbers of their tensors."""
    rows = np.array(sorted(results), DTYPES["i"])
    ordered = [results[row] for row in rows.tolist()]
    form = FORMS[type(statistic)]
    if form.is_array:
        elements = [form.split(result).ravel() for result in ordered]
        sizes = np.array([array.size for array in elements], DTYPES["i"])
        joined = np.concatenate(elements) if elements else np.zeros(0)
        return Column(rows, (sizes, joined.astype(DTYPES["f"], copy=False)))
    split = [form.split(result) for result in ordered]
    numbers = zip(form.types, zip(*split, strict=True), strict=True)
    return Column(rows, tuple(np.array(one, DTYPES[kind]) for kind, one in numbers))


def results(statistic: Statistic[Any], known: Column, shapes: Sequence[tuple[int, ...]]) -> dict[int, Any]:
    """Return the results of a column by the numbers of their tensors.

    Args:
        statistic: Whose column it is.
        known: The column.
        shapes: Shapes of all tensors, as the statistics see them.

    Raises:
        ValueError: The column does not fit the tensors.
    """
    rows: list[int] = known.rows.tolist()
    if rows and not (0 <= rows[0] <= rows[-1] < len(shapes)):
        raise ValueError("there are not as many tensors")
    form = FORMS[type(statistic)]
    if not form.is_array:
        made = map(form.join, *(array.tolist() for array in known.numbers))
        return dict(zip(rows, made, strict=True))
    sizes, elements = known.numbers
    elements = elements.copy()  # what rules are given can be written to, as what was measured can
    ends = np.cumsum(sizes)
    found: dict[int, Any] = {}
    for row, start, end in zip(rows, (ends - sizes).tolist(), ends.tolist(), strict=True):
        if form.types:
            found[row] = form.join(elements[start:end])
            continue
        kept = array_shape(statistic, shapes[row])
        if prod(kept) != end - start:
            raise ValueError("an array has another size than its tensor's shape asks for")
        found[row] = elements[start:end].reshape(kept)
    return found
