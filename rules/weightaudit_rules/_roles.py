"""Which tensors hold weights whose values mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.tensor import MATRIX_ROLES, Role

if TYPE_CHECKING:
    from weightaudit.tensor import TensorInfo


def is_weight(info: TensorInfo) -> bool:
    """Say whether inference multiplies or adds these values to activations.

    Quantized weights are, for they are measured after dequantization; their scales have
    magnitudes of another kind, and bookkeeping is not read at all.
    """
    return info.is_floating and info.role is not Role.QUANTIZATION and not info.is_bookkeeping


def is_matrix(info: TensorInfo) -> bool:
    """Say whether the tensor is a weight that is multiplied with activations."""
    return is_weight(info) and info.role in MATRIX_ROLES


def is_second_copy(info: TensorInfo) -> bool:
    """Say whether Keras stores the same variable under another name, as that of SpectralNormalization.

    Where the layer inside it is not known, as in weights without a configuration, its own class is told.
    """
    if info.layer_class == "SpectralNormalization":
        return info.role in MATRIX_ROLES
    return info.is_certain and info.name.endswith(("/kernel_copy", "/embeddings_copy"))


def is_reset(info: TensorInfo) -> bool:
    """Say whether the tensor is known to hold a metric, which `fit` and `evaluate` set to zero first."""
    return info.role is Role.METRIC and info.is_certain


def is_surely_unused(info: TensorInfo) -> bool:
    """Say whether it is known, not guessed, that inference never reads the tensor.

    Of what Keras 3 stores for the optimizer it may be a guess which slot it is, but not that it is one.
    """
    return info.is_bookkeeping and (info.is_certain or info.key.startswith("optimizer/vars/"))
