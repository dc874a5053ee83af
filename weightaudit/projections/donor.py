"""Taking a tensor from another saved model: the mend for what no projection can bring back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.errors import ReadError, RepairError, UsageError
from weightaudit.policy import did_you_mean
from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.demands import require
from weightaudit.projections.grid import GRIDS, bits, grid_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.tensor import TensorInfo


def restore_from(values: NDArray[Any], donor: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
    """Return the donor's values, bit for bit; see `RestoreFrom`.

    Args:
        values: float16, float32 or float64 array; never written to.
        donor: Array of the same shape and dtype.
        dtype: Storage type of both; by default that of `values`.

    Returns:
        `values` itself if every bit is the donor's, else a copy of the donor.

    Raises:
        ValueError: Shapes or dtypes differ, or the donor holds NaN or Inf.
    """
    grid_of(values, dtype)
    if donor.shape != values.shape or donor.dtype != values.dtype:
        raise ValueError(f"the donor is {donor.dtype} of shape {donor.shape}")
    if not np.isfinite(donor).all():
        raise ValueError("the donor holds NaN or Inf itself")
    return values if np.array_equal(bits(values), bits(donor)) else donor.copy()


@dataclass(frozen=True)
class RestoreFrom(Projection):
    """A tensor as it is in another saved model, bit for bit: the mend for NaN, Inf and damage.

    The donor's tensor has the same name, or the one that is stated; shape and storage type must be
    the same, and it must hold neither NaN nor Inf.

    Attributes:
        path: The donor: any saved model that weightaudit reads, such as an older checkpoint.
        tensor: Name of the tensor there; None: the same name.
    """

    path: str
    tensor: str | None = None

    name = "restore_from"
    phase = Phase.REPLACE
    replaces = True

    def __post_init__(self) -> None:
        require(bool(self.path), "path must name a saved model")

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        raise ValueError("restore_from needs to know the tensor; use bound() first")

    def bound(self, info: TensorInfo) -> Projection:
        """Return what replaces this tensor; its values are read when it is projected.

        Raises:
            RepairError: The donor has no such tensor, or it is not fit to replace this one.
            ReadError: The donor cannot be read.
        """
        other = self._find(_DONORS.open(self.path), info)
        if (other.shape, other.dtype) != (info.shape, info.dtype):
            raise RepairError(
                f"{info.name} is {info.dtype} of shape {info.shape} and cannot be restored from "
                f"{other.name} in {self.path}, which is {other.dtype} of shape {other.shape}."
            )
        if info.dtype not in GRIDS or other.quantization or info.quantization:
            raise RepairError(f"{info.name} holds no plain floating-point numbers to restore.")
        return Restored(self.path, other.name)

    def _find(self, donor: Checkpoint, info: TensorInfo) -> TensorInfo:
        wanted = self.tensor or info.name
        try:
            return donor[wanted]
        except UsageError:
            hint = did_you_mean(wanted, [one.name for one in donor])
            raise RepairError(
                f"{self.path} has no tensor {wanted!r}{hint}, so {info.name} cannot be restored."
            ) from None


@dataclass(frozen=True)
class Restored(RestoreFrom):
    """`RestoreFrom`, bound to one tensor of the donor, which `tensor` names."""

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        donor = _DONORS.open(self.path)
        other = donor.read(self.tensor or "")
        donor.check_unchanged()
        if not np.isfinite(other).all():
            raise RepairError(f"{self.tensor} holds NaN or Inf there too, in {self.path}.")
        return restore_from(values, other, dtype=dtype)


class _Donors:
    """Keeps the last donor open: listing the tensors of a large one takes longer than reading one of them."""

    def __init__(self) -> None:
        self._path = ""
        self._open: Checkpoint | None = None

    def open(self, path: str) -> Checkpoint:
        """Return a donor, opened anew if it is another one or was written to.

        Raises:
            ReadError: It cannot be read.
        """
        from weightaudit.checkpoint import open_checkpoint

        if self._open is not None:
            if self._path == path and self._is_current(self._open):
                return self._open
            self._open.close()
            self._open = None
        self._path, self._open = path, open_checkpoint(path)
        return self._open

    def _is_current(self, donor: Checkpoint) -> bool:
        files = donor.files
        name = files.names[0]
        try:
            donor.check_unchanged()
            # By its path: the directory that is held open may have been replaced.
            return os.path.samestat(os.fstat(files[files.open(name)].fd), (files.root / name).stat())
        except (ReadError, OSError):
            return False


_DONORS = _Donors()
