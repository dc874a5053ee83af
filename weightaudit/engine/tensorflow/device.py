"""What TensorFlow computes of a batch of blocks.

TensorFlow's threads take subnormal numbers for zero. So numbers are compared as integers: the bits of
a magnitude are ordered as magnitudes are. And float32 is widened to float64 by way of these
bits where it is subnormal, which it is not in float64.
"""

from __future__ import annotations

from functools import lru_cache, partial
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from weightaudit.engine.tensorflow.layout import SIGNED
from weightaudit.projections.tensorflow.library import Tensor, tf

if TYPE_CHECKING:
    from weightaudit.engine.tensorflow.scalars import Sum


class Work(NamedTuple):
    """What is to be computed of the blocks of a batch.

    Attributes:
        dtype: ``float32`` or ``float64``.
        sums: What is summed up of each block.
        rows: Orders of the norms of every row.
        columns: Orders of the norms of every column.
    """

    dtype: str
    sums: tuple[Sum, ...]
    rows: tuple[float, ...] = ()
    columns: tuple[float, ...] = ()


class Numbers(NamedTuple):
    """What was computed; tensors until `fetched`, then arrays.

    Attributes:
        sums: float64 of shape (blocks, sums).
        low: Keys of the smallest finite elements, integers of shape (blocks,).
        high: Keys of the largest ones.
        smallest: Keys of the smallest finite magnitudes.
        rows: For each order of `Work.rows` an array of shape (blocks, height): float64 sums of
            magnitudes or squares, or bits of the largest magnitude as integers.
        columns: The same for columns, of shape (blocks, width).
    """

    sums: Any
    low: Any
    high: Any
    smallest: Any
    rows: tuple[Any, ...]
    columns: tuple[Any, ...]

    def fetched(self) -> Numbers:
        """Wait for the device and bring everything to the host."""
        sums, low, high, smallest = (one.numpy() for one in self[:4])
        rows, columns = (tuple(one.numpy() for one in some) for some in (self.rows, self.columns))
        return Numbers(sums, low, high, smallest, rows, columns)


class _Elements:
    """Elements of blocks in the forms that sums are taken of."""

    def __init__(self, values: Tensor, dtype: str) -> None:
        kind, code = np.dtype(dtype), np.dtype(f"i{np.dtype(dtype).itemsize}")
        self._kind, self._code = kind, code
        bits = tf.bitcast(values, code.name)
        self.magnitude = tf.bitwise.bitwise_and(bits, np.iinfo(code).max)
        self.key = tf.where(bits < 0, -self.magnitude, self.magnitude)
        self.is_finite = self.magnitude < self.bits_of(inf)
        self.wide = tf.where(self.is_finite, self._widened(values), 0)

    def bits_of(self, limit: float) -> int:
        """Return the bits of a magnitude in the elements' own type."""
        with np.errstate(over="ignore"):
            return int(self._kind.type(limit).view(self._code))

    def summand(self, what: str, limit: float) -> Tensor:
        """Return what is summed up of each element; see `weightaudit.engine.tensorflow.scalars.Sum`."""
        match what:
            case "total":
                return self.wide
            case "squares":
                return tf.square(self.wide)
            case "energy":
                return tf.where(self.magnitude <= self.bits_of(limit), tf.square(self.wide), 0)
            case _:
                # Sums of ones are exact in float32, for blocks hold fewer than 2**24 elements.
                return tf.cast(self._belongs(what, self.bits_of(limit)), tf.float32)

    def _belongs(self, what: str, bits: int) -> Tensor:
        infinite = self.bits_of(inf)
        match what:
            case "finite":
                return self.is_finite
            case "nan":
                return self.magnitude > infinite
            case "positive":
                return tf.equal(self.key, infinite)
            case "zero":
                return tf.equal(self.magnitude, 0)
            case "negative":
                return (self.key < 0) & self.is_finite
            case "below":
                return self.magnitude < bits
            case "reaching":
                return (self.magnitude >= bits) & self.is_finite
            case "flushed":
                return (self.magnitude <= bits) & (self.magnitude > 0)
            case _:
                raise ValueError(f"there is no sum {what!r}")

    def _widened(self, values: Tensor) -> Tensor:
        if self._kind == np.float64:
            return values
        tiny = np.finfo(np.float32)
        steps = tf.cast(self.key, tf.float64) * float(tiny.smallest_subnormal)
        return tf.where(self.magnitude < self.bits_of(float(tiny.tiny)), steps, tf.cast(values, tf.float64))


def measure_blocks(work: Work, values: Tensor, *, compiled: bool = False) -> Numbers:
    """Measure blocks, in one call.

    There is one trace for each `work`, whatever the shape. XLA compiles once for each shape.

    Args:
        work: What is wanted.
        values: float32 or float64 array of shape (blocks, height, width), NaN where there is nothing.
        compiled: Whether XLA compiles it.
    """
    return Numbers(*_traced(work, compiled=compiled)(values))


@lru_cache(maxsize=256)
def _traced(work: Work, *, compiled: bool) -> Any:
    # A partial counts as a function of its own, so that TensorFlow does not warn of tracing one too often.
    signature = [tf.TensorSpec((None, None, None), work.dtype)]
    return tf.function(partial(_measure, work), signature, autograph=False, jit_compile=compiled)


def _measure(work: Work, values: Tensor) -> tuple[Any, ...]:
    shape = tf.shape(values)
    flat = _Elements(tf.reshape(values, (shape[0], -1)), work.dtype)
    sums = [tf.cast(tf.reduce_sum(flat.summand(*one), 1), tf.float64) for one in work.sums]
    rows, columns = (
        tuple(_norm(flat, order, shape, axis) for order in orders)
        for orders, axis in ((work.rows, 2), (work.columns, 1))
    )
    return (
        tf.stack(sums, 1) if sums else tf.zeros((shape[0], 0), tf.float64),
        tf.reduce_min(tf.where(flat.is_finite, flat.key, flat.key.dtype.max), 1),
        tf.reduce_max(tf.where(flat.is_finite, flat.key, flat.key.dtype.min), 1),
        tf.reduce_min(tf.where(flat.is_finite, flat.magnitude, flat.key.dtype.max), 1),
        rows,
        columns,
    )


def _norm(flat: _Elements, order: float, shape: Tensor, axis: int) -> Tensor:
    """Return sums of squares, magnitudes or values, or the bits of the largest magnitude, along an axis."""
    if order == inf:
        return tf.reduce_max(tf.reshape(tf.where(flat.is_finite, flat.magnitude, 0), shape), axis)
    terms = {SIGNED: tf.identity, 1: tf.abs, 2: tf.square}[order](flat.wide)
    return tf.reduce_sum(tf.reshape(terms, shape), axis)
