"""Quantized tensors are decoded as Keras decodes them, however their bytes are cut."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weightaudit.catalog import Entry, Inline
from weightaudit.engine.quantized import quantized_decoder
from weightaudit.errors import ReadError
from weightaudit.tensor import Quantization, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weightaudit.engine.decoding import Decoder

Siblings = dict[str, NDArray[Any]]
GPTQ = Quantization("gptq", "scale", "zero", "group", packed_axis=0)
AWQ = Quantization("awq", "scale", "zero", "group", inputs="inputs", packed_axis=0)


def decoder(stored: NDArray[Any], how: Quantization, siblings: Mapping[str, NDArray[Any]]) -> Decoder:
    """Return the decoder of an array of bytes."""
    info = TensorInfo(
        name="k", key="k", shape=stored.shape, dtype=stored.dtype.name, role=Role.KERNEL, quantization=how
    )
    entry = Entry("k", stored.shape, stored.dtype.name, Inline(stored.tobytes()))
    return quantized_decoder(info, entry, how, lambda key: siblings[key])


def decoded(one: Decoder, stored: NDArray[Any], cuts: list[int], elements: int) -> NDArray[Any]:
    """Decode bytes in pieces; every weight has to come exactly once."""
    raw = np.frombuffer(stored.tobytes(), np.uint8)
    found = np.full(one.info.size, np.nan, np.float32)
    places = sorted({0, raw.size, *(cut % (raw.size + 1) for cut in cuts)})
    for begin, end in pairwise(places):
        for first, values in one.blocks(begin, raw[begin:end], elements):
            assert values.size <= max(elements, 2)
            assert np.isnan(found[first : first + values.size]).all()
            found[first : first + values.size] = values
    return found.reshape(one.info.shape)


def packed_rows(values: NDArray[Any]) -> NDArray[Any]:
    """Pack two rows into one, the first of them in the low nibble; an odd one is padded with zeros."""
    even = np.concatenate([values, np.zeros((len(values) % 2, *values.shape[1:]), values.dtype)])
    return ((even[0::2] & 15) | (even[1::2] << 4)).astype(values.dtype)


@settings(deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    groups=st.integers(1, 3),
    bits=st.sampled_from([3, 4, 8]),
    cuts=st.lists(st.integers(0, 100), max_size=4),
    elements=st.integers(2, 40),
    has_factor=st.booleans(),
)
def test_gptq_and_awq(
    *, rows: int, columns: int, groups: int, bits: int, cuts: list[int], elements: int, has_factor: bool
) -> None:
    """Weights are (stored - zero) * scale of their row and group, and AWQ's factors are taken out."""
    rng = np.random.default_rng(rows * 100 + columns)
    values = rng.integers(0, 1 << bits, (rows, columns)).astype(np.uint8)
    siblings: Siblings = {
        "scale": rng.uniform(0.1, 1, (rows, groups)).astype(np.float32),
        "zero": rng.integers(0, 8, (rows, groups)).astype(np.float32),
        # Keras cuts off what is behind the point.
        "group": rng.uniform(0, groups, columns).astype(np.float32),
        "inputs": rng.uniform(0.5, 2, columns).astype(np.float32),
    }
    group = siblings["group"].astype(int)
    expected: NDArray[Any] = (values - siblings["zero"][:, group]) * siblings["scale"][:, group]
    if has_factor:
        expected = expected / siblings["inputs"]
    stored = packed_rows(values) if bits == 4 else values
    one = decoder(stored, AWQ if has_factor else GPTQ, siblings)
    assert one.info.shape == (rows, columns)
    np.testing.assert_allclose(decoded(one, stored, cuts, elements), expected, rtol=1e-6)


@settings(deadline=None)
@given(
    rows=st.integers(1, 5),
    shape=st.sampled_from([(8,), (3, 5), (2, 1, 3)]),
    cuts=st.lists(st.integers(0, 100), max_size=4),
    elements=st.integers(2, 40),
)
def test_int4_kernels_of_keras_before_3_14(
    rows: int, shape: tuple[int, ...], cuts: list[int], elements: int
) -> None:
    """Two rows share a row of bytes there, and one scale per output is divided by, whatever its rank."""
    rng = np.random.default_rng(rows)
    values = rng.integers(-8, 8, (2 * rows, *shape)).astype(np.int8)
    scale = rng.uniform(1, 9, (1, 1, *shape[:-1], shape[-1])).astype(np.float32)
    how = Quantization("int4", "scale", packed_axis=0)
    stored = packed_rows(values)
    one = decoder(stored, how, {"scale": scale if len(shape) > 1 else scale.reshape(-1)})
    found = decoded(one, stored, cuts, elements)
    np.testing.assert_allclose(found, values / scale.reshape(shape), rtol=1e-6)


