"""What is expected of casts to narrower formats is what real casts do, on real weights too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import ml_dtypes
import numpy as np
import pytest

from weightaudit import Role, open_checkpoint
from weightaudit.errors import WeightauditError
from weightaudit.rule import Measured, Severity
from weightaudit.testing import measure, tensor_info
from weightaudit_rules._casts import Format, expected, is_judged, needed, usual
from weightaudit_rules._floats import FORMATS
from weightaudit_rules._noise import best_shift
from weightaudit_rules.accumulation_overflow import AccumulationOverflow
from weightaudit_rules.narrow_statistics import NarrowStatistics
from weightaudit_rules.quantization_noise import QuantizationNoise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.tensor import TensorInfo

EVERY: tuple[Format, ...] = get_args(Format)
TYPES: dict[str, Any] = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
BESIDE = ("keras_metadata.pb", "fingerprint.pb", "manifest.tsv")


def real_sqnr(values: NDArray[Any], info: TensorInfo, target: Format, shift: int) -> float:
    """Cast a tensor and measure the signal-to-noise ratio in dB."""
    wide = values.astype(np.float64)
    if target in TYPES:
        scaled = (wide * 2.0**shift).astype(np.float32)
        after = scaled.astype(TYPES[target]).astype(np.float64) / 2.0**shift
    else:
        kept = {axis % wide.ndim for axis in info.output_axes} if target == "int8" else set()
        axes = tuple(axis for axis in range(wide.ndim) if axis not in kept)
        step = np.abs(wide).max(axis=axes, keepdims=True) / 127
        after = np.rint(wide / np.where(step > 0, step, 1)) * step
    noise = float(((wide - after) ** 2).sum())
    return 10 * np.log10(float((wide**2).sum()) / noise) if noise else np.inf


def error_of(values: NDArray[Any], info: TensorInfo, target: Format) -> float:
    """Return by how many dB what is expected of the usual cast differs from what it does."""
    stats = measure(values, needed(info, (target,)), info)
    cast = usual(info, stats, target, scaled=True)
    assert cast is not None
    return cast.sqnr - real_sqnr(values, info, target, cast.shift)


@pytest.mark.parametrize("target", EVERY)
@pytest.mark.parametrize("scale", [1e-7, 1e-5, 1e-3, 0.05, 1.0, 30.0])
def test_the_ratio_is_that_of_real_casts(target: Format, scale: float) -> None:
    """For normal and for heavy-tailed weights of any scale, also where many vanish, it is within 0.5 dB."""
    rng = np.random.default_rng(1)
    for values in (rng.normal(0, scale, (256, 256)), rng.standard_t(5, (256, 256)) * scale):
        kernel = values.astype(np.float32)
        assert abs(error_of(kernel, tensor_info(kernel), target)) < 0.5


@pytest.mark.parametrize("target", ["float8_e4m3fn", "float8_e5m2", "float16"])
@pytest.mark.parametrize("shift", range(-6, 7, 3))
def test_the_ratio_of_a_scaled_cast_is_that_of_a_real_one(target: Format, shift: int) -> None:
    """What a power of two before the cast does to noise and underflow is told within 0.5 dB."""
    values = np.random.default_rng(1).normal(0, 0.01, (256, 256)).astype(np.float32)
    info = tensor_info(values)
    cast = expected(info, measure(values, needed(info, (target,)), info), target, shift)
    assert cast is not None
    assert cast.sqnr == pytest.approx(real_sqnr(values, info, target, shift), abs=0.5)


def test_dead_and_sparse_channels_do_not_count_as_noise() -> None:
    """In int8, zeros, decayed weights and channels of nothing else leave the ratio within 1 dB."""
    rng = np.random.default_rng(1)
    for share, factor in ((0.9, 0), (0.9, 1e-20), (0.5, 1e-6)):
        values = rng.normal(0, 0.1, (256, 64)).astype(np.float32)
        spread, dead = values.copy(), values.copy()
        spread[rng.random(values.shape) < share] *= np.float32(factor)
        dead[:, : round(share * 64)] *= np.float32(factor)
        for kernel in (spread, dead):
            assert abs(error_of(kernel, tensor_info(kernel), "int8")) < 1.0


def real_tensors(corpus: Path) -> Iterator[tuple[TensorInfo, NDArray[Any]]]:
    """Yield float32 kernels and embeddings of 1000 to 3 million weights of the corpus."""
    folders = [path for path in corpus.iterdir() if path.is_dir()]
    paths = [one for path in folders for one in (path, *path.iterdir()) if one.name not in BESIDE]
    for path in sorted(paths):
        try:
            checkpoint = open_checkpoint(path)
        except WeightauditError:
            continue
        with checkpoint:
            for info in checkpoint:
                is_usual = info.dtype == "float32" and 1000 <= info.size <= 3_000_000
                if is_usual and info.role is not Role.CONSTANT and is_judged(info, "int8"):
                    values = checkpoint.read(info.name)
                    if np.isfinite(values).all() and values.any():
                        yield info, values


@pytest.fixture(scope="module")
def errors(corpus: Path) -> dict[Format, NDArray[np.float64]]:
    """By how many dB each format's expected ratio differs from the real one, for every real tensor."""
    tensors = list(real_tensors(corpus))
    return {
        target: np.array([error_of(values, info, target) for info, values in tensors]) for target in EVERY
    }


