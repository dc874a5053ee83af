"""What a user asks to be projected while a model trains, and which of its variables that means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from weightaudit.errors import UsageError
from weightaudit.globs import matches
from weightaudit.identity.names import role_by_name
from weightaudit.policy import did_you_mean
from weightaudit.projections.base import Projection
from weightaudit.projections.catalogue import load_projections
from weightaudit.projections.notation import parse_projection
from weightaudit.repair.selection import is_projectable
from weightaudit.tensor import MATRIX_ROLES, Evidence, TensorInfo

Named = str | Projection
"""A projection, or how it is written: ``max_norm(2, axis=0)``."""

Globs = str | Sequence[str] | None
"""Globs over the paths of variables; None, or none of them, for trainable kernels and embeddings."""

Project = Named | Mapping[Named, Globs] | Iterable[Named | tuple[Named, Globs]]
"""What to project, and where."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A projection, and the variables that it is for.

    Attributes:
        projection: The projection.
        globs: Globs over the whole path of a variable; empty for trainable kernels and embeddings.
    """

    projection: Projection
    globs: tuple[str, ...] = ()

    def means(self, info: TensorInfo) -> bool:
        """Say whether a variable is meant."""
        if not is_projectable(info):
            return False
        if self.globs:
            return matches(info.name, self.globs)
        return info.trainable is True and info.role in MATRIX_ROLES

    def require_any(self, infos: Sequence[TensorInfo]) -> None:
        """Raise UsageError if no variable is meant, or one of the globs is for none."""
        for glob in self.globs:
            if not any(fnmatchcase(info.name, glob) for info in infos):
                hint = did_you_mean(glob, [info.name for info in infos])
                raise UsageError(
                    f"{self.projection}: no variable has the path {glob!r}{hint}; "
                    "[v.path for v in model.weights] lists them."
                )
        if not any(map(self.means, infos)):
            what = f"floating-point variable {' or '.join(self.globs)}" if self.globs else "trainable kernel"
            raise UsageError(f"{self.projection}: the model has no {what}; name the variables to project.")


def wishes_of(project: Project | None, plugins: Sequence[str] = ()) -> tuple[Wish, ...]:
    """Return what a user asks for, in whatever form.

    Args:
        project: One projection, several, pairs of a projection and globs, or a mapping of such.
        plugins: Modules with further projections.

    Raises:
        UsageError: A projection does not exist, has other parameters, or exchanges whole tensors.
    """
    if project is None:
        return ()
    known = load_projections(plugins)
    if isinstance(project, str | Projection):
        return (_wish(project, None, known),)
    if isinstance(project, Mapping):
        pairs = cast("Mapping[Named, Globs]", project)
        return tuple(_wish(named, globs, known) for named, globs in pairs.items())
    items = ((item, None) if isinstance(item, str | Projection) else item for item in project)
    return tuple(_wish(named, globs, known) for named, globs in items)


def infos_of(model: Any) -> list[TensorInfo]:
    """Return what is known about the weights of a Keras model, in their order."""
    trainable = {id(variable) for variable in model.trainable_variables}
    return [_info(variable, trainable=id(variable) in trainable) for variable in model.weights]


def _info(variable: Any, *, trainable: bool) -> TensorInfo:
    layer, _, name = variable.path.rpartition("/")
    role = role_by_name(name, layer.rpartition("/")[2])
    return TensorInfo(
        name=variable.path,
        key=variable.path,
        shape=tuple(variable.shape),
        dtype=variable.dtype,
        role=role,
        evidence=Evidence.NAME,
        layer=layer,
        trainable=trainable,
    )


def _wish(named: Named, globs: Globs, known: Mapping[str, type[Projection]]) -> Wish:
    projection = parse_projection(named, known) if isinstance(named, str) else named
    if projection.replaces:
        raise UsageError(f"{projection} exchanges whole tensors, so nothing would be learned; leave it out.")
    return Wish(projection, (globs,) if isinstance(globs, str) else tuple(globs or ()))
