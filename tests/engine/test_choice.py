"""Engines are chosen by what is to be measured and by what is installed, without importing TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from weightaudit.catalog import Entry, Fill
from weightaudit.engine import numpy_engine
from weightaudit.engine.choice import NUMPY, Engine, sees_gpu
from weightaudit.engine.decoding import PlainDecoder
from weightaudit.engine.scanning import Subject
from weightaudit.statistics import Moments, SpectralNorm
from weightaudit.tensor import TensorInfo


def kernels(count: int, *shape: int, spectral: bool = True) -> list[Subject]:
    """Return kernels of which spectral norms are wanted, or only sums."""
    entry = Entry("x", shape, "float32", Fill(bytes(4)))
    info = TensorInfo(name="x", key="x", shape=shape, dtype="float32")
    wanted = (Moments(), SpectralNorm()) if spectral else (Moments(),)
    return [Subject(info, entry, PlainDecoder(info, entry), wanted)] * count


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_auto_takes_tensorflow_for_many_large_kernels() -> None:
    """The spectral norms of three kernels of 64 MiB pay for its import; plain statistics stay with numpy."""
    subjects = kernels(3, 4096, 4096)
    chosen = Engine("auto").chosen(subjects)
    assert isinstance(chosen.measure, partial)
    assert chosen.measure.func is Engine("tensorflow").chosen([]).measure
    assert chosen.measure.keywords == {"spectral_only": True}
    assert len({Engine(name).chosen(subjects).label for name in ("numpy", "tensorflow", "auto")}) == 3
    assert Engine("auto", has_gpu=True).chosen(kernels(2, 4096, 4096)).label == chosen.label
    assert Engine("auto").chosen(kernels(2, 4096, 4096)).label == "numpy"


@pytest.mark.parametrize(
    "subjects",
    [
        kernels(1, 4096, 4096),
        kernels(1000, 64, 64),
        kernels(1000, 1024, 4096),
        kernels(1000, 4096, 4096, spectral=False),
        kernels(9, 8192, 8192),
        [],
    ],
)
def test_auto_takes_numpy_for_all_else(subjects: list[Subject]) -> None:
    """Small work, work without spectral norms, and kernels that TensorFlow leaves to numpy stay there."""
    assert Engine("auto", has_gpu=True).chosen(subjects).measure is numpy_engine.measure
    assert NUMPY.chosen(subjects).measure is numpy_engine.measure


def test_choosing_numpy_does_not_import_tensorflow() -> None:
    """The choice looks at what is installed and never imports it."""
    code = (
        "import sys, weightaudit.engine.choice as choice; choice.Engine('auto').chosen([]); "
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_missing_tensorflow_is_a_usage_error() -> None:
    """Who asks for an engine that is not installed is told how to get it."""
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from weightaudit.engine.choice import Engine\n"
        "from weightaudit.errors import UsageError\n"
        "try: Engine('tensorflow').chosen([])\n"
        "except UsageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'weightaudit[tensorflow]'" in done.stdout


def test_gpus_are_seen_in_the_file_system(tmp_path: Path) -> None:
    """A GPU is seen by its driver's files, and not where environment variables hide it."""
    assert not sees_gpu({}, tmp_path)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    assert not sees_gpu({}, tmp_path)
    (tmp_path / "dev" / "nvidia0").touch()
    assert sees_gpu({}, tmp_path)
    assert sees_gpu({"CUDA_VISIBLE_DEVICES": "0,1"}, tmp_path)
    for hidden in ("", "-1", "-1,0"):
        assert not sees_gpu({"CUDA_VISIBLE_DEVICES": hidden}, tmp_path)
    (tmp_path / "dev" / "kfd").touch()
    assert sees_gpu({"CUDA_VISIBLE_DEVICES": ""}, tmp_path)
    assert not sees_gpu({"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1"}, tmp_path)


def test_gpus_are_seen_by_their_driver(tmp_path: Path) -> None:
    """The driver's list of cards counts where device files have other names, and not if it is empty."""
    (tmp_path / "proc/driver/nvidia/gpus").mkdir(parents=True)
    assert not sees_gpu({}, tmp_path)
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir()
    assert sees_gpu({}, tmp_path)
