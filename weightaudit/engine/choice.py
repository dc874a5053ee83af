"""Who measures: numpy's engine, or TensorFlow's. Choosing does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from weightaudit.engine import numpy_engine
from weightaudit.errors import UsageError
from weightaudit.statistics import SpectralNorm
from weightaudit.statistics.spectral import matrix_shape

if TYPE_CHECKING:
    from weightaudit.engine.numpy_engine import Measurement
    from weightaudit.engine.scanning import Subject

EngineName = Literal["numpy", "tensorflow", "auto"]

Measure = Callable[..., "Measurement"]
"""What `weightaudit.engine.numpy_engine.measure` is, and all engines are."""

LARGE = 2048
"""Rows or columns, whichever are fewer, from which on TensorFlow computes spectral norms faster on a CPU."""

WORTH_IMPORTING = 2e11
"""Multiplications for such kernels from which on TensorFlow is faster, its import included.

A kernel of 4096 by 4096 takes 7e10. For four of them, numpy's engine took 15 and 22 s on two busy cores, and
TensorFlow 9 and 5 s (two rounds); importing it took 3 to 4.5 s. For kernels of ResNet50 numpy was faster.
"""

WORTH_IMPORTING_WITH_GPU = 1e11
"""The same where a GPU can be seen: numpy alone takes longer than the import. No GPU was measured."""


class Chosen(NamedTuple):
    """The engine for one model.

    Attributes:
        label: A name that is the same where results are the same to the last bit.
        measure: The function that measures.
    """

    label: str
    measure: Measure


@dataclass(frozen=True, slots=True)
class Engine:
    """Who is to measure.

    Attributes:
        name: ``numpy``, ``tensorflow`` or ``auto``. The last takes numpy for everything but spectral
            norms, whatever the size of the model and whether there is a GPU or not: plain statistics cost
            numpy's engine little more than reading, which any engine has to do. Spectral norms go to
            TensorFlow if it is installed and there are so many multiplications that its import pays.
        has_gpu: Whether the process can use a GPU.
        around: What goes on around the import of TensorFlow and its first look at devices, which both
            write to the descriptor of stderr; by default nothing.

    Raises:
        UsageError: No engine has that name.
    """

    name: EngineName = "numpy"
    has_gpu: bool = False
    around: Callable[[], AbstractContextManager[None]] = nullcontext

    def __post_init__(self) -> None:
        if self.name not in get_args(EngineName):
            names = ", ".join(get_args(EngineName))
            raise UsageError(f"There is no engine {self.name!r}; name one of {names}.")

    def chosen(self, subjects: Sequence[Subject]) -> Chosen:
        """Return the engine for a model.

        Args:
            subjects: What is to be measured.

        Raises:
            UsageError: TensorFlow is asked for, and not installed.
        """
        if self.name == "numpy" or (self.name == "auto" and not self._is_worth_it(subjects)):
            return Chosen("numpy", numpy_engine.measure)
        with self.around():
            from weightaudit.engine.tensorflow.engine import find_gpus, measure

            find_gpus()
        if self.name == "auto":
            return Chosen("numpy, spectral norms by tensorflow", partial(measure, spectral_only=True))
        return Chosen("tensorflow", measure)

    def _is_worth_it(self, subjects: Sequence[Subject]) -> bool:
        least = WORTH_IMPORTING_WITH_GPU if self.has_gpu else WORTH_IMPORTING
        return sum(map(_multiplications, subjects)) >= least and find_spec("tensorflow") is not None


NUMPY = Engine()


def sees_gpu(environment: Mapping[str, str], root: Path = Path("/")) -> bool:
    """Say whether the process can use a GPU, as far as files and environment variables tell.

    Args:
        environment: Environment variables; those that hide GPUs count.
        root: Root of the file system.
    """
    nvidia = root / "proc/driver/nvidia/gpus"
    has_nvidia = (nvidia.is_dir() and any(nvidia.iterdir())) or any((root / "dev").glob("nvidia[0-9]*"))
    has_amd = (root / "dev/kfd").exists()
    return (has_nvidia and not _hides(environment, "CUDA_VISIBLE_DEVICES")) or (
        has_amd
        and not any(_hides(environment, name) for name in ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"))
    )


def _hides(environment: Mapping[str, str], name: str) -> bool:
    """Say whether a list of visible devices is empty, or begins with one that does not exist."""
    return name in environment and environment[name].strip().partition(",")[0] in {"", "-1", "NoDevFiles"}


def _multiplications(subject: Subject) -> float:
    """Return what the Gram matrix of a kernel takes, if TensorFlow computes its spectral norm, and faster."""
    if SpectralNorm() not in subject.statistics:
        return 0.0
    from weightaudit.engine.tensorflow.limits import MOST_ELEMENTS

    info = subject.decoder.info
    least = min(matrix_shape(info))
    return float(info.size * least) if least >= LARGE and info.size <= MOST_ELEMENTS else 0.0
