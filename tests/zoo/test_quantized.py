"""What is read of quantized layers, against what the live layers compute with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.zoo import containers
from tests.zoo.live import path_of
from tests.zoo.quantized import QUANTIZED
from weightaudit.checkpoint import open_checkpoint
from weightaudit.tensor import TensorInfo

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.checkpoint import Checkpoint

CALIBRATED = {"quantized_gptq", "quantized_gptq_bytes", "quantized_awq"}
CASES = ["quantized_untied", "quantized_groups", "quantized_channels", *sorted(CALIBRATED)]


def saved(case: str, suffix: str, folder: Path) -> tuple[dict[str, NDArray[Any]], Path]:
    """Quantize and save a model; return the matrices that its layers multiply with, and the file."""
    keras: Any = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    keras.utils.set_random_seed(3)
    with warnings.catch_warnings():
        # Keras warns that layers without weights cannot be quantized, and uses NumPy's old protocol.
        warnings.simplefilter("ignore")
        model = QUANTIZED[case](keras)
        return dict(weights_of(model)), containers.KERAS3[suffix](model, folder)


def weights_of(model: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the matrix that each quantized layer multiplies with, as what it makes of a unit matrix."""
    for layer in model._flatten_layers(include_self=False):
        kind, path = type(layer).__name__, next((path_of(one) for one in layer.weights), "")
        path = path.rpartition("/")[0]
        if not getattr(layer, "quantization_mode", None):
            continue
        if kind == "Dense":
            yield f"{path}/kernel", np.asarray(layer(np.eye(layer.input_spec.axes[-1])))
        elif kind == "EinsumDense":
            data, kernel = layer.equation.partition("->")[0].split(",")
            shape = getattr(layer, "original_kernel_shape", None) or layer._kernel.shape
            lengths = dict(zip(kernel, shape, strict=True))
            shape = [lengths[letter] for letter in data[2:]]
            size = prod(shape)
            units = np.eye(size, dtype=np.float32).reshape(1, size, *shape)
            yield f"{path}/kernel", np.asarray(layer(units)).reshape(size, -1)
        else:
            yield f"{path}/embeddings", np.asarray(layer(np.arange(layer.input_dim)))
            if kind == "ReversibleEmbedding":
                units = np.eye(layer.output_dim, dtype=np.float32)
                yield f"{path}/reverse_embeddings", np.asarray(layer(units, reverse=True))


def as_matrix(checkpoint: Checkpoint, info: TensorInfo) -> NDArray[Any]:
    """Return the weights that are read of a tensor, as inputs times outputs."""
    values = checkpoint.read(info.name)
    if info.quantization is not None and info.quantization.mode in {"gptq", "awq"}:
        values = values.T
    rows = None if "embeddings" in info.name else info.fan_in
    return values.reshape(rows or values.shape[0], -1)


@pytest.mark.parametrize("case", CASES)
def test_weights_are_those_of_the_live_layers(case: str, tmp_path: Path) -> None:
    """Every quantized kernel and embedding is read as the numbers that its layer multiplies with."""
    live, path = saved(case, ".h5" if case in CALIBRATED else ".keras", tmp_path)
    assert len(live) >= 5
    with open_checkpoint(path) as checkpoint:
        read = {info.name: info for info in checkpoint if info.quantization}
        assert set(read) == set(live)
        for name, expected in live.items():
            found = as_matrix(checkpoint, read[name])[:, : expected.shape[1]]
            # Per-channel int4 does not store how wide an odd row is: its last nibble is a zero.
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("case", sorted(CALIBRATED))
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_lost_zero_points_are_told(case: str, suffix: str, tmp_path: Path) -> None:
    """What Keras saves of GPTQ and AWQ without zero points is not measured as if integers were weights."""
    _, path = saved(case, suffix, tmp_path)
    with open_checkpoint(path) as checkpoint:
        kernels = [info for info in checkpoint if info.dtype == "uint8"]
        assert len(kernels) == 8
        assert not any(info.is_floating for info in kernels)
        told = [defect.message for defect in checkpoint.defects] or list(checkpoint.notes)
    assert [line.startswith("The zero points of ") for line in told] == [True]
