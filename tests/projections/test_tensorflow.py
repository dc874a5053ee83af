"""Projections on TensorFlow against those with numpy: the same results, within what is stated."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.projections.tensors import DTYPES, projections, stored, tensors
from weightaudit.projections import (
    Clip,
    ClipNorm,
    FitDtype,
    L1Ball,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    Projection,
    Prune,
    ReplaceNonfinite,
    RestoreFrom,
    Shrink,
    SoftThreshold,
    SpectralNorm,
    UnitNorm,
)
from weightaudit.projections.grid import GRIDS, bits
from weightaudit.projections.tensorflow import _traced, project_stack, supports
from weightaudit.projections.tensorflow.layout import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

tf = pytest.importorskip("tensorflow")
max_norm = importlib.import_module("weightaudit.projections.tensorflow.norms").max_norm
within = importlib.import_module("weightaudit.projections.tensorflow.values").within

EXACT = (NonNeg, Clip, FitDtype, ReplaceNonfinite, Prune)
"""Projections whose results are numpy's bit for bit."""

EVERY = (
    MaxNorm(1.0),
    MaxNorm(0.5, axis=None),
    MinMaxNorm(0.5, 1.0),
    MinMaxNorm(0.5, 1.0, rate=0.3),
    MinMaxNorm(0.5, inf, axis=1),
    UnitNorm(),
    ClipNorm(0.1),
    L1Ball(1.0),
    L1Ball(1.0, axis=0),
    L1Ball(0.0, axis=-1),
    SpectralNorm(0.7),
    NonNeg(),
    Clip(-0.1, 0.3),
    SoftThreshold(0.1),
    Shrink(0.1),
    Prune(0.55),
    Prune(n_of_m="2:4"),
    Prune(n_of_m="1:3", axis=-1),
    FitDtype("float8_e4m3fn"),
    ReplaceNonfinite(),
    ReplaceNonfinite(0.1, 2.0),
)
names = pytest.mark.parametrize("projection", EVERY, ids=str)


def blocks_of(dtype: str) -> list[NDArray[Any]]:
    """Return tensors of one shape: compliant, in part, and not at all; sparse, alike, with NaN and Inf."""
    rng = np.random.default_rng(3)
    ordinary = rng.normal(0, 0.4, (12, 5))
    holes = np.where(rng.random((12, 5)) < 0.1, rng.choice([np.nan, np.inf, -np.inf], (12, 5)), ordinary)
    if dtype == "float8_e4m3fn":
        holes[np.isinf(holes)] = np.nan
    columns = np.array([0.01, 0.1, 1, 10, 1e-3])
    scales = (1.0, -1.0, 1e-3, 1e-6, 50.0, 1e30, 0.0, -0.0)
    values = [*(ordinary * scale for scale in scales), ordinary * columns, holes, holes * columns]
    values += [np.round(4 * ordinary) / 4, np.where(ordinary > 0, ordinary, 0), np.full((12, 5), 0.3)]
    return [stored(one, dtype) for one in values]


def assert_close(
    projection: Projection, got: NDArray[Any], before: NDArray[Any], dtype: str, where: object = ""
) -> None:
    """Check a result of TensorFlow by the tolerance that `project_stack` states."""
    want = projection.project(before, dtype=dtype)
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    if isinstance(projection, EXACT):
        assert np.array_equal(bits(got), bits(want)), where
        return
    lost = ~np.isfinite(before).reshape(-1)
    assert np.array_equal(bits(got)[lost], bits(before)[lost])
    one, two = (values.reshape(-1)[~lost].astype(np.float64) for values in (got, want))
    grid, tiny = GRIDS[dtype], float(np.finfo(want.dtype).tiny)
    unit = np.maximum(np.maximum(np.abs(one), np.abs(two)) * grid.epsilon, max(grid.step, tiny))
    slack = (before.size + 16) * 2.0**-50 * np.abs(two).max(initial=0)
    units = 4 if isinstance(projection, SpectralNorm) else 1
    assert (np.abs(one - two) <= units * unit + slack).all(), where


