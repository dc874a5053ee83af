"""Every fault that is seeded, by class and grade."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.detection import damage, layers, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.random import Generator

    from benchmarks.detection.harm import Harm
    from benchmarks.detection.weights import Weights

    Seed = Callable[[Weights, Generator], Harm | None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A way of hurting a model.

    Attributes:
        kind: The class, as in ``bit flips``.
        grade: How, or how badly.
        seed: Chooses what is hurt and says what it becomes; None where the model has nothing of the kind.
        times: How many times as many cases it has as others, for what a goal is about.
    """

    kind: str
    grade: str
    seed: Seed
    times: int = 1


def catalogue() -> tuple[Fault, ...]:
    """Return all faults in the order of the table."""
    return tuple(_all())


def _all() -> Iterator[Fault]:
    yield from _bits_and_bytes()
    yield from _whole_layers()
    yield from _declared_and_states()


def _bits_and_bytes() -> Iterator[Fault]:
    yield Fault("bit flips", "one, within the range", partial(damage.flip, high=1.0))
    yield Fault("bit flips", "one, beyond the range", partial(damage.flip, low=1.0), 10)
    yield Fault(
        "bit flips", "one, beyond the layer's range", partial(damage.flip, low=1.0, of_layer=True), 10
    )
    yield Fault("bit flips", "one, beyond 4 times the range", partial(damage.flip, low=4.0))
    for count in (10, 100):
        yield Fault("bit flips", str(count), partial(damage.flips, count=count))
    for kind, value in (("NaN", float("nan")), ("Inf", float("inf"))):
        yield Fault(kind, "single", partial(damage.burst, value=value, count=1))
        yield Fault(kind, "burst of 32", partial(damage.burst, value=value, count=32))
    yield Fault("float16 overflow", "to infinity", partial(damage.half, clamped=False))
    yield Fault("float16 overflow", "clamped", partial(damage.half, clamped=True))
    yield Fault("float16 overflow", "a weight beyond 65504", damage.beyond_half)
    yield Fault("zero-filled block", "a page of 4 KiB", damage.zero_page)
    yield Fault("zero-filled block", "last tenth", partial(damage.zero_tail, share=0.1))
    yield Fault("zero-filled block", "last half", partial(damage.zero_tail, share=0.5))
    yield Fault("duplicated block", "a page of 4 KiB", damage.repeat_page)
    yield Fault("endian swap", "kernel", damage.swap_bytes)
    yield Fault("endian swap", "vector", damage.swap_bytes_of_vector)
    yield Fault("reinterpreted", "float16 as float32", partial(damage.reinterpret, dtype="float16"))
    yield Fault("reinterpreted", "bfloat16 as float32", partial(damage.reinterpret, dtype="bfloat16"))
    for bits in (8, 4, 2):
        yield Fault("rounded", f"to {bits} bits", partial(damage.rounded, bits=bits))
    yield Fault("rounded", "through bfloat16", damage.through_bfloat16)


def _whole_layers() -> Iterator[Fault]:
    for power in (-6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6):
        yield Fault("layer scale", f"x1e{power}", partial(layers.scale, factor=10.0**power))
    for share, grade in ((0.0, "one"), (0.5, "half"), (1.0, "all")):
        yield Fault("zeroed channels", grade, partial(layers.zero_channels, share=share))
    for share, grade in ((0.0, "one"), (0.125, "an eighth")):
        yield Fault("duplicated channels", grade, partial(layers.repeat_channels, share=share))
    yield Fault("re-initialised layer", "whole layer", layers.reinitialise)
    yield Fault("re-initialised layer", "kernel only", layers.reinitialise_kernel)
    yield Fault("stale layer", "earlier epoch", layers.stale)
    yield Fault("swapped layers", "kernels of one shape", layers.swap)
    yield Fault("duplicated layer", "kernel", layers.duplicate)
    yield Fault("transposed square kernel", "kernel", layers.transpose)


def _declared_and_states() -> Iterator[Fault]:
    yield Fault("negative variance", "one channel", partial(states.negative_variance, every=False))
    yield Fault("negative variance", "all channels", partial(states.negative_variance, every=True))
    yield Fault("zero variance", "one channel", partial(states.zero_variance, every=False))
    yield Fault("zero variance", "all channels", partial(states.zero_variance, every=True))
    yield Fault("reset statistics", "mean 0, variance 1", states.reset_statistics)
    yield Fault("broken constraint", "by a hundredth", partial(states.break_constraint, excess=0.01))
    yield Fault("broken constraint", "twice the bound", partial(states.break_constraint, excess=1.0))
    yield Fault("lost sparsity", "a pruned kernel filled", states.fill_zeros)
    yield Fault("optimizer slots", "negative second moments", states.negative_slots)
    yield Fault("optimizer slots", "NaN", states.nan_slots)
    yield Fault("optimizer slots", "exploded", states.exploded_slots)
    yield Fault("quantization scale", "one channel x100", partial(states.quantization_scale, every=False))
    yield Fault("quantization scale", "all channels x100", partial(states.quantization_scale, every=True))
