"""The entry point: numpy's engine reads, decodes and verifies, and hands the numbers to TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from weightaudit.engine import numpy_engine
from weightaudit.engine.tensorflow.session import Feed, Session
from weightaudit.engine.tensorflow.spectra import Spectra, is_stacked
from weightaudit.engine.tensorflow.tally import Tally, is_known
from weightaudit.projections.tensorflow.library import tf
from weightaudit.statistics import Stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.catalog import Region
    from weightaudit.engine.numpy_engine import Measurement, Progress
    from weightaudit.engine.scanning import Subject
    from weightaudit.profiling import Profile
    from weightaudit.source import Files
    from weightaudit.statistics import Statistic


def find_gpus() -> bool:
    """Say whether TensorFlow has a GPU; it looks once, and keeps what it found."""
    return bool(tf.config.list_physical_devices("GPU"))


def measure(
    files: Files,
    subjects: Sequence[Subject],
    regions: Sequence[Region] = (),
    *,
    workers: int | None = None,  # noqa: ARG001 - all engines are called alike
    progress: Progress | None = None,
    profile: Profile | None = None,
    spectral_only: bool = False,
) -> Measurement:
    """Read every byte of the subjects once, and compute their statistics with TensorFlow.

    What comes is what numpy's engine gives, up to this. Counts, extremes and largest magnitudes are
    equal; sums of n terms differ by rounding, by at most (n + 16) * 2**-53 of the sum of their
    magnitudes, and sums of float64 also by n * 2**-1022, since TensorFlow takes subnormal numbers for
    zero. `Tiny` and `WeakGroups` may pass over elements with numpy, within what they guarantee: here
    they are exact. Of spectral norms see `weightaudit.engine.tensorflow.spectra`. Statistics that are
    not known here, such as those of plugins, are computed by their own folds from the same blocks.

    Args:
        files: Open files of the model.
        subjects: Tensors to be measured.
        regions: Byte ranges whose checksum is verified on the way.
        workers: Not used: one thread reads, so that batches are the same in every run, another one
            drives TensorFlow, which has its own for computing.
        progress: Called with the bytes that were read since the last call.
        profile: Told what took how long on the host.
        spectral_only: Whether only spectral norms are left to TensorFlow, and all else to numpy.

    Raises:
        UsageError: TensorFlow is not installed.
        ReadError: TensorFlow failed.
    """
    has_gpu = find_gpus()
    if has_gpu:
        tf.config.experimental.enable_op_determinism()
    shares = [_share(subject, spectral_only=spectral_only) for subject in subjects]
    infos = [subject.decoder.info for subject in subjects]
    tallies = {
        number: Tally(infos[number], share.tallied) for number, share in enumerate(shares) if share.tallied
    }
    stacked = {number: infos[number] for number, share in enumerate(shares) if share.is_stacked}
    with Session(tallies, Spectra(stacked), compiled=has_gpu) as session:
        feeds = [Feed(session, number) for number in range(len(subjects))]
        fed = [
            replace(subject, statistics=(*share.others, feed) if share.is_fed else share.others)
            for subject, share, feed in zip(subjects, shares, feeds, strict=True)
        ]
        measured = numpy_engine.measure(files, fed, regions, workers=1, progress=progress, profile=profile)
    for subject, feed in zip(subjects, feeds, strict=True):
        name = subject.info.name
        if name in measured.stats:
            measured.stats[name] = _joined(subject, measured.stats[name], feed)
    return measured


@dataclass(frozen=True, slots=True)
class _Share:
    """Who measures what of a tensor.

    Attributes:
        tallied: Statistics that follow from blocks.
        is_stacked: Whether its spectral norm is computed with that of other kernels.
        others: Statistics that are left to their own folds.
    """

    tallied: tuple[Statistic[Any], ...]
    is_stacked: bool
    others: tuple[Statistic[Any], ...]

    @property
    def is_fed(self) -> bool:
        """Whether TensorFlow sees the tensor at all."""
        return bool(self.tallied) or self.is_stacked


def _share(subject: Subject, *, spectral_only: bool) -> _Share:
    info, rank = subject.decoder.info, len(subject.decoder.info.shape)
    stacked: list[Statistic[Any]] = []
    tallied: list[Statistic[Any]] = []
    others: list[Statistic[Any]] = []
    for one in dict.fromkeys(subject.statistics):
        if is_stacked(one, info):
            stacked.append(one)
        elif not spectral_only and is_known(one, rank):
            tallied.append(one)
        else:
            others.append(one)
    return _Share(tuple(tallied), bool(stacked), tuple(others))


def _joined(subject: Subject, stats: Stats, feed: Feed) -> Stats:
    """Put the results of both into the order in which they were asked for."""
    found = stats.get(feed) or {}
    return Stats({one: found[one] if one in found else stats[one] for one in subject.statistics})
