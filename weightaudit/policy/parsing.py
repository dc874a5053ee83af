"""From the tables of a policy file to its dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from weightaudit.errors import PolicyError
from weightaudit.policy.model import (
    Override,
    Policy,
    PolicyTest,
    RepairSettings,
    RuleSettings,
    Suppression,
)
from weightaudit.policy.values import (
    choice,
    day,
    describe_type,
    normalized,
    parse_fail_on,
    parse_role,
    parse_severity,
    string_or_strings,
    strings,
    table,
    tables,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from weightaudit.policy.lines import Place
    from weightaudit.tensor import Role

    _At = Callable[..., str]

_Entry = TypeVar("_Entry")

_KEYS = (
    "extends",
    "select",
    "ignore",
    "plugins",
    "fail_on",
    "rules",
    "overrides",
    "repair",
    "suppressions",
    "tests",
)


_NO_LINES: Mapping[Place, int] = MappingProxyType({})


def parse_policy(written: Mapping[str, Any], source: str, lines: Mapping[Place, int] = _NO_LINES) -> Policy:
    """Turn a parsed TOML table into a policy, without what it extends.

    Args:
        written: The table, with keys in kebab-case or snake_case.
        source: File name for messages.
        lines: On which lines of the file its keys and tables stand, as far as that is known.

    Raises:
        PolicyError: A key is unknown or a value has the wrong type.
    """

    def at(*place: str) -> str:
        """Return the beginning of a message about a key or table."""
        line = lines.get(tuple(name.replace("-", "_") for name in place))
        return f"{source}: " if line is None else f"{source}:{line}: "

    values = normalized(written, source, _KEYS)
    string_or_strings(values, "extends", at("extends"))
    return Policy(
        select=strings(values, "select", at("select")) if "select" in values else ("ALL",),
        ignore=strings(values, "ignore", at("ignore")),
        plugins=strings(values, "plugins", at("plugins")),
        fail_on=parse_fail_on(values.get("fail_on", "error"), f"{at('fail_on')}fail-on"),
        rules=_rules(values, at),
        overrides=_each(values, "overrides", at, _override),
        repairs=_each(values, "repair", at, _repair),
        suppressions=_each(values, "suppressions", at, _suppression),
        tests=_each(values, "tests", at, _test),
        source=source,
    )


def _each(
    values: Mapping[str, Any], key: str, at: _At, parse: Callable[[dict[str, Any], str], _Entry]
) -> tuple[_Entry, ...]:
    listed = enumerate(tables(values, key, at(key)))
    places = [(one, f"{at(key, str(index))}{key}[{index}]") for index, one in listed]
    return tuple(parse(table(one, place), place) for one, place in places)


def _override(written: dict[str, Any], where: str) -> Override:
    values = normalized(written, where, ("tensors", "roles", "layer_classes", "ignore", "rules"))
    override = Override(
        tensors=strings(values, "tensors", f"{where}."),
        roles=_roles(values, where),
        layer_classes=strings(values, "layer_classes", f"{where}."),
        ignore=strings(values, "ignore", f"{where}."),
        rules=_rules(values, lambda *_: f"{where}."),
        where=where,
    )
    if not (override.tensors or override.roles or override.layer_classes):
        raise PolicyError(f"{where} must say what it is about: give it tensors, roles or layer-classes.")
    if not (override.ignore or override.rules):
        raise PolicyError(f"{where} changes nothing: give it ignore or rules.")
    return override


def _repair(written: dict[str, Any], where: str) -> RepairSettings:
    values = normalized(written, where, ("project", "tensors", "roles", "layer_classes", "first"))
    first: object = values.get("first", False)
    if not isinstance(first, bool):
        raise PolicyError(f"{where}.first must be true or false, not {describe_type(first)}.")
    repair = RepairSettings(
        project=string_or_strings(values, "project", f"{where}."),
        tensors=strings(values, "tensors", f"{where}."),
        roles=_roles(values, where),
        layer_classes=strings(values, "layer_classes", f"{where}."),
        first=first,
        where=where,
    )
    if not repair.project:
        raise PolicyError(f'{where} changes nothing: give it project, such as "max_norm(2, axis=0)".')
    return repair


def _suppression(written: dict[str, Any], where: str) -> Suppression:
    values = normalized(written, where, ("rule", "tensors", "models", "reason", "expires"))
    if "rule" not in values:
        raise PolicyError(f'{where} must say which rule it is about: give it rule = "WA402".')
    if "reason" not in values:
        raise PolicyError(f"{where} must say why: give it a reason.")
    return Suppression(
        rule=text(values["rule"], f"{where}.rule"),
        reason=text(values["reason"], f"{where}.reason"),
        tensors=string_or_strings(values, "tensors", f"{where}."),
        models=string_or_strings(values, "models", f"{where}."),
        expires=day(values["expires"], f"{where}.expires") if "expires" in values else None,
        where=where,
    )


def _test(written: dict[str, Any], where: str) -> PolicyTest:
    values = normalized(written, where, ("title", "tensor", "beside", "must", "rules", "severity"))
    if "tensor" not in values or "must" not in values:
        raise PolicyError(f'{where} must have a tensor, and must = "pass" or "fail".')
    return PolicyTest(
        tensor=table(values["tensor"], f"{where}.tensor"),
        must=cast("Literal['pass', 'fail']", choice(values["must"], f"{where}.must", ("pass", "fail"))),
        rules=string_or_strings(values, "rules", f"{where}."),
        level=parse_severity(values["severity"], f"{where}.severity") if "severity" in values else None,
        title=text(values["title"], f"{where}.title") if "title" in values else "",
        beside=_each(values, "beside", lambda *_: f"{where}.", lambda one, _: one),
        where=where,
    )


def _roles(values: Mapping[str, Any], where: str) -> tuple[Role, ...]:
    return tuple(parse_role(name, f"{where}.roles") for name in strings(values, "roles", f"{where}."))


def _rules(values: Mapping[str, Any], at: _At) -> dict[str, RuleSettings]:
    settings = table(values.get("rules", {}), f"{at('rules')}rules")
    return {key: _settings(value, f"{at('rules', key)}rules.{key}") for key, value in settings.items()}


def _settings(value: object, where: str) -> RuleSettings:
    options = normalized(table(value, where), where)
    severity = options.pop("severity", None)
    level = None if severity is None else parse_severity(severity, f"{where}.severity")
    return RuleSettings(options, level, where)
