"""Projections of many tensors of one shape at once, as TensorFlow functions.

Importing this does not import TensorFlow; the first projection does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from weightaudit.projections.grid import GRIDS

if TYPE_CHECKING:
    from weightaudit.projections.base import Projection
    from weightaudit.projections.tensorflow.kernels import Kernel
    from weightaudit.projections.tensorflow.layout import Task

__all__ = ["project_stack", "supports"]

_TYPES = ("float16", "bfloat16", "float32", "float64")

_WORTH_COMPILING = 32 << 20
"""Bytes of a stack from which on compiling is faster when it is projected twice: 0.3 to 1 s are won back."""


def supports(projection: Projection) -> bool:
    """Say whether a projection runs on TensorFlow: all do that come with weightaudit, but `restore_from`.

    Raises:
        UsageError: TensorFlow is not installed.
    """
    from weightaudit.projections.tensorflow.kernels import kernel_of

    return kernel_of(projection) is not None


def project_stack(
    projection: Projection, stack: Any, *, dtype: str | None = None, compiled: bool | None = None
) -> Any:
    """Project every tensor of a stack, each on its own, in one call.

    It computes as numpy does, in float64, and keeps the contract of
    `weightaudit.projections.base.Projection`, up to this:

    - A norm that is above its bound by no more than the rounding of a sum of its n terms stays, and
      numpy may take it to be compliant or not. Results of the norms and of the steps differ by at
      most one unit in the last place of their type, plus (n + 16) * 2**-50 of the largest magnitude
      among them; all others are equal bit for bit.
    - `spectral_norm` knows a singular value from below: up to 512 rows or columns exactly but for
      rounding, beyond that by a Lanczos method. The result may exceed the bound by rounding: numpy's
      `complies` says for certain. It differs by at most 4 epsilon of its type.
    - TensorFlow takes subnormal float32 and float64 numbers for zero. They stay, or become zero
      where their group is scaled; and a group of nothing else stays, as one of zeros does.

    There is one trace for each projection, type, and order of the axes that a norm is taken over,
    whatever the shape, but for `spectral_norm`: there it is one for each shape. XLA, where it
    compiles, does so for each shape and number of tensors, which takes 0.1 to 1 s.

    Args:
        projection: The projection, one that `supports` says yes to.
        stack: float16, bfloat16, float32 or float64 tensor or array; its first axis counts tensors,
            and the length of the other axes is static.
        dtype: Storage type (as in `weightaudit.dtypes`) whose numbers the result must be made
            of; by default that of `stack`. float8 comes as float32.
        compiled: Whether XLA compiles it, which is 2 to 10 times as fast from the second call on; by
            default if the stack is of at least 32 MiB. `spectral_norm` is never compiled.

    Returns:
        Tensor of the same shape and type.

    Raises:
        UsageError: TensorFlow is not installed.
        ValueError: The projection does not run on TensorFlow, the shape does not have the axes
            that it needs, or the type has no number that complies.
    """
    from weightaudit.projections.tensorflow.kernels import kernel_of
    from weightaudit.projections.tensorflow.layout import Task, layout_of
    from weightaudit.projections.tensorflow.library import tf

    kernel = kernel_of(projection)
    if kernel is None:
        raise ValueError(f"{projection} does not run on TensorFlow; project with numpy")
    stack = tf.convert_to_tensor(stack)
    name = dtype or stack.dtype.name
    if name not in GRIDS or stack.dtype.name not in _TYPES:
        raise ValueError(f"a projection needs real floating-point numbers, not {name}")
    shape = tuple(stack.shape[1:])
    # A wrong axis is refused whether or not there is anything to project, as numpy's projections do.
    layout = layout_of(projection, shape)
    if 0 in shape:
        return stack
    if compiled is None:
        compiled = stack.dtype.size * (stack.shape.num_elements() or 0) >= _WORTH_COMPILING
    sizes = layout.shape if layout.is_static else (None,) * len(layout.shape)
    task = Task(projection, GRIDS[name], layout.axes)
    traced = _traced(kernel, task, (None, *sizes), stack.dtype, compiled=compiled and not layout.is_static)
    return tf.reshape(traced(tf.reshape(stack, (-1, *layout.shape))), tf.shape(stack))


@lru_cache(maxsize=256)
def _traced(
    kernel: Kernel, task: Task[Any], shape: tuple[int | None, ...], dtype: Any, *, compiled: bool
) -> Any:
    """Return the function that carries a task out on stacks of a shape, of which None is any length."""
    from weightaudit.projections.tensorflow.library import tf

    def project(values: Any) -> Any:
        return kernel(task, values)

    return tf.function(project, [tf.TensorSpec(shape, dtype)], autograph=False, jit_compile=compiled)
