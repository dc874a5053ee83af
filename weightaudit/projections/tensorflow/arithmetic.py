"""What `weightaudit.projections.grid` does, for tensors: rounding onto the numbers of a storage type.

TensorFlow computes with subnormal float32 and float64 numbers as with zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.projections.tensorflow.library import Tensor, tf

if TYPE_CHECKING:
    from collections.abc import Callable

    from weightaudit.projections.grid import Grid
    from weightaudit.projections.tensorflow.layout import Axes

_INTEGERS = {2: tf.int16, 4: tf.int32, 8: tf.int64}


def codes(values: Tensor) -> Tensor:
    """Return the bit patterns of numbers as signed integers of the same size."""
    return tf.bitcast(values, _INTEGERS[values.dtype.size])


def select(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Return new numbers where they are chosen, and elsewhere the old ones bit for bit.

    Args:
        chosen: Boolean tensor that can be broadcast to `old`.
        new: Numbers of any type, exact in that of `old`.
        old: The tensor that the result is like.
    """
    # Not on numbers: where a device lacks a type, it would convert them there and back.
    return tf.bitcast(tf.where(chosen, codes(tf.cast(new, old.dtype)), codes(old)), old.dtype)


def members(values: Tensor, axes: Axes) -> Tensor:
    """Return how many elements are treated together, as a float64."""
    lengths = tf.gather(tf.shape(values, tf.int64), tf.constant(axes, tf.int32))
    return tf.cast(tf.reduce_prod(lengths), tf.float64)


def units(values: Tensor, axes: Axes) -> Tensor:
    """Return float64 powers of two that bring each group's peak near 1; see `weightaudit.projections.groups`.

    Args:
        values: Stack of float16, bfloat16, float32 or float64.
        axes: Axes that a group extends over; they have length 1 in the result.
    """
    if values.dtype != tf.float64:
        return tf.ones([1] * values.shape.rank, tf.float64)
    peaks = tf.reduce_max(tf.abs(values), axes, keepdims=True)
    exponents = tf.bitwise.right_shift(codes(peaks), 52) - 1022
    exponents = tf.where(tf.math.is_finite(peaks), tf.clip_by_value(exponents, -1020, 1020), 0)
    return tf.bitcast(tf.bitwise.left_shift(1023 - exponents, 52), tf.float64)


def toward_zero(values: Tensor, grid: Grid) -> Tensor:
    """Round finite float64 to the nearest number whose magnitude is not larger."""
    return _rounded(values, grid, 0, lambda steps: tf.sign(steps) * tf.floor(tf.abs(steps)))


def nearest(values: Tensor, grid: Grid) -> Tensor:
    """Round finite float64 to the nearest number, of two to the even one."""
    cut = 53 - grid.digits
    if not cut:
        return values
    is_odd = tf.bitwise.bitwise_and(tf.bitwise.right_shift(codes(values), cut), 1)
    return _rounded(values, grid, is_odd + ((1 << (cut - 1)) - 1), tf.round)


def _rounded(values: Tensor, grid: Grid, carry: Tensor, to_steps: Callable[[Tensor], Tensor]) -> Tensor:
    cut = 53 - grid.digits
    if not cut:
        return values
    normal = tf.bitcast(tf.bitwise.bitwise_and(codes(values) + carry, -(1 << cut)), tf.float64)
    bounded = tf.clip_by_value(values, -grid.largest, grid.largest)
    subnormal = to_steps(bounded / grid.step) * grid.step
    magnitudes = tf.abs(values)
    return tf.where((magnitudes >= grid.normal) & (magnitudes <= grid.largest), normal, subnormal)
