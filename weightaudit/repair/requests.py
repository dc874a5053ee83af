"""What a user asks to be projected, from the words of a command line or a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.errors import PolicyError, UsageError
from weightaudit.policy import parse_role
from weightaudit.projections.notation import parse_projection
from weightaudit.repair.selection import Request, Selector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.policy import Policy
    from weightaudit.projections.base import Projection


def requests_of_policy(policy: Policy, known: Mapping[str, type[Projection]]) -> tuple[Request, ...]:
    """Return what a policy asks for under ``[[repair]]``.

    Args:
        policy: The policy.
        known: Projections by name, see `weightaudit.projections.catalogue.load_projections`.

    Raises:
        PolicyError: A projection does not exist, or has other parameters.
    """
    requests: list[Request] = []
    for one in policy.repairs:
        try:
            projections = tuple(parse_projection(text, known) for text in one.project)
        except UsageError as error:
            raise PolicyError(f"{one.where}.project: {error}") from error
        requests.append(Request(projections, Selector(one.tensors, one.roles, one.layer_classes, one.first)))
    return tuple(requests)


def requests_of_options(
    project: Sequence[str],
    on: Sequence[str],
    known: Mapping[str, type[Projection]],
    *,
    roles: Sequence[str] = (),
    layer_classes: Sequence[str] = (),
    first: bool = False,
) -> tuple[Request, ...]:
    """Return what a command line asks for.

    Args:
        project: Projections, such as ``max_norm(2, axis=0)``.
        on: Globs, separated by commas, for the projection at the same place; one of them is for
            all projections, and without any the selector decides alone.
        known: Projections by name.
        roles: Names of roles.
        layer_classes: Globs over Keras class names.
        first: Whether only the first layer is meant.

    Raises:
        UsageError: A projection or a role does not exist, or it is not clear which globs belong to which.
    """
    if not project and (on or roles or layer_classes or first):
        raise UsageError("--on, --role, --layer-class and --first say where to --project something; add it.")
    if len(on) > 1 and len(on) != len(project):
        raise UsageError(
            f"There are {len(project)} --project and {len(on)} --on; give each its own, or one --on for all."
        )
    globs = [_globs(text) for text in on] or [()]
    if len(globs) == 1:
        globs *= len(project)
    named = tuple(parse_role(name, "--role") for name in roles)
    return tuple(
        Request((parse_projection(text, known),), Selector(tensors, named, tuple(layer_classes), first))
        for text, tensors in zip(project, globs, strict=True)
    )


def _globs(text: str) -> tuple[str, ...]:
    globs = tuple(word for part in text.split(",") if (word := part.strip()))
    if not globs:
        raise UsageError("--on is empty; leave it out, or name tensors.")
    return globs
