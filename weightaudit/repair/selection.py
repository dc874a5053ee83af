"""Which tensors are projected, and with what: what the user names, and what rules propose."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from weightaudit.catalog import Absent
from weightaudit.dtypes import kind_of
from weightaudit.errors import RepairError, RuleError, UsageError
from weightaudit.globs import matches
from weightaudit.policy import did_you_mean
from weightaudit.tensor import MATRIX_ROLES, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.projections.base import Projection
    from weightaudit.registry import RuleSet
    from weightaudit.rule import Finding


@dataclass(frozen=True, slots=True)
class Selector:
    """Which tensors a projection is for: those that match one entry of each part that is not empty.

    Without any part, kernels and embeddings are meant. Integers, quantized tensors and the state of
    optimizers and metrics are never meant, unless their role is asked for.

    Attributes:
        tensors: Globs over the whole tensor name; ``*`` also matches ``/``.
        roles: Roles.
        layer_classes: Globs over the Keras class name.
        first: Only the first layer, in the order of the model's configuration, that has any.
    """

    tensors: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    layer_classes: tuple[str, ...] = ()
    first: bool = False

    def choose(self, checkpoint: Checkpoint) -> list[TensorInfo]:
        """Return the tensors of a model that are meant.

        Raises:
            UsageError: There are none, a glob matches nothing, or nobody knows which layer is first.
        """
        chosen = [info for info in checkpoint if self._means(info)]
        self._require_all(checkpoint, chosen)
        return _of_first_layer(checkpoint, chosen) if self.first else chosen

    def _means(self, info: TensorInfo) -> bool:
        if not (self.tensors or self.roles or self.layer_classes):
            return is_projectable(info) and info.role in MATRIX_ROLES
        return (
            is_projectable(info)
            and (not info.is_bookkeeping or info.role in self.roles)
            and (not self.tensors or matches(info.name, self.tensors))
            and (not self.roles or info.role in self.roles)
            and (not self.layer_classes or matches(info.layer_class, self.layer_classes))
        )

    def _require_all(self, checkpoint: Checkpoint, chosen: Sequence[TensorInfo]) -> None:
        for glob in self.tensors:
            if not any(fnmatchcase(info.name, glob) for info in checkpoint):
                hint = did_you_mean(glob, (info.name for info in checkpoint))
                raise UsageError(f"No tensor is called {glob!r}{hint}; `weightaudit check -v` lists them.")
        if not chosen:
            raise UsageError(f"No tensor of floating-point numbers {self._said()}.")

    def _said(self) -> str:
        parts = [
            f"is called {' or '.join(self.tensors)}" if self.tensors else "",
            f"has the role {' or '.join(self.roles)}" if self.roles else "",
            f"belongs to a {' or '.join(self.layer_classes)}" if self.layer_classes else "",
        ]
        return " and ".join(filter(None, parts)) or "is a kernel or an embedding"


@dataclass(frozen=True, slots=True)
class Request:
    """Projections that the user asks for, and the tensors that they are for."""

    projections: tuple[Projection, ...]
    selector: Selector = field(default_factory=Selector)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A tensor, and the projections that it is given.

    Attributes:
        info: The tensor.
        projections: What to apply, sorted by phase.
        rules: Codes of the rules that asked for it, sorted.
    """

    info: TensorInfo
    projections: tuple[Projection, ...]
    rules: tuple[str, ...] = ()


def is_projectable(info: TensorInfo) -> bool:
    """Say whether a tensor holds real floating-point numbers that are the weights themselves."""
    return kind_of(info.dtype) == "float" and info.quantization is None and info.role is not Role.QUANTIZATION


class Wishes:
    """Gathers what is to be done to each tensor, each projection once."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._infos = {info.name: info for info in checkpoint}
        self._projections: dict[str, dict[Projection, None]] = {}
        self._rules: dict[str, set[str]] = {}

    def add_request(self, request: Request) -> None:
        """Take in what the user asks for.

        Raises:
            UsageError: It is for no tensor.
        """
        for info in request.selector.choose(self._checkpoint):
            for projection in request.projections:
                self._add(info, projection)

    def add_finding(self, finding: Finding, rules: RuleSet, donor: Projection | None) -> bool:
        """Take in what mends a finding, and say whether anything does.

        Args:
            finding: The finding.
            rules: The rules in force, which know their projections.
            donor: What mends a tensor for which no rule knows a projection.

        Raises:
            RuleError: The rule crashed when it was asked.
        """
        info = self._infos.get(finding.tensor or "")
        if info is None or not is_projectable(info):
            return False
        rule = next((one.rule for one in rules.judges_for(info) if one.rule.code == finding.code), None)
        try:
            projection = rule.projection(info) if rule else None
        except Exception as error:
            raise RuleError(
                f"The rule {finding.code} crashed when it was asked for a projection ({error!r})."
            ) from error
        if projection is None and donor is None:
            return False
        self._add(info, projection or donor)
        self._rules.setdefault(info.name, set()).add(finding.code)
        return True

    def assignments(self) -> tuple[Assignment, ...]:
        """Return what is to be done, in the order of the container.

        Raises:
            RepairError: A tensor is missing or cannot be projected.
        """
        return tuple(self._assignment(info) for info in self._checkpoint if info.name in self._projections)

    def _add(self, info: TensorInfo, projection: Projection | None) -> None:
        if projection is not None:
            self._projections.setdefault(info.name, {})[projection] = None

    def _assignment(self, info: TensorInfo) -> Assignment:
        if info.role is Role.CONSTANT:
            raise RepairError(
                f"{info.name} is a constant of the graph and cannot be repaired; build the model anew with "
                "another one, or leave it out with --on."
            )
        storage = self._checkpoint.entry(info).storage
        if isinstance(storage, Absent):
            raise RepairError(f"{info.name} cannot be repaired: {storage.reason}")
        bound = [projection.bound(info) for projection in self._projections[info.name]]
        bound.sort(key=lambda projection: projection.phase)
        return Assignment(info, tuple(bound), tuple(sorted(self._rules.get(info.name, ()))))


def _of_first_layer(checkpoint: Checkpoint, chosen: Sequence[TensorInfo]) -> list[TensorInfo]:
    ranks = {path: rank for rank, path in enumerate(checkpoint.layers)}
    ranked = [(_rank(info.layer, ranks), info) for info in chosen]
    known = [rank for rank, _ in ranked if rank is not None]
    if not known:
        raise UsageError(
            "The order of the layers is not known, because the model does not come with a configuration "
            "that lists them; name the first layer's tensors instead of --first."
        )
    return [info for rank, info in ranked if rank == min(known)]


def _rank(layer: str, ranks: dict[str, int]) -> int | None:
    """Return the place of the innermost configured layer that a tensor's layer is, or is part of."""
    while layer:
        if layer in ranks:
            return ranks[layer]
        layer = layer.rpartition("/")[0]
    return None
