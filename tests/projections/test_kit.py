"""The contract kit refuses what breaks the contract; a kit that accepts everything proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from weightaudit.projections import Phase, Projection
from weightaudit.testing import check_projection


@dataclass(frozen=True)
class Halve(Projection):
    """Values of at most one half in magnitude.

    Attributes:
        largest: Largest magnitude allowed.
    """

    largest: float = 0.5

    name = "halve"
    phase = Phase.CLIP

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        beyond = np.isfinite(values) & (np.abs(values) > self.largest)
        if not beyond.any():
            return values
        return np.where(beyond, np.copysign(self.largest, values), values).astype(values.dtype)

    def splits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) > 0


@dataclass(frozen=True)
class Copying(Halve):
    """Never returns the object that it was given."""

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return super().project(values, dtype=dtype).copy()


@dataclass(frozen=True)
class Writing(Halve):
    """Writes to its input."""

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        after = super().project(values, dtype=dtype)
        values.flags.writeable = True
        values[...] = after
        return after


@dataclass(frozen=True)
class Flattening(Halve):
    """Loses the shape."""

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        after = super().project(values, dtype=dtype)
        return after if after is values else after.reshape(-1, 1)


@dataclass(frozen=True)
class Laundering(Halve):
    """Makes numbers of NaN and Inf."""

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        after = np.nan_to_num(super().project(values, dtype=dtype), nan=0.0, posinf=0.5, neginf=-0.5)
        return values if np.array_equal(after, values) else after


@dataclass(frozen=True)
class Creeping(Halve):
    """Only goes half of the way."""

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        after = super().project(values, dtype=dtype)
        return after if after is values else (after + (values - after) / 2).astype(values.dtype)


@dataclass(frozen=True)
class Rounded(Halve):
    """Uses numbers that narrow types do not have."""

    largest: float = 0.3


@dataclass(frozen=True)
class Whole(Halve):
    """Depends on the whole tensor and says that it does not."""

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        finite = values[np.isfinite(values)]
        if not finite.size or np.abs(finite).max() <= self.largest:
            return values
        return np.where(np.isfinite(values), values * 0, values)


@dataclass(frozen=True)
class Overflowing(Halve):
    """Makes Inf of numbers."""

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        after = super().project(values, dtype=dtype)
        return (
            after if after is values else np.where(np.isfinite(values), np.inf, values).astype(values.dtype)
        )


@dataclass(frozen=True)
class Renamed(Halve):
    """Is not written as it is read."""

    def __str__(self) -> str:
        return "halve(largest=0.25)"


@dataclass(frozen=True)
class Picky(Halve):
    """Takes no tensor at all."""

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        raise ValueError("not this one")


def test_a_good_projection_passes() -> None:
    """A projection that keeps the contract is accepted, with tensors of its author too."""
    check_projection(Halve(), [np.array([[0.75, -9.0]])])


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        (Copying(), "it does not leave alone what it returned itself on float32"),
        (Writing(), "it writes to its input on float64 of shape (12, 5)"),
        (Flattening(), "it gives float32 of shape (60, 1) on float32 of shape (12, 5)"),
        (Laundering(), "it changes NaN or Inf"),
        (Creeping(), "what it returns does not comply on float32"),
        (Rounded(), "is not a number of the type float16, on float16"),
        (Whole(), "slices of 1 along the first axis give another result"),
        (Overflowing(), "it makes NaN or Inf of numbers"),
        (Renamed(), "its text halve(largest=0.25) stands for another projection"),
        (Picky(), "it refuses every tensor"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broken_contract_is_told(projection: Projection, expected: str) -> None:
    """Each way of breaking the contract is found and named."""
    with pytest.raises(AssertionError) as caught, np.errstate(all="ignore"):
        check_projection(projection)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{projection} breaks the contract")


def test_a_class_that_is_not_well_made() -> None:
    """What load_projections refuses is refused here too, in its words."""

    @dataclass(frozen=True)
    class Bad(Halve):
        """Has no name that can be written."""

        name = "Bad Name"

    with pytest.raises(AssertionError, match="needs a name in snake_case"):
        check_projection(Bad())
