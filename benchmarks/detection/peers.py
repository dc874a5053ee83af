"""The rules of other tools, as far as one saved checkpoint is enough for them.

They are written from the tools' documentation and published parameters, without any of their code.
All of them were made to watch a training, or to convert; what cannot be asked here:

- SageMaker Debugger: `VanishingGradient`, `WeightUpdateRatio`, `UnchangedTensor` (gradients, or several
  steps), `DeadRelu` and `SaturatedActivation` (activations), `TensorVariance` (has no default thresholds).
- TheDeepChecker: the test of initial weights (before training), growth over five windows, updates,
  gradients, activations and the loss.
- AUTOTRAINER: gradients, the loss and the accuracy.

Each returns what it flags as pairs of a rule and the name of a tensor, or `WHOLE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.tensor import MATRIX_ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from weightaudit.tensor import TensorInfo

    Arrays = Mapping[str, NDArray[Any]]
    Infos = Mapping[str, TensorInfo]
    Flag = tuple[str, str]
    Peer = Callable[[Arrays, Infos], set[Flag]]

WHOLE = ""
"""What is flagged if it is the model."""


def sagemaker_debugger(arrays: Arrays, infos: Infos) -> set[Flag]:
    """Return what the rules of SageMaker Debugger flag, with their default parameters.

    `ExplodingTensor`: any NaN or Inf. `AllZero`: all values are zero (threshold 100 %).
    `PoorWeightInitialization`: between the layers, the largest and the smallest variance of the weights
    are more than a factor of 10 apart.
    """
    weights = _trainable(arrays, infos)
    flags = _flags("ExplodingTensor", _not_finite(arrays, infos))
    flags |= _flags("AllZero", (name for name, array in weights.items() if not array.any()))
    variances = [
        float(np.var(array.astype(np.float64)))
        for name, array in weights.items()
        if infos[name].role in MATRIX_ROLES and np.isfinite(array).all()
    ]
    if len(variances) > 1 and max(variances) > 10 * min(variances):
        flags.add(("PoorWeightInitialization", WHOLE))
    return flags


def the_deep_checker(arrays: Arrays, infos: Infos) -> set[Flag]:
    """Return what the checks of weights and biases of TheDeepChecker flag.

    NaN or Inf; more than 95 % of a kernel below 1e-5 in magnitude (dead), or negative; a mean magnitude
    above 1e8 (diverging).
    """
    flags = _flags("not finite", _not_finite(arrays, infos))
    for name, array in _trainable(arrays, infos).items():
        # Divided first, so that the mean of large numbers is finite.
        if np.sum(np.abs(array[np.isfinite(array)].astype(np.float64)) / array.size) > 1e8:
            flags.add(("diverging", name))
        if infos[name].role in MATRIX_ROLES:
            if np.mean(np.abs(array) < 1e-5) > 0.95:
                flags.add(("dead", name))
            if np.mean(array < 0) > 0.95:
                flags.add(("negative", name))
    return flags


def autotrainer(arrays: Arrays, infos: Infos) -> set[Flag]:
    """Return what AUTOTRAINER flags in the weights of a model, moving statistics among them.

    NaN or Inf; a magnitude above 5.
    """
    weights = _inferred(arrays, infos)
    large = (name for name, array in weights.items() if (np.abs(array[np.isfinite(array)]) > 5).any())
    return _flags("NaN weight", _not_finite(arrays, infos)) | _flags("large weight", large)


def onnx_float16(arrays: Arrays, infos: Infos) -> set[Flag]:
    """Return what the float16 converter for ONNX warns about.

    Finite magnitudes above 1e4, and those above zero and below 1e-7: both get clamped. NaN, Inf and zero
    pass without a warning.
    """
    flags: set[Flag] = set()
    for name, array in _inferred(arrays, infos).items():
        if array.dtype == np.float32:
            magnitudes = np.abs(array[np.isfinite(array)])
            if (magnitudes > 1e4).any():
                flags.add(("above", name))
            if ((magnitudes > 0) & (magnitudes < 1e-7)).any():
                flags.add(("below", name))
    return flags


PEERS: dict[str, Peer] = {
    "SageMaker Debugger": sagemaker_debugger,
    "TheDeepChecker": the_deep_checker,
    "AUTOTRAINER": autotrainer,
    "ONNX float16": onnx_float16,
}
"""All of them by name."""


def _inferred(arrays: Arrays, infos: Infos) -> dict[str, NDArray[Any]]:
    """Return every floating point tensor that inference reads, as ``model.get_weights()`` does."""
    return {
        name: array
        for name, array in arrays.items()
        if array.dtype.kind == "f" and not infos[name].is_bookkeeping
    }


def _trainable(arrays: Arrays, infos: Infos) -> dict[str, NDArray[Any]]:
    """Return kernels, embeddings and biases: what the tools' collections of weights and biases hold."""
    roles = MATRIX_ROLES | {Role.BIAS}
    return {name: array for name, array in _inferred(arrays, infos).items() if infos[name].role in roles}


def _not_finite(arrays: Arrays, infos: Infos) -> list[str]:
    return [name for name, array in _inferred(arrays, infos).items() if not np.isfinite(array).all()]


def _flags(rule: str, names: Iterable[str]) -> set[Flag]:
    return {(rule, name) for name in names}
