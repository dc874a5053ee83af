"""The rules of other tools say what their documentation says they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.detection.peers import (
    PEERS,
    WHOLE,
    autotrainer,
    onnx_float16,
    sagemaker_debugger,
    the_deep_checker,
)
from weightaudit.tensor import Role, TensorInfo


def model(**arrays: NDArray[Any]) -> tuple[dict[str, NDArray[Any]], dict[str, TensorInfo]]:
    """Return tensors and what they are, by the role that their name begins with."""
    infos = {
        name: TensorInfo(
            name=name,
            key=name,
            shape=array.shape,
            dtype=str(array.dtype),
            role=Role(name.rpartition("__")[0]),
        )
        for name, array in arrays.items()
    }
    return arrays, infos


def kernel(scale: float = 0.1) -> NDArray[np.float32]:
    """Return a kernel of normal numbers."""
    return np.random.default_rng(0).normal(0, scale, (64, 32)).astype(np.float32)


def with_value(value: float) -> NDArray[np.float32]:
    """Return a kernel in which one number is another one."""
    array = kernel()
    array[3, 4] = value
    return array


@pytest.mark.parametrize("peer", PEERS.values(), ids=list(PEERS))
def test_a_healthy_layer_is_left_alone(peer: Any) -> None:
    """No tool flags a layer of ordinary weights, nor a bookkeeping tensor that inference never reads."""
    slot = np.full(8, np.nan, np.float32)
    assert peer(*model(kernel__a=kernel(), bias__a=np.full(32, 0.01, np.float32), counter__a=slot)) == set()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_flagged_by_three(value: float) -> None:
    """NaN and Inf are what all tools that watch a training look for; the converter passes them on."""
    arrays = model(kernel__a=with_value(value))
    flagged = {name for name, peer in PEERS.items() if ("kernel__a" in {one for _, one in peer(*arrays)})}
    assert flagged == set(PEERS) - {"ONNX float16"}


def test_sagemaker_debugger() -> None:
    """All values zero, and variances more than 10 times apart, are flagged; nearly so is not."""
    zero = np.zeros((8, 8), np.float32)
    assert ("AllZero", "bias__a") in sagemaker_debugger(*model(bias__a=zero[0]))
    nearly = zero.copy()
    nearly[0, 0] = 1
    assert not sagemaker_debugger(*model(bias__a=nearly))
    apart = sagemaker_debugger(*model(kernel__a=kernel(0.1), kernel__b=kernel(0.4)))
    assert apart == {("PoorWeightInitialization", WHOLE)}
    assert not sagemaker_debugger(*model(kernel__a=kernel(0.1), kernel__b=kernel(0.3)))


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        (np.full((64, 32), 9e-6, np.float32), "dead"),
        (-np.abs(kernel()), "negative"),
        (kernel(2e8), "diverging"),
    ],
)
def test_the_deep_checker(values: NDArray[Any], rule: str) -> None:
    """Kernels that are nearly all below 1e-5 or negative, or have a mean above 1e8, are flagged as such."""
    assert (rule, "kernel__a") in the_deep_checker(*model(kernel__a=values))


def test_the_deep_checker_tolerates_five_percent() -> None:
    """A kernel of which six percent are alive is not called dead."""
    values = np.zeros((10, 10), np.float32)
    values.reshape(-1)[:6] = 0.5
    assert not the_deep_checker(*model(kernel__a=values))
    values.reshape(-1)[:2] = 0
    assert the_deep_checker(*model(kernel__a=values)) == {("dead", "kernel__a")}


def test_autotrainer() -> None:
    """A magnitude above 5 is a large weight, also in moving statistics; 5 itself is not."""
    assert not autotrainer(*model(kernel__a=with_value(-5.0)))
    assert autotrainer(*model(kernel__a=with_value(-5.1))) == {("large weight", "kernel__a")}
    variance = np.full(4, 6, np.float32)
    assert autotrainer(*model(moving_variance__a=variance)) == {("large weight", "moving_variance__a")}


def test_the_onnx_converter() -> None:
    """It warns of what it clamps: above 1e4, and between 0 and 1e-7; not of what is float16 already."""
    assert onnx_float16(*model(kernel__a=with_value(1.1e4))) == {("above", "kernel__a")}
    assert onnx_float16(*model(kernel__a=with_value(-9e-8))) == {("below", "kernel__a")}
    assert not onnx_float16(*model(kernel__a=with_value(0.0)))
    assert not onnx_float16(*model(kernel__a=with_value(9e-8).astype(np.float16)))
