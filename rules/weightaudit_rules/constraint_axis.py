"""WA311: norm constraints whose axes are probably not those that their author meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.tensor import Declared, Role
from weightaudit_rules._declared import NORMS, axes_of, is_known, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.rule import Measured
    from weightaudit.tensor import TensorInfo


def _filters() -> NDArray[np.float32]:
    return np.full((3, 3, 8, 16), 0.01, np.float32)


def _on(layer_class: str, axis: object, *output_axes: int) -> dict[str, Any]:
    return {
        "layer_class": layer_class,
        "output_axes": output_axes,
        "constraint": Declared("MaxNorm", {"max_value": 2, "axis": axis}),
    }


@dataclass(frozen=True)
class ConstraintAxis(Rule):
    """A declared norm constraint has the axes of another kind of layer.

    Why it matters: a norm is meant over all weights that one output unit sums up. ``axis=0``, the default of
    MaxNorm, MinMaxNorm and UnitNorm, is that for Dense kernels; in a Conv2D kernel it bounds each column of
    each channel's 3 weights on its own, so a filter of 3 x 3 x 64 may be 13.9 times as large as
    was meant, and in an embedding it bounds one feature over the whole vocabulary (keras#474, keras#3628,
    vlawhern/arl-eegmodels#1).

    What is normal: the axes of the kernel that are no output axes. Dense and recurrent kernels 0; Conv1D
    [0, 1], Conv2D [0, 1, 2], Conv3D [0, 1, 2, 3]; transposed convolutions all but the last but one; depthwise
    kernels all but the last two; pointwise kernels 2; embeddings 1; query, key and value of attention
    0, and its output [0, 1]. The data format does not matter. Axes of length 1 do not count. Told are the
    two mistakes that are made: ``axis=0`` where it is wrong, and the axes of an ordinary convolution on a
    transposed or depthwise one. Any other choice must have been made on purpose. There is one finding per
    layer, from the configuration alone.

    Known false positives: an ``axis=0`` that is meant, for instance a bound per feature of an embedding; the
    output kernel of attention layers, which gets the same constraint as the other three from Keras.

    How to mend: correct `axis`, and train on or project onto the norm that was meant, for instance
    with `weightaudit repair --project 'max_norm(2, axis=(0, 1, 2))' --on 'conv*/kernel'`.
    """

    code = "WA311"
    name = "constraint-axis"
    severity = Severity.WARNING
    examples = (
        Example(
            title="a Conv2D kernel with the norm of each filter",
            values=_filters,
            severity=None,
            info=_on("Conv2D", [0, 1, 2], 3),
        ),
        Example(
            title="a depthwise kernel as high as the input, and one wide",
            values=lambda: np.full((22, 1, 8, 2), 0.1, np.float32),
            severity=None,
            info=_on("DepthwiseConv2D", 0, 2, 3),
        ),
        Example(
            title="a Dense kernel with the norm of each input, which nobody gets by default",
            values=lambda: np.full((64, 32), 0.01, np.float32),
            severity=None,
            info=_on("Dense", 1, 1),
        ),
        Example(
            title="the default axis on a Conv2D kernel",
            values=_filters,
            severity=Severity.WARNING,
            info=_on("Conv2D", 0, 3),
        ),
        Example(
            title="the axes of Conv2D on a transposed convolution",
            values=_filters,
            severity=Severity.WARNING,
            info=_on("Conv2DTranspose", [0, 1, 2], 2),
        ),
        Example(
            title="the default axis on an embedding",
            values=lambda: np.full((64, 32), 0.01, np.float32),
            severity=Severity.WARNING,
            info={**_on("Embedding", 0), "role": "embedding"},
        ),
    )

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return False

    def check_model(self, model: Measured) -> Iterator[Finding]:
        told: set[str] = set()
        for info in model.tensors:
            declared = info.constraint
            if declared is None or declared.name not in NORMS or not is_known(declared) or info.layer in told:
                continue
            expected = _mistaken(info, declared)
            if expected is not None:
                told.add(info.layer)
                yield self._found(info, declared, expected)

    def _found(self, info: TensorInfo, declared: Declared, expected: tuple[int, ...]) -> Finding:
        return self.finding(
            info,
            f"{shown(declared)} is declared for the shape {info.shape}; the weights of one output unit of "
            f"{info.layer_class} lie along axis={list(expected)}.",
        )


def _mistaken(info: TensorInfo, declared: Declared) -> tuple[int, ...] | None:
    """Return the axes that were probably meant, None if the declared ones may be."""
    rank = len(info.shape)
    expected = _expected(info)
    try:
        axes = axes_of(info, declared)
    except ValueError:
        return None
    if axes is None or not expected:
        return None
    stated = {axis % rank for axis in axes}
    is_habit = stated in ({0}, set(range(rank - 1)))
    return expected if is_habit and _long(stated, info) != _long(set(expected), info) else None


def _expected(info: TensorInfo) -> tuple[int, ...]:
    """Return the axes that one output unit sums over; empty if they are not known."""
    if info.role is Role.EMBEDDING and len(info.shape) == 2:
        return (1,)
    return info.summed_axes if info.output_axes else ()


def _long(axes: set[int], info: TensorInfo) -> set[int]:
    return {axis for axis in axes if info.shape[axis] != 1}
