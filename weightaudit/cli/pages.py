"""What `weightaudit rules` and `weightaudit explain` show: rules described by their own classes."""

from __future__ import annotations

import inspect
import json
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, Any

from weightaudit.options import options_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.rule import Example, Rule


def rules_text(rules: Sequence[type[Rule]]) -> str:
    """Return one line per rule; a * marks those that judge nothing until a policy gives them options."""
    names = [rule.name + ("" if rule().is_active() else "*") for rule in rules]
    code_width, name_width = max(len(rule.code) for rule in rules), max(map(len, names))
    lines = [
        f"{rule.code:{code_width}}  {name:{name_width}}  {rule.severity.label:7}  {_summary(rule)}"
        for rule, name in zip(rules, names, strict=True)
    ]
    if any(name.endswith("*") for name in names):
        lines.append("* judges nothing until a policy gives it options")
    return "\n".join(lines) + "\n"


def rules_json(rules: Sequence[type[Rule]]) -> str:
    """Return the list of rules as JSON."""
    return json.dumps([_rule_json(rule) for rule in rules], indent=2, allow_nan=False) + "\n"


def rule_page(rule: type[Rule]) -> str:
    """Return the documentation of a rule: its docstring, options and examples, as plain text."""
    parts = [f"{rule.code} {rule.name} ({rule.severity.label})", _documentation(rule)]
    options = options_of(rule)
    if options:
        lines = [
            f"  {_toml_key(one.name)}: {one.type_name}; default {_shown(one.default)}" for one in options
        ]
        parts.append("\n".join([f"Options, in a policy under [rules.{rule.code}]:", *lines]))
        if not rule().is_active():
            parts.append("The rule judges nothing until a policy gives it options.")
    if rule.examples:
        parts.append("\n".join(["Examples:", *(_example(example) for example in rule.examples)]))
    return "\n\n".join(parts) + "\n"


def _documentation(rule: type[Rule]) -> str:
    return inspect.cleandoc(rule.__doc__ or "")


def _summary(rule: type[Rule]) -> str:
    return _documentation(rule).partition("\n")[0]


def _rule_json(rule: type[Rule]) -> dict[str, Any]:
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity.label,
        "summary": _summary(rule),
        "active_by_default": rule().is_active(),
        "module": rule.__module__,
        "options": [
            {"name": one.name, "type": one.type_name, "default": _plain(one.default)}
            for one in options_of(rule)
        ],
    }


def _example(example: Example) -> str:
    verdict = "nothing" if example.severity is None else example.severity.label
    return f"  {example.title}: {verdict}{_with(example.options)}"


def _with(options: Mapping[str, Any]) -> str:
    words = (f"{_toml_key(name)} = {_shown(value)}" for name, value in options.items())
    return f" (with {', '.join(words)})" if options else ""


def _toml_key(name: str) -> str:
    return name.replace("_", "-")


def _shown(value: Any) -> str:
    """Show a value as it would be written in a policy."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    """Return a value that JSON has."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value
