"""Faults of storage and transport: bits, bytes and blocks of single tensors."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.detection.harm import Harm, largest, pick
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.detection.weights import Weights

PAGE = 4096
"""Bytes of a page, the unit in which files are read, written and lost."""

_WORDS = {2: (np.uint16, 10, 5), 4: (np.uint32, 23, 8), 8: (np.uint64, 52, 11)}
"""By bytes of an element: its unsigned type, the lowest bit of the exponent, and how many bits that has."""


def flip_bit(array: NDArray[Any], element: int, bit: int) -> float:
    """Flip one exponent bit in place; 0 is the lowest. Return the new value."""
    word, low, _ = _WORDS[array.itemsize]
    flat = array.reshape(-1)
    flat.view(word)[element] ^= word(1 << (low + bit))
    return float(flat[element])


def _place(weights: Weights, random: Generator) -> tuple[str, int, int] | None:
    """Choose a tensor by its size, one of its elements, and a bit of the exponent."""
    names = weights.parameters()
    if not names:
        return None
    sizes = np.array([weights.arrays[name].size for name in names], float)
    name = names[int(random.choice(len(names), p=sizes / sizes.sum()))]
    array = weights.arrays[name]
    return name, int(random.integers(array.size)), int(random.integers(_WORDS[array.itemsize][2]))


def flip(
    weights: Weights, random: Generator, *, low: float = 0.0, high: float = inf, of_layer: bool = False
) -> Harm | None:
    """Flip one exponent bit so that the weight becomes of a certain size.

    Places are drawn uniformly until one does what is wanted, so each sort comes as it does by chance.

    Args:
        weights: The model.
        random: Chooses.
        low: The magnitude must be above this many times the largest of its tensor, or be NaN.
        high: It must not be above this many times the largest.
        of_layer: Whether all weights of its layer count as its range, not those of its tensor alone.
    """
    for _ in range(1000):
        place = _place(weights, random)
        if place is None:
            return None
        name, element, bit = place
        array = weights.arrays[name].copy()
        old = float(array.reshape(-1)[element])
        top = largest_of_layer(weights, name) if of_layer else largest(array)
        new = flip_bit(array, element, bit)
        ratio = abs(new) / top if top else inf
        # Not `low < ratio <= high`, for NaN is out of range too.
        if (not low or not ratio <= low) and not ratio > high:
            return Harm({name: array}, f"{old:.3g} became {new:.3g}, {ratio:.3g} of the largest")
    return None


def largest_of_layer(weights: Weights, name: str) -> float:
    """Return the largest magnitude of the weights of a tensor's layer; Inf if some of them are quantized."""
    layer = {name, *weights.siblings(name)}
    if any(weights.infos[one].role is Role.QUANTIZATION for one in layer):
        return inf
    return max(largest(weights.arrays[one]) for one in layer.intersection(weights.parameters()))


def flips(weights: Weights, random: Generator, *, count: int) -> Harm | None:
    """Flip exponent bits at random places of the whole model."""
    changes: dict[str, NDArray[Any]] = {}
    beyond = 0
    for _ in range(count):
        place = _place(weights, random)
        if place is None:
            return None
        name, element, bit = place
        array = changes.setdefault(name, weights.arrays[name].copy())
        beyond += not abs(flip_bit(array, element, bit)) <= largest(weights.arrays[name])
    # Two flips at one place can undo each other.
    changes = {
        name: array for name, array in changes.items() if array.tobytes() != weights.arrays[name].tobytes()
    }
    return Harm(changes, f"{beyond} of {count} beyond the range")


def burst(weights: Weights, random: Generator, *, value: float, count: int) -> Harm | None:
    """Set neighbouring weights to a value."""
    name = pick(random, weights.parameters(least=count))
    if name is None:
        return None
    array = weights.arrays[name].copy()
    first = int(random.integers(array.size - count + 1))
    array.reshape(-1)[first : first + count] = value
    return Harm({name: array})


def half(weights: Weights, random: Generator, *, clamped: bool) -> Harm | None:
    """Bring a scaled kernel to float16 and back; a sixteenth of its range is beyond 65504.

    A kernel times its loss scale is what overflows where training in float16 goes wrong.
    """
    name = pick(random, _wide(weights, weights.kernels()))
    if name is None:
        return None
    array = weights.arrays[name]
    scaled = array.astype(np.float64) * (16 / 15 * 65504 / largest(array))
    if clamped:
        scaled = scaled.clip(-65504, 65504)
    with np.errstate(over="ignore"):
        return Harm({name: scaled.astype(np.float16).astype(array.dtype)})


