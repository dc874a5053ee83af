"""What a projection is: the seam that repairs, rules and plugins share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, cast

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.tensor import TensorInfo


class Phase(IntEnum):
    """When a projection runs among others on the same tensor."""

    REPLACE = 0
    """Values that are no numbers, or whole tensors, are exchanged."""
    SIGN = 1
    CLIP = 2
    SPARSITY = 3
    NORM = 4
    PRECISION = 5


class Projection(ABC):
    """A projection onto a set of tensors: a frozen dataclass whose fields are its parameters.

    The contract, which `weightaudit.testing.check_projection` checks: a tensor that complies is
    returned as it is, bit for bit; what is returned complies; projecting twice is projecting
    once; only elements, or groups of elements, that do not comply change; shape and dtype stay;
    the input is never written to; NaN and Inf stay where they are, unless replacing them is what
    the projection is for. A norm that NaN or Inf takes part in is no number, so its group is left
    as it is.

    Attributes:
        name: Name in ``--project`` and policies: the field's own, in snake_case.
        phase: When it runs among others on the same tensor.
        replaces: Whether every element is exchanged, whatever the tensor holds now.
    """

    name: ClassVar[str]
    phase: ClassVar[Phase]
    replaces: ClassVar[bool] = False

    @property
    def is_step(self) -> bool:
        """Whether it is a step towards a set, such as soft thresholding, and not a projection onto one.

        A step runs once; there is nothing that its result has to comply with.
        """
        return False

    @abstractmethod
    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        """Return the nearest values that comply, as this projection understands near.

        Args:
            values: float16, float32 or float64 array of any shape; never written to.
            dtype: Storage type (as in `weightaudit.dtypes`) whose numbers the result must be made
                of; by default that of `values`. bfloat16 and float8 come as float32.

        Returns:
            `values` itself if it complies, else a new array of the same shape and dtype.

        Raises:
            ValueError: The shape does not have the axes that the projection needs, or the type has
                no number that complies.
        """

    def complies(self, values: NDArray[Any], *, dtype: str | None = None) -> bool:
        """Say whether there is nothing to project; NaN and Inf are passed over."""
        return self.project(values, dtype=dtype) is values

    def splits(self, shape: tuple[int, ...]) -> bool:
        """Say whether slices along the first axis may be projected apart, with the same result."""
        return False

    def bound(self, info: TensorInfo) -> Projection:
        """Return the projection to use for one tensor; those that need to know it are replaced here.

        Raises:
            RepairError: It makes no sense for this tensor.
        """
        return self

    def __str__(self) -> str:
        """The projection as it is written in ``--project``, with every parameter."""
        items = [item.name for item in fields(cast("Any", self)) if item.init and item.repr]
        return f"{self.name}({', '.join(f'{item}={getattr(self, item)!r}' for item in items)})"
