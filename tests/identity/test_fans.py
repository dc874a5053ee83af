"""Fans, output axes and gates, against the definitions of signal propagation."""

from __future__ import annotations

from typing import Any

import pytest

from weightaudit.identity.fans import Fans, fans
from weightaudit.tensor import Role


@pytest.mark.parametrize(
    ("layer_class", "variable", "shape", "config", "expected"),
    [
        ("Dense", "kernel", (3, 4), {}, Fans(3, 4, (1,))),
        ("Conv2D", "kernel", (3, 3, 8, 16), {}, Fans(72, 144, (3,))),
        ("Conv2DTranspose", "kernel", (4, 4, 8, 16), {"strides": [2, 2]}, Fans(64, 128, (2,))),
        ("Conv1DTranspose", "kernel", (4, 8, 16), {"strides": 2}, Fans(32, 32, (1,))),
        ("DepthwiseConv2D", "kernel", (3, 3, 8, 2), {}, Fans(9, 18, (2, 3))),
        ("SeparableConv2D", "depthwise_kernel", (3, 3, 8, 1), {}, Fans(9, 9, (2, 3))),
        ("SeparableConv2D", "pointwise_kernel", (1, 1, 8, 16), {}, Fans(8, 16, (3,))),
        ("LSTMCell", "kernel", (5, 12), {}, Fans(5, 3, (1,), 4)),
        ("GRUCell", "kernel", (5, 12), {}, Fans(5, 4, (1,), 3)),
        ("EinsumDense", "kernel", (6, 2, 4), {"equation": "abc,cde->abde"}, Fans(6, 8, (1, 2))),
        ("EinsumDense", "kernel", (2, 4, 6), {"equation": "abcd,cde->abe"}, Fans(8, 6, (2,))),
        ("EinsumDense", "kernel", (6, 2), {"equation": "...x,xy->...y"}, Fans(6, 2, (1,))),
        ("EinsumDense", "kernel", (2, 2, 2, 2), {"equation": "nonsense"}, Fans()),
        ("", "kernel", (3, 4), {}, Fans(3, 4, (1,))),
        ("Dense", "kernel", (), {}, Fans()),
    ],
)
def test_fans_of_kernels(
    layer_class: str, variable: str, shape: tuple[int, ...], config: dict[str, Any], expected: Fans
) -> None:
    """Each kind of kernel sums over the inputs that its layer really contracts."""
    assert fans(layer_class, variable, Role.KERNEL, shape, config) == expected


def test_embeddings_number_rows_and_have_no_fans() -> None:
    """An embedding is looked up, not summed over: its rows are its outputs."""
    assert fans("Embedding", "embeddings", Role.EMBEDDING, (100, 8), {}) == Fans(output_axes=(0,))


def test_biases_know_their_gates() -> None:
    """The bias of an LSTM holds four gates; a forget-gate bias of one must not look strange."""
    assert fans("LSTMCell", "bias", Role.BIAS, (12,), {}) == Fans(gates=4)
