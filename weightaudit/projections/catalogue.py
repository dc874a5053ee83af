"""The projections that can be named: those that come with weightaudit, and those of plugins."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, fields
from importlib.metadata import entry_points
from inspect import isabstract
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from weightaudit.errors import RuleError
from weightaudit.options import Option
from weightaudit.plugins import projections_of, require_documented_dataclass, require_module, rules_of
from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.donor import RestoreFrom
from weightaudit.projections.l1 import L1Ball
from weightaudit.projections.norms import ClipNorm, MaxNorm, MinMaxNorm, UnitNorm
from weightaudit.projections.sparsity import Prune
from weightaudit.projections.spectral import SpectralNorm
from weightaudit.projections.steps import Shrink, SoftThreshold
from weightaudit.projections.values import Clip, FitDtype, NonNeg, ReplaceNonfinite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENTRY_POINT_GROUP = "weightaudit.projections"

_BUILT_IN: tuple[type[Projection], ...] = (
    *(Clip, ClipNorm, FitDtype, L1Ball, MaxNorm, MinMaxNorm, NonNeg, Prune, ReplaceNonfinite, RestoreFrom),
    *(Shrink, SoftThreshold, SpectralNorm, UnitNorm),
)
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a projection.

    Attributes:
        option: Its name, type and default.
        is_required: Whether it has no default.
    """

    option: Option
    is_required: bool

    def __str__(self) -> str:
        """The parameter as in a signature."""
        return self.option.name if self.is_required else f"{self.option.name}={self.option.default!r}"


def load_projections(plugins: Sequence[str] = ()) -> Mapping[str, type[Projection]]:
    """Return every projection by its name: our own, installed ones, and those of further modules.

    Args:
        plugins: Names of modules or packages to load beside the installed entry points.

    Raises:
        UsageError: One of the further modules does not exist.
        RuleError: One cannot be imported, has neither a projection nor a rule, is not well made,
            or uses a name that another one has.
    """
    for plugin in plugins:
        require_module(plugin)
    found: dict[str, type[Projection]] = {}
    for projection in (*_BUILT_IN, *_of_plugins(plugins)):
        validate_projection(projection)
        other = found.setdefault(projection.name, projection)
        if other is not projection:
            places = " and ".join(f"{one.__module__}.{one.__qualname__}" for one in (other, projection))
            raise RuleError(f"{projection.name} is claimed by two projections: {places}.")
    return dict(sorted(found.items()))


def validate_projection(projection: type[Projection]) -> None:
    """Check that a class is what `weightaudit.projections.base.Projection` asks for.

    Raises:
        RuleError: It is not; the text says what it lacks.
    """
    where = f"The projection {projection.__module__}.{projection.__qualname__}"
    if not _NAME.fullmatch(str(getattr(projection, "name", ""))):
        raise RuleError(f"{where} needs a name in snake_case, such as max_norm.")
    if not isinstance(cast("object", getattr(projection, "phase", None)), Phase):
        raise RuleError(f"{where} needs a phase: a member of weightaudit.projections.Phase.")
    if isabstract(projection):
        raise RuleError(f"{where} does not implement project().")
    require_documented_dataclass(projection, where)
    try:
        parameters_of(projection)
    except (TypeError, NameError) as error:
        raise RuleError(f"{where} cannot be configured: {error}.") from error


def parameters_of(projection: type[Projection]) -> tuple[Parameter, ...]:
    """Return the parameters of a projection, in order.

    Raises:
        TypeError: One has a type that cannot be written in ``--project``.
        NameError: An annotation names something that the projection's module does not import.
    """
    hints = get_type_hints(projection)
    result: list[Parameter] = []
    for item in fields(cast("Any", projection)):
        if not item.init:
            continue
        default: Any = item.default if item.default_factory is MISSING else item.default_factory()
        option = Option(item.name, hints[item.name], default)
        # Asking for its type in words is what finds a type that cannot be written.
        _ = option.type_name
        result.append(Parameter(option, default is MISSING))
    return tuple(result)


def signature(projection: type[Projection]) -> str:
    """Return how a projection is written, such as ``max_norm(max_value=2.0, axis=0)``."""
    return f"{projection.name}({', '.join(map(str, parameters_of(projection)))})"


def _of_plugins(plugins: Sequence[str]) -> Iterator[type[Projection]]:
    installed = {point.value for point in entry_points(group=ENTRY_POINT_GROUP)}
    for plugin in (*sorted(installed), *plugins):
        projections = list(projections_of(plugin))
        if not projections and (plugin in installed or not any(rules_of(plugin))):
            raise RuleError(f"The plugin {plugin} defines neither a projection nor a rule; remove it.")
        yield from projections
