"""Projects the weights of a model while it trains: many variables of one shape in one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.errors import UsageError
from weightaudit.keras.backend import tf
from weightaudit.keras.wishes import Wish, infos_of
from weightaudit.projections.tensorflow import project_stack, supports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from weightaudit.projections.base import Projection
    from weightaudit.tensor import TensorInfo

_BATCH_BYTES = 256 << 20
"""Bytes of variables that are put together in one call."""


class Projector:
    """Projects the weights of a model in the course of a training.

    Args:
        wishes: What is asked for; without any, nothing is done.
        every: After how many batches.

    Raises:
        UsageError: `every` is less than 1.
    """

    def __init__(self, wishes: Sequence[Wish], every: int) -> None:
        if every < 1:
            raise UsageError(f"project_every must be at least 1, not {every}.")
        self._wishes = wishes
        self._every = every
        self._model: Any = None
        self._live: Live | None = None
        self._last = -1
        self._waiting = 0
        self._is_stale = False

    def begin(self, model: Any) -> None:
        """Note whose weights they are; the model need not be built yet."""
        self._model, self._live, self._is_stale = model, None, False

    def begin_epoch(self) -> None:
        """Note that batches are counted from 0 on again."""
        self._last = -1

    def after_batch(self, batch: int) -> None:
        """Project if it is time to.

        Args:
            batch: Index of the batch; where Keras runs several in one step, of the last of them.

        Raises:
            UsageError: A projection is for no variable, or makes no sense for one.
        """
        self._waiting += batch - self._last
        self._last, self._is_stale = batch, True
        if self._waiting >= self._every:
            self._waiting %= self._every
            self._apply(steps=True)

    def settle(self) -> None:
        """See to it that the weights comply now, though it may not be time yet; see `after_batch`."""
        if self._is_stale:
            self._apply(steps=False)

    def end(self) -> None:
        """Leave weights that comply; see `after_batch`."""
        self.settle()
        self._live = None

    def _apply(self, *, steps: bool) -> None:
        if self._wishes:
            self._live = self._live or Live(self._model, self._wishes)
            self._live.apply(steps=steps)
        self._is_stale = False


class Live:
    """The weights of a model that are to be projected, however its step is compiled.

    Args:
        model: The model; it must be built.
        wishes: What is asked for.

    Raises:
        UsageError: A projection is for no variable, or makes no sense for one.
    """

    def __init__(self, model: Any, wishes: Sequence[Wish]) -> None:
        infos = infos_of(model)
        for wish in wishes:
            wish.require_any(infos)
        self._batches = tuple(_batches(zip(infos, model.weights, strict=True), wishes))

    def apply(self, *, steps: bool = True) -> int:
        """Project them, and return how many variables changed; all others are not written to.

        Args:
            steps: Whether projections that are only a step towards a set are applied as well.

        Raises:
            UsageError: A projection does not fit the shape of a variable.
        """
        return sum(batch.apply(steps=steps) for batch in self._batches)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Variables of one shape and type to which the same projections are applied."""

    projections: tuple[Projection, ...]
    variables: tuple[Any, ...]

    def apply(self, *, steps: bool) -> int:
        chosen = [projection for projection in self.projections if steps or not projection.is_step]
        before = after = tf.stack([variable.value for variable in self.variables])
        for projection in chosen:
            after = self._project(projection, after)
        different = (after != before) & ~(tf.math.is_nan(after) & tf.math.is_nan(before))
        changed = tf.reduce_any(tf.reshape(different, [len(self.variables), -1]), axis=1).numpy()
        for index in np.flatnonzero(changed):
            self.variables[index].assign(after[index])
        return int(changed.sum())

    def _project(self, projection: Projection, stack: Any) -> Any:
        variable = self.variables[0]
        try:
            if supports(projection):
                return project_stack(projection, stack)
            return tf.stack([_with_numpy(projection, values, variable.dtype) for values in stack])
        except ValueError as error:
            where = f"{variable.path} of shape {tuple(variable.shape)}"
            raise UsageError(f"{projection} does not fit {where}: {error}.") from error


def _with_numpy(projection: Projection, values: Any, dtype: str) -> Any:
    # Of the types that are narrower, numpy does not have all.
    wide = tf.cast(values, "float64" if dtype == "float64" else "float32")
    return tf.cast(projection.project(wide.numpy(), dtype=dtype), dtype)


def _batches(variables: Iterable[tuple[TensorInfo, Any]], wishes: Sequence[Wish]) -> Iterator[_Batch]:
    groups: dict[Any, list[Any]] = {}
    for info, variable in variables:
        # What two wishes ask for is done once.
        bound = dict.fromkeys(wish.projection.bound(info) for wish in wishes if wish.means(info))
        if bound:
            chain = tuple(sorted(bound, key=lambda projection: projection.phase))
            groups.setdefault((chain, info.shape, info.dtype, info.nbytes), []).append(variable)
    for (chain, _, _, nbytes), group in groups.items():
        many = max(1, _BATCH_BYTES // max(1, nbytes))
        for first in range(0, len(group), many):
            yield _Batch(chain, tuple(group[first : first + many]))