def assert_stack(
    projection: Projection, blocks: Sequence[NDArray[Any]], dtype: str, *, compiled: bool | None = None
) -> None:
    """Project blocks in one call, and compare each with numpy; compliant ones are the same bit for bit."""
    result = project_stack(projection, np.stack(blocks), dtype=dtype, compiled=compiled).numpy()
    for number, (before, got) in enumerate(zip(blocks, result, strict=True)):
        assert_close(projection, got, before, dtype, number)
        if not projection.is_step and projection.complies(before, dtype=dtype):
            assert np.array_equal(bits(got), bits(before))


@names
@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_those_of_numpy(projection: Projection, dtype: str) -> None:
    """In every storage type, each tensor of a mixed stack becomes what numpy makes of it."""
    assert_stack(projection, blocks_of(dtype), dtype, compiled=False)


@names
def test_compiled_results_are_those_of_numpy(projection: Projection) -> None:
    """Compiled by XLA, each tensor of a mixed stack becomes what numpy makes of it."""
    assert_stack(projection, blocks_of("float32"), "float32", compiled=True)


@settings(max_examples=200, deadline=None)
@given(projections(), tensors())
def test_nothing_drawn_differs(projection: Projection, tensor: tuple[NDArray[Any], str]) -> None:
    """Whatever tensor and projection: what either refuses both refuse, and else the results are close."""
    values, dtype = tensor
    # What is subnormal counts as zero here, and numpy's engine is what finds that out.
    values[np.abs(values) < np.finfo(values.dtype).tiny] = 0
    blocks = [values, -values, values[::-1].copy()] if values.ndim else [values, np.asarray(-values)]
    refusal = ""
    try:
        projection.project(values, dtype=dtype)
    except ValueError as error:
        refusal = str(error)
    if not refusal:
        assert_stack(projection, blocks, dtype)
    elif values.size:
        with pytest.raises(ValueError, match=re.escape(refusal)):
            project_stack(projection, np.stack(blocks), dtype=dtype)


@names
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_tensors_of_their_own_type_are_projected(projection: Projection, dtype: str) -> None:
    """A stack of a narrow TensorFlow type gives what numpy gives for tensors stored with that type."""
    wide = np.stack(blocks_of(dtype))
    result = project_stack(projection, tf.cast(wide, dtype))
    assert result.dtype == dtype
    for before, got in zip(wide, tf.cast(result, wide.dtype).numpy(), strict=True):
        known = np.isfinite(before)
        want = project_stack(projection, before[np.newaxis], dtype=dtype).numpy()[0]
        assert np.array_equal(got[known], want[known])


