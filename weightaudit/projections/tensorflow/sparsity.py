"""Pruning by magnitude, of many tensors at once, without sorting them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.projections.tensorflow.arithmetic import codes
from weightaudit.projections.tensorflow.library import Tensor, tf

if TYPE_CHECKING:
    from weightaudit.projections import Prune
    from weightaudit.projections.tensorflow.layout import Task


def prune(task: Task[Prune], values: Tensor) -> Tensor:
    """Set the smallest magnitudes to zero."""
    # Magnitudes are ordered as their bit patterns, which unlike subnormal numbers are never flushed.
    infinite = codes(tf.constant(float("inf"), values.dtype))
    magnitudes = tf.bitwise.bitwise_and(codes(values), infinite.dtype.max)
    projection = task.projection
    if projection.sparsity is not None:
        surplus = _smallest(magnitudes, projection.sparsity, infinite)
    else:
        kept, length = (int(number) for number in str(projection.n_of_m).split(":"))
        surplus = _beyond(tf.minimum(magnitudes, infinite), kept, length)
    surplus &= (magnitudes > 0) & (magnitudes < infinite)
    return tf.bitcast(tf.where(surplus, tf.zeros_like(magnitudes), codes(values)), values.dtype)


def _smallest(magnitudes: Tensor, share: float, infinite: Tensor) -> Tensor:
    """Say which elements of each row are those that have to become zero for a share of zeros."""
    finite = tf.cast(_count(magnitudes < infinite), tf.float64)
    needed = tf.math.ceil(share * finite)
    needed -= tf.cast((needed > 0) & ((needed - 1) / finite >= share), tf.float64)
    enough = tf.cast(needed, tf.int64)
    shape = tf.shape(enough)
    low = tf.zeros(shape, magnitudes.dtype)
    limit = _least(magnitudes, enough, low, tf.broadcast_to(infinite - 1, shape))
    # Of equal magnitudes the first are pruned.
    ties = magnitudes == limit
    left = enough - _count(magnitudes < limit)
    length = tf.shape(magnitudes, enough.dtype)[1]
    places = tf.where(ties, tf.range(length), length)
    last = tf.zeros_like(enough) + (length - 1)
    first = tf.where(_count(ties) == left, last, 0)
    return (magnitudes < limit) | ((left > 0) & (places <= _least(places, left, first, last)))


def _least(keys: Tensor, enough: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the least number per row, from low to high, that enough keys are not above: by bisection."""

    def is_open(low: Tensor, high: Tensor) -> Tensor:
        return tf.reduce_any(low < high)

    def halve(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        middle = low + tf.bitwise.right_shift(high - low, 1)
        suffices = _count(keys <= middle) >= enough
        return tf.where(suffices, low, middle + 1), tf.where(suffices, middle, high)

    _, result = tf.while_loop(is_open, halve, (low, high))
    return result


def _count(chosen: Tensor) -> Tensor:
    return tf.reduce_sum(tf.cast(chosen, tf.int64), 1, keepdims=True)


def _beyond(magnitudes: Tensor, kept: int, length: int) -> Tensor:
    """Say which elements are not among the largest of their stretch of the third axis."""
    _, outer, size, inner = tf.unstack(tf.shape(magnitudes))
    # What is added to complete the last stretch is smaller than any magnitude.
    whole = tf.pad(magnitudes, ((0, 0), (0, 0), (0, -size % length), (0, 0)), constant_values=-1)
    rank = _rank(tf.reshape(whole, (-1, outer, (size + length - 1) // length, length, inner)))
    return tf.reshape(rank >= kept, tf.shape(whole))[:, :, :size]


def _rank(stretches: Tensor) -> Tensor:
    """Return for each element how many of its stretch are larger, or as large and before it."""
    length = stretches.shape[3]
    rank = tf.zeros_like(stretches)
    places = tf.range(length)[:, tf.newaxis]
    for distance in range(1, length):
        other = tf.roll(stretches, -distance, 3)
        is_before = places >= length - distance
        rank += tf.cast((other > stretches) | ((other == stretches) & is_before), rank.dtype)
    return rank
