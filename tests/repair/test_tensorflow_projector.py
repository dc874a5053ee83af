"""The TensorFlow engine: numpy's results in batches, by numpy's own measure, in bounded memory."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.projections.tensors import projections, stored, tensors
from weightaudit import Role, UsageError, open_checkpoint
from weightaudit.projections import (
    ClipNorm,
    L1Ball,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    Projection,
    Prune,
    Shrink,
    SpectralNorm,
    UnitNorm,
)
from weightaudit.projections.base import Phase
from weightaudit.projections.grid import GRIDS, bits
from weightaudit.repair.projectors import NumpyProjector, projector_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.repair.projectors import Projector

pytest.importorskip("tensorflow")

BOUNDS = (
    *(MaxNorm(1.0), MinMaxNorm(0.5, 1.0), UnitNorm(), ClipNorm(1.0), L1Ball(1.0), SpectralNorm(1.0)),
    *(NonNeg(), Prune(0.5), Prune(n_of_m="2:4")),
)
"""Projections of which it can be said whether a tensor complies."""


@pytest.fixture(scope="module")
def projector() -> Projector:
    """The projector."""
    return projector_of("tensorflow")


def mixture(dtype: str) -> list[NDArray[Any]]:
    """Return tensors of one shape of which some comply and some hold subnormals, NaN or Inf."""
    rng = np.random.default_rng(1)
    ordinary = rng.normal(0, 1, (9, 6))
    tiny = ordinary * (1e-310 if dtype == "float64" else 1e-40)
    lost = np.where(rng.random((9, 6)) < 0.1, np.nan, ordinary)
    values = (ordinary, tiny, np.where(ordinary > 0, tiny, ordinary), ordinary * 1e-3, lost, 0 * ordinary)
    return [stored(one, dtype) for one in values]


@pytest.mark.parametrize("projection", BOUNDS, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_results_comply_and_compliant_tensors_are_the_same(
    projector: Projector, projection: Projection, dtype: str
) -> None:
    """By numpy's measure every result complies, and what complied is the very array that was given."""
    blocks = mixture(dtype)
    for before, after in zip(blocks, projector.project(projection, blocks, dtype), strict=True):
        assert projection.complies(after, dtype=dtype)
        assert (after is before) == projection.complies(before, dtype=dtype)


@settings(max_examples=150, deadline=None)
@given(projections(), tensors())
def test_nothing_drawn_differs_from_numpy(
    projector: Projector, projection: Projection, tensor: tuple[NDArray[Any], str]
) -> None:
    """Whatever tensor and projection, subnormals included: both engines refuse it, or are close."""
    values, dtype = tensor
    blocks = [values, np.asarray(-values)]
    try:
        wanted = NumpyProjector().project(projection, blocks, dtype)
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            projector.project(projection, blocks, dtype)
        return
    for got, want in zip(projector.project(projection, blocks, dtype), wanted, strict=True):
        assert_close(got, want, dtype, 4 if isinstance(projection, SpectralNorm) else 1)


def assert_close(got: NDArray[Any], want: NDArray[Any], dtype: str, units: int = 1) -> None:
    """Check that results differ by a unit in the last place at most, and NaN and Inf not at all."""
    known = np.isfinite(want).reshape(-1)
    assert np.array_equal(bits(got)[~known], bits(want)[~known])
    one, two = (values.reshape(-1)[known].astype(np.float64) for values in (got, want))
    grid, tiny = GRIDS[dtype], float(np.finfo(want.dtype).tiny)
    unit = np.maximum(np.maximum(np.abs(one), np.abs(two)) * grid.epsilon, max(grid.step, tiny))
    slack = (want.size + 16) * 2.0**-50 * np.abs(two).max(initial=0)
    assert (np.abs(one - two) <= units * unit + slack).all()


def test_steps_of_subnormal_groups_are_numpy_s(projector: Projector) -> None:
    """A step cannot be checked afterwards, so where TensorFlow would see zeros, numpy takes it."""
    blocks = mixture("float32")
    for step in (MinMaxNorm(0.5, 1.0, rate=0.3), Shrink(0.5)):
        for got, before in zip(projector.project(step, blocks, "float32"), blocks, strict=True):
            assert_close(got, step.project(before), "float32")
        assert np.abs(step.project(blocks[1])).max() > 0