def test_the_output_matrix_of_an_embedding() -> None:
    """The second matrix of a ReversibleEmbedding has its groups along its rows, an odd number of them."""
    rng = np.random.default_rng(1)
    values = rng.integers(-8, 8, (7, 5)).astype(np.int8)
    siblings: Siblings = {
        "scale": rng.uniform(0.1, 1, (3, 5)).astype(np.float32),
        "zero": rng.integers(-8, 8, (3, 5)).astype(np.float32),
        "group": np.arange(7, dtype=np.float32) // 3,
    }
    group = siblings["group"].astype(int)
    how = Quantization("int4", "scale", "zero", "group", packed_axis=0)
    stored = packed_rows(values)
    found = decoded(decoder(stored, how, siblings), stored, [3, 9, 11], 8)
    np.testing.assert_allclose(
        found, (values - siblings["zero"][group]) * siblings["scale"][group], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("how", "change"),
    [
        (GPTQ, {"scale": np.ones((9, 2))}),
        (GPTQ, {"zero": np.ones((4, 1))}),
        (GPTQ, {"group": np.zeros(4)}),
        (GPTQ, {"group": np.full(6, 2.0)}),
        (GPTQ, {"group": np.full(6, np.nan)}),
        (GPTQ, {"group": np.full(6, -1.0)}),
        (GPTQ, {"group": np.full(6, 1e30)}),
        (AWQ, {"inputs": np.ones(5)}),
        (AWQ, {"inputs": np.ones((1, 6))}),
        (Quantization("gptq", "scale", packed_axis=0), {}),
        (Quantization("int4", "scale", packed_axis=0), {"scale": np.ones((5,))}),
        (Quantization("int4", "scale", "zero", "group", packed_axis=0), {}),
    ],
)
def test_what_does_not_fit_is_refused(how: Quantization, change: Siblings) -> None:
    """Scales, groups and factors of other shapes are an error that says so, and no traceback."""
    siblings: Siblings = {
        "scale": np.ones((4, 2)),
        "zero": np.zeros((4, 2)),
        "group": np.zeros(6),
        "inputs": np.ones(6),
    }
    decoder(np.zeros((2, 6), np.uint8), GPTQ, siblings)
    with pytest.raises(ReadError, match="quantization"):
        decoder(np.zeros((2, 6), np.uint8), how, {**siblings, **change})


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4)])
def test_other_ranks_are_refused(shape: tuple[int, ...]) -> None:
    """A packed kernel that is no matrix is refused, not measured as bytes."""
    for how in (GPTQ, Quantization("int4", "scale")):
        with pytest.raises(ReadError, match="quantization"):
            decoder(
                np.zeros(shape, np.uint8), how, {key: np.zeros((2, 2)) for key in ("scale", "zero", "group")}
            )


@pytest.mark.parametrize("role", [Role.KERNEL, Role.EMBEDDING])
@pytest.mark.parametrize(
    "change",
    [
        {"scale": np.ones((3, 2))},
        {"zero": np.zeros(2)},
        {"zero": np.zeros((1, 1))},
        {"group": np.zeros((4, 1))},
        {"group": np.full(4, np.nan)},
        {"group": np.full(4, 1e30)},
        {"group": np.full(4, 2)},
    ],
)
def test_groups_of_int4_that_do_not_fit_are_refused(role: Role, change: Siblings) -> None:
    """Groups and zero points that would index wrongly by shape or number are an error, and no traceback."""
    shape = (4, 2)
    scale = np.ones((4, 2) if role is Role.EMBEDDING else (2, 4))
    siblings: Siblings = {"scale": scale, "zero": np.zeros_like(scale), "group": np.zeros(4)}
    how = Quantization("int4", "scale", "zero", "group")
    info = TensorInfo(name="k", key="k", shape=shape, dtype="int8", role=role, quantization=how)
    entry = Entry("k", shape, "int8", Inline(bytes(8)))
    assert quantized_decoder(info, entry, how, lambda key: siblings[key]).info.shape == (4, 4)
    with pytest.raises(ReadError, match="quantization"):
        quantized_decoder(info, entry, how, lambda key: {**siblings, **change}[key])


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 0)])
def test_int8_without_channels_is_decoded(shape: tuple[int, ...]) -> None:
    """A single integer with one scale, and a kernel without elements, are no special case."""
    stored, how = np.full(shape, 6, np.int8), Quantization("int8", "scale")
    info = TensorInfo(
        name="k",
        key="k",
        shape=shape,
        dtype="int8",
        quantization=how,
        output_axes=(1,) if shape else (),
    )
    entry = Entry("k", shape, "int8", Inline(stored.tobytes()))
    scale = np.full(shape[-1:] or (1,), 2.0)
    found = decoded(quantized_decoder(info, entry, how, lambda _: scale), stored, [], 4)
    np.testing.assert_array_equal(found, np.full(shape, 3.0))
