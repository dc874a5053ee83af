"""How projections are written on the command line and in policies: ``max_norm(2, axis=0)``."""

from __future__ import annotations

import ast
from math import inf
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

from weightaudit.errors import UsageError
from weightaudit.policy import did_you_mean
from weightaudit.projections.catalogue import parameters_of, signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.options import Option
    from weightaudit.projections.base import Projection


def parse_projection(text: str, known: Mapping[str, type[Projection]]) -> Projection:
    """Make the projection that a text such as ``max_norm(2, axis=0)`` or ``non_neg`` means.

    Arguments are numbers (also ``inf``), strings, tuples, ``True``, ``False`` and ``None``, by
    position or by name. Nothing in the text is evaluated.

    Args:
        text: Name of a projection, and its arguments in brackets if it is given any.
        known: Projections by name, as `load_projections` returns them.

    Raises:
        UsageError: The text is no such call, or the projection or an argument of it is unknown,
            missing, of the wrong type or without sense.
    """
    name, positional, named = _call(text)
    projection = known.get(name)
    if projection is None:
        hint = did_you_mean(name, known) or f" (known are {', '.join(known)})"
        raise UsageError(f"{text!r}: there is no projection {name!r}{hint}.")
    try:
        return projection(**dict(_arguments(projection, positional, named)))
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}; it is written {signature(projection)}.") from error


def _call(text: str) -> tuple[str, list[ast.expr], list[ast.keyword]]:
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        node = None
    if isinstance(node, ast.Name):
        return node.id, [], []
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise UsageError(f"{text!r} is no projection; write it like 'max_norm(2, axis=0)' or 'non_neg'.")
    return node.func.id, node.args, node.keywords


def _arguments(
    projection: type[Projection], positional: list[ast.expr], named: list[ast.keyword]
) -> Iterator[tuple[str, Any]]:
    """Yield the arguments by name; ValueError, with a demand, for one that cannot be."""
    parameters = {parameter.option.name: parameter for parameter in parameters_of(projection)}
    if len(positional) > len(parameters):
        raise ValueError(f"it takes at most {len(parameters)} arguments")
    given = dict(zip(parameters, positional, strict=False))
    for keyword in named:
        name = keyword.arg or "**"
        if name not in parameters:
            raise ValueError(f"it has no parameter {name!r}{did_you_mean(name, parameters)}")
        if name in given:
            raise ValueError(f"{name} is given twice")
        given[name] = keyword.value
    for name, node in given.items():
        yield name, _value(node, parameters[name].option)
    missing = [name for name, one in parameters.items() if one.is_required and name not in given]
    if missing:
        raise ValueError(f"it needs {missing[0]}")


def _value(node: ast.expr, option: Option) -> Any:
    try:
        value = _literal(node)
        if value is None and NoneType in get_args(option.hint):
            return None
        return option.convert(value)
    except (TypeError, OverflowError):
        wanted = option.type_name.replace('"none"', "None")
        raise ValueError(f"{option.name} must be {wanted}, not {ast.unparse(node)}") from None


def _literal(node: ast.expr) -> Any:
    """Return a number, string, truth value, None, or a list of such; TypeError for anything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id == "inf":
        return inf
    if isinstance(node, ast.Tuple | ast.List):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _literal(node.operand)
        if type(value) in {int, float}:
            return -value if isinstance(node.op, ast.USub) else value
    raise TypeError