@pytest.mark.parametrize("target", EVERY)
def test_real_weights(errors: dict[Format, NDArray[np.float64]], target: Format) -> None:
    """On 200 real tensors and more, the median is within 0.1 dB, and nine in ten are within 0.6."""
    found = errors[target][np.isfinite(errors[target])]
    assert found.size >= 200
    assert abs(np.median(found)) < 0.1
    low, high = np.percentile(found, [5, 95])
    assert -0.6 < low < high < 0.6


def test_the_best_shift_is_the_largest_that_fits() -> None:
    """Times the scale, a value is in the range of each format; with twice the scale it is not."""
    rng = np.random.default_rng(1)
    for limits in FORMATS.values():
        for peak in (*(10.0 ** rng.uniform(-30, 30, 200)), limits.largest, limits.largest * 2.0**-9):
            shift = best_shift(float(peak), limits)
            assert peak * 2.0**shift <= limits.largest < peak * 2.0 ** (shift + 1)
        assert best_shift(0.0, limits) == 0


def model_of(rule: QuantizationNoise, tensors: dict[str, tuple[NDArray[Any], dict[str, Any]]]) -> Measured:
    """Measure a model of some arrays as the rule wants it."""
    infos = {name: tensor_info(values, name=name, **given) for name, (values, given) in tensors.items()}
    stats = {
        name: measure(tensors[name][0], rule.needs(info), info)
        for name, info in infos.items()
        if rule.applies(info)
    }
    return Measured(list(infos.values()), stats, ())


def test_the_summary_lists_what_must_stay_wider() -> None:
    """Overflowing statistics and noisy kernels are listed with their scales, and nothing else is."""
    rule = QuantizationNoise(formats=("float16", "int8_per_tensor"))
    kernel = np.random.default_rng(1).normal(0, 0.1, (64, 32)).astype(np.float32)
    outlier = kernel.copy()
    outlier[3, 4] = 60
    model = model_of(
        rule,
        {
            "good": (kernel, {}),
            "noisy": (outlier, {}),
            "variance": (np.array([1, 1e6], np.float32), {"role": "moving_variance"}),
            "bias": (np.full(32, 1e-7, np.float32), {"role": "bias"}),
            "table": (np.full(32, 1e9, np.float32), {"role": "metric"}),
        },
    )
    half, integer = rule.check_model(model)
    assert {half.severity, integer.severity} == {Severity.NOTE}
    assert (half.values["tensors"], half.values["scales"]) == ("variance", "0.0625")
    assert "1 of 4 tensors" in half.message
    assert integer.values["tensors"] == "noisy"
    assert "1 of 2 tensors must stay in a wider type (50.00% of the weights)" in integer.message


def test_a_finding_names_what_would_help() -> None:
    """A scale, or a step for each channel, is proposed where it suffices, else a wider type."""
    small = np.random.default_rng(1).normal(0, 1e-6, (64, 32)).astype(np.float32)
    spiked = small * np.float32(1e5)
    spiked[0, 0] = 30
    wild = spiked.copy()
    wild[0] = 3000
    half, each, one = (
        QuantizationNoise(formats=("float16",)),
        QuantizationNoise(formats=("int8",), min_sqnr=60.0),
        QuantizationNoise(formats=("int8_per_tensor",)),
    )
    for values, rule, advice in (
        (small, half, "multiplied by 2**34 before, it would be 73."),
        (spiked, one, "with a step for each output channel, it would be"),
        (wild, each, "keep it in float32"),
    ):
        info = tensor_info(values)
        (finding,) = rule.check(info, measure(values, rule.needs(info), info))
        assert advice in finding.message


def test_accumulation_bounds_are_those_of_the_channels() -> None:
    """What is reported is the largest sum that inputs of the given size can give, and its channel."""
    kernel = np.random.default_rng(1).normal(0, 40, (3, 3, 16, 8)).astype(np.float32)
    rule = AccumulationOverflow(accumulator="float16")
    info = tensor_info(kernel)
    (finding,) = rule.check(info, measure(kernel, rule.needs(info), info))
    reached = 16 * np.abs(kernel.astype(np.float64)).sum(axis=(0, 1, 2))
    assert finding.values["reached"] == pytest.approx(reached.max(), rel=1e-12)
    assert finding.values["count"] == (reached > 65504).sum()
    assert f"channel {reached.argmax()} " in finding.message


def test_codes_of_int8_add_up_as_they_are_reported() -> None:
    """The sum that int8 codes can reach is, but for rounding, that of the codes themselves."""
    kernel = np.random.default_rng(1).normal(1, 0.1, (200_000, 2)).astype(np.float32)
    rule = AccumulationOverflow(accumulator="int32")
    info = tensor_info(kernel)
    (finding,) = rule.check(info, measure(kernel, rule.needs(info), info))
    codes = np.rint(kernel / (np.abs(kernel).max(axis=0) / 127)).astype(np.int64)
    assert finding.values["reached"] == pytest.approx(127 * np.abs(codes).sum(axis=0).max(), rel=1e-3)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_narrow_statistics_stall_where_the_rule_says(dtype: Any) -> None:
    """A moving statistic of 1.0 stays where it is just below the distance told, and moves just above it."""
    info = tensor_info(np.ones(4, dtype), role=Role.MOVING_MEAN)
    (finding,) = NarrowStatistics().check_model(Measured([info], {}, ()))
    distance = float(finding.values["stalls"] or 0)
    for share, moves in ((0.99, False), (1.01, True)):
        after = dtype(np.float32(0.99) + np.float32(0.01) * np.float32(1 + share * distance))
        assert bool(after != dtype(1)) is moves