def test_again_gives_the_same_bits(projector: Projector) -> None:
    """The plan and the pass that writes it get the same bits, and tensors have no part in each other."""
    blocks = [np.random.default_rng(seed).normal(0, 0.2, (70, 50)).astype(np.float32) for seed in range(30)]
    for projection in (MaxNorm(1.0), L1Ball(5.0), SpectralNorm(1.0), Prune(0.3)):
        first, second = (projector.project(projection, blocks, "float32") for _ in range(2))
        assert all(np.array_equal(bits(one), bits(two)) for one, two in zip(first, second, strict=True))
        alone = projector.project(projection, blocks[7:8], "float32")[0]
        assert_close(first[7], alone, "float32")


@dataclass(frozen=True)
class Halved(Projection):
    """Halves what is above 1."""

    name = "halved"
    phase = Phase.CLIP

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return np.where(values > 1, values / 2, values).astype(values.dtype) if (values > 1).any() else values


def test_projections_of_plugins_run_with_numpy(projector: Projector) -> None:
    """A projection that TensorFlow does not know is projected all the same."""
    blocks = [np.array([0.5, 1.5], np.float32), np.array([0.5, 1.0], np.float32)]
    first, second = projector.project(Halved(), blocks, "float32")
    assert first.tolist() == [0.5, 0.75]
    assert second is blocks[1]


def test_nothing_to_project(projector: Projector) -> None:
    """No blocks give no results, and blocks without elements are returned as they are."""
    assert projector.project(MaxNorm(1.0), [], "float32") == []
    empty = np.zeros((3, 0), np.float32)
    assert projector.project(MaxNorm(1.0), [empty], "float32")[0] is empty


def test_memory_is_bounded_by_a_batch() -> None:
    """Projecting 512 MiB takes what results need, and a few batches beside, not the multiple of all."""
    code = """
import resource, sys
import numpy as np
from weightaudit.projections import L1Ball, MaxNorm
from weightaudit.repair.projectors import projector_of
unit = 1 if sys.platform == "darwin" else 1024
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
projector = projector_of("tensorflow")
block = np.random.default_rng(0).standard_normal((1024, 1024), dtype=np.float32)
projector.project(MaxNorm(1.0), [block], "float8_e5m2")
before = peak()
projector.project(MaxNorm(1.0), [block] * 128, "float8_e5m2")
print((peak() - before) / (512 << 20), projector.batch_bytes / (512 << 20))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    grown, batch = (float(word) for word in done.stdout.split())
    assert grown < 1 + 12 * batch


@pytest.mark.parametrize("name", ["bfloat16.keras", "checkpoint/ckpt-1"])
def test_a_repair_is_that_of_numpy(name: str, fixtures_dir: Path, tmp_path: Path) -> None:
    """A whole repair writes a verified copy that complies, and in which no value is far from numpy's."""
    projection = MaxNorm(0.3, axis=0)
    done = {}
    for engine_name in ("numpy", "tensorflow"):
        output = tmp_path / engine_name / name
        output.parent.mkdir(parents=True)
        command = f"repair --engine {engine_name} --project max_norm(0.3,axis=0) --on *kernel --max-change 9"
        arguments = [*command.split(), "--output", str(output), str(fixtures_dir / name)]
        run = subprocess.run(
            [sys.executable, "-m", "weightaudit", *arguments], capture_output=True, check=False
        )
        assert b"was written and verified" in run.stdout, run.stderr.decode()
        done[engine_name] = output
    with open_checkpoint(done["numpy"]) as one, open_checkpoint(done["tensorflow"]) as two:
        for info in one:
            wanted, got = one.read(info.name), two.read(info.name)
            if info.role is not Role.KERNEL:
                assert one.read_stored(info.name) == two.read_stored(info.name)
                continue
            assert projection.complies(got, dtype=info.dtype)
            assert_close(got, wanted, info.dtype)


def test_missing_tensorflow_is_wrong_usage(fixtures_dir: Path, tmp_path: Path) -> None:
    """Asked for an engine that is not installed, the command names the extra, and exits with 2."""
    code = (
        "import sys; sys.modules['tensorflow'] = None; "
        "from weightaudit.__main__ import main; sys.exit(main())"
    )
    arguments = ["repair", "--engine", "tensorflow", "--dry-run", str(fixtures_dir / "healthy.keras")]
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 2
    assert b"pip install 'weightaudit[tensorflow]'" in run.stderr
    assert not run.stdout


def test_engines_are_known_by_name() -> None:
    """The engine that a command names is the one that it gets, and one that does not exist is refused."""
    assert projector_of("numpy").batch_bytes == 0
    assert projector_of("tensorflow").batch_bytes > 0
    with pytest.raises(UsageError, match="no engine 'torch' for projections; name one of numpy, tensorflow"):
        projector_of("torch")
