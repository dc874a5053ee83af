"""TensorFlow's engine gives what numpy's gives, within what it states, on whatever a file may hold."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.statistics.arrays import EVERY_DTYPE, arrays, numpy_dtype
from weightaudit.catalog import Checksum, Entry, Extent, Flaw, Region
from weightaudit.checksums import crc32c
from weightaudit.engine import plan as planning
from weightaudit.engine.decoding import PlainDecoder
from weightaudit.engine.scanning import Subject
from weightaudit.errors import ReadError
from weightaudit.source import Files
from weightaudit.statistics import (
    AxisNorm,
    AxisSum,
    Block,
    Fold,
    Moments,
    MomentSums,
    NonFinite,
    Peak,
    SpectralNorm,
    Statistic,
    Stats,
    Uniform,
    WeakGroups,
    Zeros,
)
from weightaudit.tensor import TensorInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray

tf = pytest.importorskip("tensorflow")

from tests.engine.parity import SCALARS, assert_same, expected, measured, subject  # noqa: E402 - needs TensorFlow
from weightaudit.engine.tensorflow import device, session  # noqa: E402 - needs TensorFlow
from weightaudit.engine.tensorflow.device import Work, measure_blocks  # noqa: E402 - needs TensorFlow
from weightaudit.engine.tensorflow.engine import measure  # noqa: E402 - needs TensorFlow
from weightaudit.engine.tensorflow.session import Session  # noqa: E402 - needs TensorFlow
from weightaudit.engine.tensorflow.spectra import Spectra, measure_kernels  # noqa: E402 - needs TensorFlow
from weightaudit.engine.tensorflow.tally import Tally, is_known  # noqa: E402 - needs TensorFlow

ORDERS = st.sampled_from([1.0, 2.0, inf])


@settings(deadline=None, max_examples=150)
@given(values=arrays(), data=st.data())
def test_results_equal_numpy(values: NDArray[Any], data: st.DataObject) -> None:
    """Any bits of any type and shape, with NaN, Inf and subnormals, give numpy's results along any axes."""
    rank = values.ndim
    axes = st.none() | st.sets(st.integers(-rank, rank - 1)).map(tuple) if rank else st.none()
    norms = [AxisNorm(data.draw(axes), data.draw(ORDERS)) for _ in range(data.draw(st.integers(0, 2)))]
    spectral = () if values.dtype.kind == "c" else (SpectralNorm(),)
    along = (WeakGroups(data.draw(axes), 1e-3), AxisSum(data.draw(axes)))
    one = subject(values, (*SCALARS, *norms, *along, *spectral))
    assert_same(values, measured([one])["x"], expected([one])["x"])


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
def test_large_tensors_of_every_type(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that is read in many pieces, whose rows are cut anywhere, gives numpy's results."""
    monkeypatch.setattr(planning, "UNIT_BYTES", 100_003)
    rng = np.random.default_rng(3)
    values = (rng.normal(0, 20, (1201, 333)) % 100).astype(numpy_dtype(dtype))
    norms = [AxisNorm(axes, order) for axes in ((0,), (1,), None) for order in (1, 2, inf)]
    sums = [AxisSum(axes) for axes in ((), (0,), (1,), None)]
    one = subject(values, (*SCALARS, *norms, *sums))
    assert_same(values, measured([one])["x"], expected([one])["x"])


def test_sums_along_axes_need_no_fold() -> None:
    """Signed sums are computed in batches with everything else, for any axes that a tensor has."""
    assert all(is_known(AxisSum(axes), 2) for axes in ((), (0,), (-1,), (0, 1), None))
    assert not is_known(AxisSum((2,)), 2)


@pytest.mark.parametrize(
    "shape", [(3, 140_001), (140_001, 3), (5, 9, 7, 3), (2, 70_000, 2), (600, 2, 300), (1, 1, 1), (0, 3), ()]
)
def test_every_layout(shape: tuple[int, ...]) -> None:
    """Rows that take several blocks, narrow ones that are laid side by side, and groups in every order."""
    values = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    rank = len(shape)
    for axes in [(0,), (rank - 1,), (0, rank - 1), tuple(range(rank - 1))] if rank else [None]:
        one = subject(values, [AxisNorm(axes, 2), AxisNorm(axes, inf), Zeros()])
        assert_same(values, measured([one])["x"], expected([one])["x"])
    every = [AxisNorm((axis,), order) for axis in range(rank) for order in (1, 2)]
    both = subject(values, every)
    assert_same(values, measured([both])["x"], expected([both])["x"])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_subnormal_numbers_are_no_zeros(dtype: str) -> None:
    """Numbers that TensorFlow takes for zero are counted, compared and, but for float64, summed up."""
    kind = numpy_dtype(dtype)
    bits = np.arange(1, 101, dtype=f"u{kind.itemsize}")
    values = bits.view(kind).reshape(20, 5)
    smallest = float(values.min())
    one = subject(values, (*SCALARS, AxisNorm((0,), inf), AxisNorm((0,), 1)))
    stats = measured([one])["x"]
    assert_same(values, stats, expected([one])["x"])
    assert smallest > 0
    assert stats[Zeros()] == 0
    assert stats[Peak()] == 100 * smallest
    if dtype != "float64":
        assert stats[Moments()].total == 5050 * smallest


def test_many_small_tensors_take_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three thousand tensors of forty sizes are computed in at most forty calls, each with numpy's result."""
    rng = np.random.default_rng(1)
    tensors = [rng.normal(size=1 + number % 40).astype(np.float32) for number in range(3000)]
    subjects = [subject(values, (Moments(), Peak()), f"t{n:04}") for n, values in enumerate(tensors)]
    calls: list[int] = []

    def counted(work: Work, values: Any, *, compiled: bool) -> Any:
        calls.append(len(values))
        return measure_blocks(work, values, compiled=compiled)

    monkeypatch.setattr(session, "measure_blocks", counted)
    found, wanted = measured(subjects), expected(subjects)
    assert sum(calls) == 3000
    assert len(calls) <= 40
    for one, values in zip(subjects, tensors, strict=True):
        assert_same(values, found[one.info.name], wanted[one.info.name])


def test_one_trace_serves_all_shapes() -> None:
    """However many shapes a model has, what is computed of them is traced once for each type."""
    device._traced.cache_clear()
    rng = np.random.default_rng(2)
    shapes = [(7,), (90, 40), (3, 3, 5, 8), (1000, 70), (70_000, 2), (12, 300)]
    subjects = [
        subject(
            rng.normal(size=shape).astype(dtype),
            (Moments(), AxisNorm(tuple(range(len(shape) - 1)), 2)),
            f"{n}",
        )
        for n, (shape, dtype) in enumerate(
            (shape, dtype) for shape in shapes for dtype in ("float32", "float64")
        )
    ]
    measured(subjects)
    # The vectors have a norm of each element, the others one of each column: that is the same.
    assert device._traced.cache_info().currsize == 2
    for dtype in ("float32", "float64"):
        sums = (("finite", 0.0), ("squares", 0.0), ("total", 0.0))
        traced = device._traced(Work(dtype, sums, (), (2,)), compiled=False)
        assert traced.experimental_get_tracing_count() == 1
    assert device._traced.cache_info().currsize == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_functions_give_the_same(dtype: str) -> None:
    """What XLA compiles, as for a GPU, counts and compares alike, and sums up the same but for rounding."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=(4, 8, 48)).astype(dtype)
    values[0, 0, :4] = [np.nan, inf, -inf, -0.0]
    values[1] = 3 * np.finfo(dtype).smallest_subnormal
    sums = (
        ("finite", 0.0),
        ("nan", 0.0),
        ("zero", 0.0),
        ("below", 2.0**-14),
        ("total", 0.0),
        ("squares", 0.0),
    )
    work = Work(dtype, sums, (2.0, inf), (1.0, inf))
    one, other = (measure_blocks(work, values, compiled=compiled).fetched() for compiled in (True, False))
    np.testing.assert_array_equal(one.sums[:, :4], other.sums[:, :4])
    np.testing.assert_allclose(one.sums, other.sums, rtol=1e-13, atol=1e-300)
    for first, second in zip(
        (one.low, one.high, one.rows[1]), (other.low, other.high, other.rows[1]), strict=True
    ):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(one.columns[1], other.columns[1])
    np.testing.assert_allclose(one.columns[0], other.columns[0], rtol=1e-13, atol=1e-300)


def test_compiled_batches_are_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where XLA compiles, batches have a power of two of blocks, and the results are numpy's."""
    values = np.random.default_rng(6).normal(size=(11, 3000)).astype(np.float32)
    one = subject(values, (NonFinite(), Moments(), Uniform(), AxisNorm((1,), 2)))
    lengths: list[int] = []

    def counted(work: Work, values: Any, *, compiled: bool) -> Any:
        assert compiled
        lengths.append(len(values))
        return measure_blocks(work, values, compiled=compiled)

    monkeypatch.setattr(session, "measure_blocks", counted)
    with Session({0: Tally(one.info, one.statistics)}, Spectra({}), compiled=True) as compiled:
        compiled.feed(0, Block(values.reshape(-1), 0))
        found = Stats(compiled.results(0))
    assert_same(values, found, expected([one])["x"])
    assert lengths == [4]


def test_same_bits_in_every_run() -> None:
    """Two runs give results that are equal to the last bit, spectral norms included."""
    rng = np.random.default_rng(7)
    shapes = [(700, 600), (64, 64), (64, 64), (3, 3, 8, 16), (1000,), (520, 530)]
    subjects = [
        subject(rng.normal(size=shape).astype(np.float32), (Moments(), SpectralNorm()), f"t{number}")
        for number, shape in enumerate(shapes)
    ]
    first, second = measured(subjects), measured(subjects)
    for name in first:
        assert first[name][Moments()] == second[name][Moments()]
        assert first[name][SpectralNorm()] == second[name][SpectralNorm()]


@dataclass(frozen=True)
class Longest(Statistic[int]):
    """A plugin's statistic: the longest block that was seen."""

    def start(self, info: TensorInfo) -> Fold[int]:
        return LongestFold()


class LongestFold:
    """Keeps the longest."""

    def __init__(self) -> None:
        self._longest = 0

    def update(self, block: Block) -> None:
        self._longest = max(self._longest, block.values.size)

    def merge(self, other: Self) -> None:
        self._longest = max(self._longest, other._longest)

    def finish(self) -> int:
        return self._longest


@dataclass(frozen=True, slots=True)
class Twice(Moments):
    """A plugin's statistic that is a built-in one by inheritance, and computes something else."""

    def start(self, info: TensorInfo) -> Any:
        return TwiceFold()


class TwiceFold(LongestFold):
    """Answers with what no `Moments` would."""

    def finish(self) -> Any:
        return MomentSums(-1, 0.0, 0.0)


def test_plugins_have_their_own_folds() -> None:
    """Statistics that the engine does not know are measured by themselves, in the order asked for."""
    values = np.ones((30, 40), np.float32)
    one = subject(values, (Longest(), Moments(), Twice(), Peak()))
    stats = measured([one])["x"]
    assert list(stats) == [Longest(), Moments(), Twice(), Peak()]
    assert stats[Longest()] == 1200
    assert stats[Twice()].count == -1
    assert stats[Moments()].count == 1200


def test_checksums_and_failures_are_numpys(tmp_path: Path) -> None:
    """A flipped bit and a file that ends early are told as ever, and other tensors are measured."""
    values = np.random.default_rng(0).normal(size=3_000_000).astype(np.float32)
    raw = bytearray(values.tobytes())
    good = Checksum("crc32c", crc32c(bytes(raw)))
    raw[9_000_000] ^= 1
    (tmp_path / "data").write_bytes(raw)
    entries = [
        Entry("flipped", values.shape, "float32", Extent(0, 0, len(raw)), checksum=good),
        Entry("cut", (10,), "float32", Extent(0, len(raw) - 20, 40)),
        Entry("whole", (10,), "float32", Extent(0, 40, 40)),
    ]
    infos = [TensorInfo(name=one.key, key=one.key, shape=one.shape, dtype=one.dtype) for one in entries]
    subjects = [
        Subject(info, one, PlainDecoder(info, one), (Moments(),))
        for info, one in zip(infos, entries, strict=True)
    ]
    region = Region("member", Extent(0, 0, 400), Checksum("crc32c", crc32c(bytes(raw[:400]))))
    read: list[int] = []
    with Files(tmp_path) as files:
        files.open("data")
        result = measure(files, subjects, [region], progress=read.append)
    assert [(defect.flaw, defect.tensor) for defect in result.defects] == [(Flaw.CHECKSUM, "flipped")]
    assert list(result.failures) == ["cut"]
    assert result.stats["whole"][Moments()].count == 10
    assert sum(read) >= len(raw)


def test_failing_device_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where TensorFlow fails, as for lack of memory, a person is told what to do."""

    def fail(*_: Any, **__: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory\nmany more lines")

    monkeypatch.setattr(session, "measure_blocks", fail)
    with pytest.raises(ReadError, match=r"^TensorFlow failed \(out of memory\); measure with --engine numpy"):
        measured([subject(np.ones(9, np.float32), (Moments(),))])


@pytest.mark.parametrize("shape", [(5, 60, 7), (3, 700, 600), (2, 40, 40), (4, 9, 1)])
def test_kernels_have_the_norms_of_their_svd(shape: tuple[int, ...]) -> None:
    """Kernels of one shape, one of them of rank one and one of zeros, have the singular values of an SVD."""
    kernels = np.random.default_rng(8).normal(size=shape)
    kernels[0] = np.outer(np.arange(shape[1]), np.ones(shape[2]))
    kernels[1] = 0
    values = np.linalg.svd(kernels, compute_uv=False)
    found = measure_kernels(kernels)
    np.testing.assert_allclose([one.norm for one in found], values[:, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        [one.squares for one in found], (values**2).sum(axis=1), rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize(("dtype", "scale"), [("float32", 1e-40), ("float64", 1e-200), ("float64", 1e160)])
def test_kernels_out_of_the_ordinary_are_numpys(dtype: str, scale: float) -> None:
    """Kernels of subnormal numbers, or whose squares float64 cannot hold, have the norm of numpy."""
    values = (np.random.default_rng(9).normal(size=(20, 10)) * scale).astype(dtype)
    one = subject(values, [SpectralNorm()])
    found, wanted = measured([one])["x"][SpectralNorm()], expected([one])["x"][SpectralNorm()]
    assert found == wanted
    assert found.norm > 0 or scale == 1e-200


_PEAK = """
import resource, sys
from pathlib import Path
import numpy as np
from weightaudit.catalog import Entry, Fill
from weightaudit.engine.decoding import PlainDecoder
from weightaudit.engine.scanning import Subject
from weightaudit.engine.tensorflow.engine import measure
from weightaudit.source import Files
from weightaudit.statistics import AxisNorm, Moments, Zeros
from weightaudit.tensor import TensorInfo

def peak(rows):
    entry = Entry("x", (rows, 5000), "float32", Fill(np.float32(0.5).tobytes()))
    info = TensorInfo(name="x", key="x", shape=entry.shape, dtype="float32")
    wanted = Moments(), Zeros(), AxisNorm((0,)), AxisNorm((1,))
    stats = measure(Files(Path.cwd()), [Subject(info, entry, PlainDecoder(info, entry), wanted)]).stats["x"]
    assert stats[Moments()].total == rows * 2500
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

print(peak(3_000), peak(40_000))
"""


def test_memory_does_not_grow_with_the_model() -> None:
    """A tensor of 800 MB takes no more memory than one of 60 MB, but for what is far below its size."""
    done = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    small, large = map(int, done.stdout.split()[-2:])
    assert large - small < 64 << 20