@pytest.mark.parametrize("compiled", [False, True])
def test_untouched_numbers_keep_their_bits(compiled: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Payloads of NaN, -0.0 and subnormals outlive a projection of their neighbours in every type."""
    patterns = {
        "float16": (np.uint16, [0x7E55, 0xFC01, 0x8000, 0x0001, 0x5640]),
        "bfloat16": (np.uint16, [0x7FA5, 0xFF81, 0x8000, 0x0001, 0x42C8]),
        "float32": (np.uint32, [0x7FA00055, 0xFF800001, 0x80000000, 0x00000001, 0x42C80000]),
        "float64": (np.uint64, [0x7FF4000000000055, 0xFFF0000000000001, 1 << 63, 1, 0x4059000000000000]),
    }
    for dtype, (kind, codes) in patterns.items():
        words = np.array([codes], kind)
        stack = tf.bitcast(tf.constant(words), dtype)
        result = tf.bitcast(project_stack(Clip(-1, 1), stack, compiled=compiled), tf.as_dtype(kind)).numpy()
        assert np.array_equal(result[0, :4], words[0, :4]), dtype
        assert result[0, 4] != words[0, 4]


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((7,), 0),
        ((7,), ()),
        ((3, 4, 5, 6), (0, 1, 2)),
        ((3, 4, 5, 6), (0, 2)),
        ((3, 4, 5), (1, -1)),
        ((), None),
    ],
    ids=str,
)
def test_any_axes_are_taken(shape: tuple[int, ...], axis: int | tuple[int, ...] | None) -> None:
    """Norms are taken over the axes that are named, next to each other or not, and only within a tensor."""
    rng = np.random.default_rng(5)
    blocks = [np.asarray(rng.normal(0, scale, shape), np.float32) for scale in (0.01, 0.5, 3)]
    for projection in (MaxNorm(1.0, axis), L1Ball(1.0, axis), UnitNorm(axis)):
        assert_stack(projection, blocks, "float32")


@pytest.mark.parametrize("pattern", ["1:1", "1:2", "2:4", "4:8", "1:3", "16:32", "98:99"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_patterns_are_those_of_numpy(pattern: str, axis: int) -> None:
    """The same elements are pruned, ties and the shorter stretch at the end included, along every axis."""
    rng = np.random.default_rng(6)
    blocks = [np.round(rng.normal(0, 3, (37, 6, 10))).astype(np.float32) for _ in range(3)]
    blocks[1][rng.random((37, 6, 10)) < 0.1] = np.inf
    blocks[2][rng.random((37, 6, 10)) < 0.7] = -0.0
    assert_stack(Prune(n_of_m=pattern, axis=axis), blocks, "float32")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 2 / 3, 0.999, 1.0])
def test_shares_are_those_of_numpy(share: float) -> None:
    """The same elements are pruned, the first of equal ones first, whatever the share."""
    rng = np.random.default_rng(7)
    blocks = [np.round(rng.normal(0, scale, 999)).astype(np.float32) for scale in (0.5, 3, 1e6)]
    blocks += [rng.normal(0, 1, 999).astype(np.float32), np.full(999, np.nan, np.float32)]
    assert_stack(Prune(share), blocks, "float32")


@pytest.mark.parametrize("shape", [(700, 600), (520, 1300), (3, 3, 80, 640)], ids=str)
def test_large_kernels_have_the_singular_value_that_is_asked_for(shape: tuple[int, ...]) -> None:
    """Beyond the size for which all values are computed, the largest is found to about rounding."""
    rng = np.random.default_rng(8)
    one = rng.normal(0, 1, shape).astype(np.float32)
    rank = np.linalg.qr(rng.normal(0, 1, (one.size // shape[-1], 3)))[0] @ rng.normal(0, 1, (3, shape[-1]))
    stack = np.stack([one, one * 1e-4, rank.reshape(shape).astype(np.float32)])
    after = project_stack(SpectralNorm(2.0), stack).numpy().reshape(3, -1, shape[-1]).astype(np.float64)
    sigma = np.linalg.svd(after, compute_uv=False)[:, 0]
    assert sigma[0] == pytest.approx(2, rel=3e-7)
    assert sigma[2] == pytest.approx(2, rel=3e-7)
    assert np.array_equal(bits(after[1].astype(np.float32)), bits(stack[1]))


def test_equal_singular_values_are_found() -> None:
    """A kernel whose singular values are all the same, large or small, is scaled to the bound."""
    for size in (64, 600):
        kernel = np.linalg.qr(np.random.default_rng(9).normal(0, 1, (size, size)))[0].astype(np.float32)
        after = project_stack(SpectralNorm(0.5), 3 * kernel[np.newaxis]).numpy()[0].astype(np.float64)
        assert np.linalg.svd(after, compute_uv=False)[0] == pytest.approx(0.5, rel=3e-7)


def test_one_trace_serves_all_shapes() -> None:
    """Tensors of any shape and number share a trace, if they are of one type and order of axes."""
    projection = MaxNorm(0.123)
    _traced.cache_clear()
    for shape in ((2, 3, 4), (5, 3, 4), (5, 6, 7), (1, 9, 2, 3)):
        project_stack(projection, np.ones(shape, np.float32))
    known = _traced.cache_info()
    task = Task(projection, GRIDS["float32"], (1,))
    function = _traced(max_norm, task, (None, None, None), tf.float32, compiled=False)
    assert (known.currsize, function.experimental_get_tracing_count()) == (1, 1)
    assert _traced.cache_info().hits == known.hits + 1
    project_stack(projection, np.ones((2, 3, 4)))
    assert _traced.cache_info().currsize == 2


def test_large_stacks_are_compiled() -> None:
    """From 32 MiB on, XLA is asked to compile without being told to, and spectral norms never are."""
    _traced.cache_clear()
    stack = np.zeros((2, 1 << 22), np.float32)
    assert not project_stack(Clip(0.0, 1.0), stack).numpy().any()
    task = Task(Clip(0.0, 1.0), GRIDS["float32"], ())
    known = _traced.cache_info()
    _traced(within, task, (None,), tf.float32, compiled=True)
    assert _traced.cache_info().misses == known.misses


@pytest.mark.parametrize("compiled", [False, True])
def test_twice_gives_the_same_bits(compiled: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The same stack gives the same bits again, on as many threads as there are, and in other company."""
    stack = np.random.default_rng(11).normal(0, 0.1, (16, 300, 200)).astype(np.float32)
    for projection in (MaxNorm(1.0), L1Ball(1.0), SpectralNorm(1.0)):
        first, second = (project_stack(projection, stack, compiled=compiled).numpy() for _ in range(2))
        assert np.array_equal(bits(first), bits(second)), projection


def test_part_of_a_larger_function() -> None:
    """Live weights can be projected inside of a tf.function, however many there are."""
    kernels = tf.Variable(np.full((3, 4, 2), 5.0, np.float32))

    def doubled(stack: Any) -> Any:
        return 2 * project_stack(MaxNorm(1.0), stack)

    constrained = tf.function(doubled, [tf.TensorSpec((None, 4, 2))], autograph=False)
    assert np.linalg.norm(constrained(kernels).numpy(), axis=1) == pytest.approx(2 * np.ones((3, 2)))


def test_empty_tensors_stay() -> None:
    """Stacks of nothing, and of tensors without elements, are returned as they are."""
    for shape in ((0, 3, 4), (3, 0, 4)):
        assert project_stack(Prune(0.5), np.zeros(shape, np.float32)).shape == shape


@dataclass(frozen=True)
class Doubled(MaxNorm):
    """Means something else than its base class."""

    name = "doubled"


def test_only_known_projections_are_supported() -> None:
    """Others, even if they are derived from one that is, have to be computed by numpy."""
    assert all(supports(projection) for projection in EVERY)
    for projection in (RestoreFrom("donor.keras"), Doubled(1.0)):
        assert not supports(projection)
        with pytest.raises(ValueError, match="does not run on TensorFlow"):
            project_stack(projection, np.zeros((1, 2), np.float32))


@pytest.mark.parametrize("values", [np.zeros((1, 2), np.int32), np.zeros((1, 2), np.complex64), ["text"]])
def test_only_real_numbers_are_projected(values: Any) -> None:
    """Integers, complex numbers and strings are refused in the words of numpy's projections."""
    with pytest.raises(ValueError, match="a projection needs real floating-point numbers"):
        project_stack(NonNeg(), values)


def test_parameters_that_the_type_cannot_keep_are_refused() -> None:
    """An interval without a number of the storage type is refused, as with numpy."""
    with pytest.raises(ValueError, match="float8_e5m2 has no number from"):
        project_stack(Clip(1.01, 1.02), np.zeros((1, 2), np.float32), dtype="float8_e5m2")


def test_tensorflow_is_imported_late() -> None:
    """Neither the module nor the engine imports TensorFlow before something is projected."""
    code = """
import sys
import weightaudit.projections.tensorflow, weightaudit.repair.tensorflow_projector
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_tensorflow_is_named() -> None:
    """Without TensorFlow, the error says which extra brings it."""
    code = """
import sys
sys.modules["tensorflow"] = None
from weightaudit.errors import UsageError
from weightaudit.projections import NonNeg
from weightaudit.projections.tensorflow import project_stack
try:
    project_stack(NonNeg(), [[1.0]])
except UsageError as error:
    assert "pip install 'weightaudit[tensorflow]'" in str(error), error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", code], check=True)
