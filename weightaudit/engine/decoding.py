"""From stored bytes to the numbers that a layer computes with: storage types and quantization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from weightaudit.dtypes import components, decode, itemsize
from weightaudit.kernels import SUMMED_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from weightaudit.catalog import Entry
    from weightaudit.tensor import TensorInfo


class Decoder(Protocol):
    """Turns pieces of a stored tensor into blocks of float32 or float64."""

    @property
    def info(self) -> TensorInfo:
        """The tensor as the statistics see it: after decoding its shape may differ."""
        ...

    @property
    def summed(self) -> str:
        """Storage type that `kernels.native` sums up as it is stored, or empty."""
        ...

    def blocks(self, first: int, raw: NDArray[np.uint8], elements: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (index of the first number in the flattened tensor, numbers), at most `elements` each."""
        ...


class PlainDecoder:
    """A tensor whose stored numbers are the numbers that count."""

    __slots__ = ("_big_endian", "_dtype", "info", "summed")

    def __init__(self, info: TensorInfo, entry: Entry) -> None:
        self.info = info
        self.summed = "" if entry.big_endian or entry.dtype not in SUMMED_TYPES else entry.dtype
        self._dtype = entry.dtype
        self._big_endian = entry.big_endian

    def blocks(self, first: int, raw: NDArray[np.uint8], elements: int) -> Iterator[tuple[int, NDArray[Any]]]:
        size = itemsize(self._dtype)
        parts = components(self._dtype)
        step = max(1, elements // parts)
        for place in range(0, raw.size // size, step):
            piece = raw[place * size : (place + step) * size]
            yield (first + place) * parts, decode(piece, self._dtype, big_endian=self._big_endian)


def decoder_for(info: TensorInfo, entry: Entry, sibling: Callable[[str], NDArray[Any]]) -> Decoder:
    """Return the decoder of a tensor.

    Args:
        info: What the tensor is.
        entry: How it is stored.
        sibling: Reads another tensor of the same checkpoint by its key.

    Raises:
        ReadError: The tensor is quantized, and what decodes it cannot be read or does not fit.
    """
    if info.quantization is None:
        return PlainDecoder(info, entry)
    from weightaudit.engine.quantized import quantized_decoder

    return quantized_decoder(info, entry, info.quantization, sibling)