def beyond_half(weights: Weights, random: Generator) -> Harm | None:
    """Set one weight to a value that a later cast to float16 turns into infinity."""
    name = pick(random, _wide(weights, weights.kernels()))
    if name is None:
        return None
    array = weights.arrays[name].copy()
    array.reshape(-1)[int(random.integers(array.size))] = 65520 * random.uniform(1, 4)
    return Harm({name: array})


def _wide(weights: Weights, names: list[str]) -> list[str]:
    """Return those that are stored in more than 16 bits and are not all zero."""
    return [name for name in names if weights.arrays[name].itemsize > 2 and largest(weights.arrays[name])]


def _pages(weights: Weights, name: str) -> list[slice]:
    """Return the elements in each whole page of the file that lies in a tensor."""
    array = weights.arrays[name]
    first = -weights.places.get(name, 0) % PAGE
    return [
        slice(low // array.itemsize, (low + PAGE) // array.itemsize)
        for low in range(first, array.nbytes - PAGE + 1, PAGE)
    ]


def zero_page(weights: Weights, random: Generator) -> Harm | None:
    """Fill one page of the file with zeros, inside of a kernel."""
    name = pick(random, [one for one in weights.kernels() if len(_pages(weights, one)) > 1])
    if name is None:
        return None
    array = weights.arrays[name].copy()
    pages = _pages(weights, name)
    array.reshape(-1)[pages[int(random.integers(len(pages)))]] = 0
    return Harm({name: array})


def zero_tail(weights: Weights, random: Generator, *, share: float) -> Harm | None:
    """Fill the end of a kernel with zeros, as where a transfer broke off."""
    name = pick(random, weights.kernels(least=256))
    if name is None:
        return None
    array = weights.arrays[name].copy()
    array.reshape(-1)[array.size - int(array.size * share) :] = 0
    return Harm({name: array})


def repeat_page(weights: Weights, random: Generator) -> Harm | None:
    """Store one page of a kernel again in the place of the next one."""
    name = pick(random, [one for one in weights.kernels() if len(_pages(weights, one)) > 2])
    if name is None:
        return None
    array = weights.arrays[name].copy()
    pages = _pages(weights, name)
    number = int(random.integers(len(pages) - 1))
    array.reshape(-1)[pages[number + 1]] = weights.arrays[name].reshape(-1)[pages[number]]
    return Harm({name: array})


def swap_bytes(weights: Weights, random: Generator) -> Harm | None:
    """Store a kernel in the other byte order."""
    name = pick(random, weights.kernels())
    return None if name is None else Harm({name: weights.arrays[name].byteswap()})


def swap_bytes_of_vector(weights: Weights, random: Generator) -> Harm | None:
    """Store a bias, a scale or an offset in the other byte order."""
    vectors = [name for name in weights.parameters(least=8) if weights.arrays[name].ndim == 1]
    name = pick(random, vectors)
    return None if name is None else Harm({name: weights.arrays[name].byteswap()})


def reinterpret(weights: Weights, random: Generator, *, dtype: str) -> Harm | None:
    """Store pairs of 16-bit numbers where 32-bit ones are expected.

    They are those of the kernel, and, because twice as many fit, those of the kernel in reverse.
    """
    name = pick(random, [one for one in weights.kernels() if weights.arrays[one].dtype == np.float32])
    if name is None:
        return None
    array = weights.arrays[name]
    flat = np.concatenate([array.reshape(-1), array.reshape(-1)[::-1]])
    if dtype == "float16":
        words = flat.astype(np.float16).view(np.uint16)
    else:
        words = (flat.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return Harm({name: words.view("<f4").reshape(array.shape)})


def rounded(weights: Weights, random: Generator, *, bits: int) -> Harm | None:
    """Round a kernel to 2 ** bits - 1 values, evenly spaced around zero.

    With a single scale for the tensor: int8 has 255, int4 has 15, ternary has 3 values.
    """
    name = pick(random, weights.kernels(least=256))
    if name is None:
        return None
    array = weights.arrays[name]
    step = largest(array) / (2 ** (bits - 1) - 1)
    if not step:
        return None
    return Harm({name: np.asarray(np.round(array / step) * step, array.dtype)})


def through_bfloat16(weights: Weights, random: Generator) -> Harm | None:
    """Cut a kernel's float32 numbers to the 16 bits that bfloat16 keeps."""
    name = pick(random, [one for one in weights.kernels() if weights.arrays[one].dtype == np.float32])
    if name is None:
        return None
    array = weights.arrays[name]
    cut = array.view(np.uint32) & np.uint32(0xFFFF0000)
    return Harm({name: cut.view("<f4")})
