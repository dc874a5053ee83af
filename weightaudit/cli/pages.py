"""What `weightaudit rules` and `weightaudit explain` show: rules and projections, by their own classes."""

from __future__ import annotations

import json
import re
from enum import Enum
from math import isfinite
from textwrap import fill
from typing import TYPE_CHECKING, Any

from weightaudit.documentation import documentation, summary
from weightaudit.options import options_of, toml_key
from weightaudit.projections.catalogue import parameters_of, signature
from weightaudit.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.options import Option
    from weightaudit.projections.base import Projection
    from weightaudit.projections.catalogue import Parameter
    from weightaudit.rule import Example

PAGE_WIDTH = 100
"""Columns of a page where nobody says how many there are, and the most that reads well."""


def rules_text(rules: Sequence[type[Rule]], width: int | None = None) -> str:
    """Return one line per rule; a * marks those that judge nothing until a policy gives them options.

    Args:
        rules: The rules.
        width: Columns of a terminal, where a long line continues below its last column; None to
            leave every rule on one line.
    """
    names = [rule.name + ("" if rule().is_active() else "*") for rule in rules]
    code_width, name_width = max(len(rule.code) for rule in rules), max(map(len, names))
    heads = [
        f"{rule.code:{code_width}}  {name:{name_width}}  {rule.severity.label:7}  "
        for rule, name in zip(rules, names, strict=True)
    ]
    lines = [head + summary(rule) for rule, head in zip(rules, heads, strict=True)]
    if width is not None:
        lines = [_wrapped(line, width, len(heads[0])) for line in lines]
    if any(name.endswith("*") for name in names):
        lines.append("* judges nothing until a policy gives it options")
    return "\n".join(lines) + "\n"


def rules_json(rules: Sequence[type[Rule]]) -> str:
    """Return the list of rules as JSON."""
    return json.dumps([_rule_json(rule) for rule in rules], indent=2, allow_nan=False) + "\n"


def rule_page(rule: type[Rule], width: int = PAGE_WIDTH) -> str:
    """Return the documentation of a rule: its docstring, options and examples, as plain text.

    Args:
        rule: The rule.
        width: Columns; fewer than 40 are not used, nor more than `PAGE_WIDTH`.
    """
    width = max(40, min(width, PAGE_WIDTH))
    text, described = documentation(rule)
    parts = [f"{rule.code} {rule.name} ({rule.severity.label})"]
    parts += [_reflowed(paragraph, width) for paragraph in re.split(r"\n\s*\n", text)]
    options = options_of(rule)
    if options:
        lines = [line for one in options for line in _option(one, described.get(one.name, ""), width)]
        parts.append("\n".join([f"Options, in a policy under [rules.{rule.code}]:", *lines]))
        if not rule().is_active():
            parts.append(_wrapped("The rule judges nothing until a policy gives it options.", width, 0))
    if is_mendable(rule):
        parts.append(_wrapped("`weightaudit repair` can mend what it finds, by projection.", width, 0))
    if rule.examples:
        lines = [_wrapped(_example(example), width, 4) for example in rule.examples]
        parts.append("\n".join(["Examples:", *lines]))
    return "\n\n".join(parts) + "\n"


def projection_page(projection: type[Projection], width: int = PAGE_WIDTH) -> str:
    """Return the documentation of a projection: how it is written, its docstring and parameters.

    Args:
        projection: The projection.
        width: Columns; fewer than 40 are not used, nor more than `PAGE_WIDTH`.
    """
    width = max(40, min(width, PAGE_WIDTH))
    text, described = documentation(projection)
    parts = [_wrapped(f"--project '{signature(projection)}'", width, 4)]
    parts += [_reflowed(paragraph, width) for paragraph in re.split(r"\n\s*\n", text)]
    parameters = parameters_of(projection)
    if parameters:
        lines = [line for one in parameters for line in _parameter(one, described, width)]
        parts.append("\n".join(["Parameters, by position or by name:", *lines]))
    return "\n\n".join(parts) + "\n"


def _parameter(parameter: Parameter, described: Mapping[str, str], width: int) -> list[str]:
    option = parameter.option
    kind = option.type_name.replace('"none"', "None")
    default = "required" if parameter.is_required else f"default {option.default!r}"
    words = described.get(option.name, "")
    body = [_wrapped(f"      {words}", width, 6)] if words else []
    return [_wrapped(f"  {option.name}: {kind}; {default}", width, 6), *body]


def _option(option: Option, description: str, width: int) -> list[str]:
    head = f"  {toml_key(option.name)}: {option.type_name}; default {_shown(option.default)}"
    body = [_wrapped(f"      {description}", width, 6)] if description else []
    return [_wrapped(head, width, 6), *body]


def _reflowed(paragraph: str, width: int) -> str:
    """Fill a paragraph of prose; leave one alone that is laid out: indented lines, a list, a table."""
    if re.search(r"^(\s|[-*|>] |\d+\. )", paragraph, re.MULTILINE):
        return paragraph
    return _wrapped(" ".join(paragraph.split()), width, 0)


def _wrapped(text: str, width: int, indent: int) -> str:
    """Fill a line that may begin with spaces; its continuation is indented."""
    # On a narrow terminal a deep indent would leave a column of single words.
    margin = " " * (indent if width - indent >= 30 else min(indent, 4))
    return fill(text, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False)


def is_mendable(rule: type[Rule]) -> bool:
    """Say whether a rule knows projections that mend what it finds."""
    return rule.projection is not Rule.projection


def _rule_json(rule: type[Rule]) -> dict[str, Any]:
    _, described = documentation(rule)
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity.label,
        "summary": summary(rule),
        "active_by_default": rule().is_active(),
        "mended_by_repair": is_mendable(rule),
        "module": rule.__module__,
        "options": [
            {
                "name": one.name,
                "type": one.type_name,
                "default": _plain(one.default),
                "description": described.get(one.name, ""),
            }
            for one in options_of(rule)
        ],
    }


def _example(example: Example) -> str:
    verdict = "nothing" if example.severity is None else example.severity.label
    return f"  {example.title}: {verdict}{_with(example.options)}"


def _with(options: Mapping[str, Any]) -> str:
    words = (f"{toml_key(name)} = {_shown(value)}" for name, value in options.items())
    return f" (with {', '.join(words)})" if options else ""


def _shown(value: Any) -> str:
    """Show a value as it would be written in a policy."""
    if value is None:
        return '"none"'
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
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
