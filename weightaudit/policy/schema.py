"""The JSON schema of policies, draft-07 as TOML editors and validate-pyproject take it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from weightaudit.options import Option, members_of, options_of, toml_key
from weightaudit.policy.tensors import DTYPES
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from weightaudit.rule import Rule

ID = "https://weightaudit.invalid/policy.schema.json"
"""Names the schema and leads nowhere; validate-pyproject resolves references only below an address."""

_SEVERITIES = ["error", "warning", "note"]
_STRINGS = {"type": "array", "items": {"type": "string"}}
_SOME = {**_STRINGS, "minItems": 1}
_WORDS = {"anyOf": [{"type": "string"}, _STRINGS]}
_TEXT = {"type": "string", "pattern": "\\S"}
# Taplo, and so the editors that use it, turn inf and nan into null, which TOML has not.
_NUMBER = {"type": ["number", "null"]}
_SIMPLE: dict[Any, dict[str, Any]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: _NUMBER,
    str: {"type": "string"},
    type(None): {"const": "none"},
}
# Whatever stands beside a reference is ignored in draft-07, so it has a place of its own.
_RULES: dict[str, Any] = {"allOf": [{"$ref": "#/definitions/rules"}]}
# Readers of TOML hand dates on as objects of their own, which have none of the types of JSON.
_DATE = {"not": {"type": ["null", "boolean", "number", "array", "object"]}, "format": "date"}


def pyproject_schema(tool_name: str = "weightaudit") -> dict[str, Any]:
    """Return the schema of the table ``[tool.weightaudit]``, as validate-pyproject asks for it.

    Args:
        tool_name: Name of the table.

    Raises:
        RuleError: A rule or a projection cannot be loaded.
    """
    from weightaudit.projections.catalogue import load_projections
    from weightaudit.registry import load_registry

    schema = policy_schema(load_registry().rules, load_projections())
    return schema | {"title": f"The table [tool.{tool_name}]"}


def policy_schema(rules: Iterable[type[Rule]], projections: Iterable[str]) -> dict[str, Any]:
    """Return the schema of a policy.

    Args:
        rules: The rules that it may speak of, with their options.
        projections: Names of the projections that it may speak of.
    """
    tables = {key: _rule(rule) for rule in rules for key in (rule.code, rule.name)}
    # Rules have the very names that they have: a hyphen is no underscore there.
    settings = {"type": "object", "additionalProperties": False, "properties": tables}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": ID,
        "title": "Policy of weightaudit",
        "definitions": {"rules": settings},
        **_table(
            {
                "extends": _said(_extended(), "Presets, or paths of other policies, which this builds on."),
                "select": _said(_SOME, 'Rules that judge: codes, prefixes or names; "ALL" for all.'),
                "ignore": _said(_STRINGS, "Rules that do not: codes, prefixes or names."),
                "plugins": _said(_STRINGS, "Modules with further rules."),
                "fail-on": _said(
                    {"enum": [*_SEVERITIES, "never"]}, "Findings of this severity or worse fail the gate."
                ),
                "rules": _said(_RULES, "Settings of rules, by code or name."),
                "overrides": _list_of(_override(), "Other settings for some tensors."),
                "repair": _list_of(_repair(projections), "Projections that `weightaudit repair` applies."),
                "suppressions": _list_of(_suppression(), "Findings that do not count, and why."),
                "tests": _list_of(_test(), "Tensors that the policy must pass, or must fail."),
            }
        ),
    }


def _rule(rule: type[Rule]) -> dict[str, Any]:
    from weightaudit.documentation import documentation

    text, described = documentation(rule)
    options = {toml_key(one.name): _option(one, described.get(one.name, "")) for one in options_of(rule)}
    severity = _said({"enum": _SEVERITIES}, "Severity of every finding of the rule.")
    summary = text.partition("\n")[0]
    return _said(_table({"severity": severity, **options}), f"{rule.code} {rule.name}: {summary}")


def _option(option: Option, description: str) -> dict[str, Any]:
    return _said(_type(option.hint), description)


def _type(hint: Any) -> dict[str, Any]:
    """Return the schema of what `Option.convert` takes for a type."""
    members = members_of(hint)
    if len(members) > 1:
        return {"anyOf": [_type(member) for member in members]}
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return {"enum": list(arguments)}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(member.name.lower() for member in hint)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": _type(arguments[0])}
    count = len(arguments)
    return {"type": "array", "items": [_type(one) for one in arguments], "minItems": count, "maxItems": count}


def _extended() -> dict[str, Any]:
    from weightaudit.presets import preset_names

    one = {"anyOf": [{"enum": list(preset_names())}, {"type": "string", "pattern": r"\.toml$"}]}
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _override() -> dict[str, Any]:
    # At least one key of either kind: an override of nothing, or for nothing, is refused.
    return {
        **_table({**_selectors(), "ignore": _STRINGS, "rules": _RULES}),
        "allOf": [
            {"anyOf": _filled("tensors", "roles", "layer-classes", "layer_classes")},
            {"anyOf": _filled("ignore", "rules")},
        ],
    }


def _repair(projections: Iterable[str]) -> dict[str, Any]:
    # What stands in the brackets, only the reader of policies understands.
    call = {"type": "string", "pattern": rf"^\s*({'|'.join(projections)})\s*(\([\s\S]*\)\s*)?$"}
    project = {"anyOf": [call, {"type": "array", "items": call, "minItems": 1}]}
    return _table({"project": project, **_selectors(), "first": {"type": "boolean"}}, "project")


def _suppression() -> dict[str, Any]:
    return _table(
        {
            "rule": _said(_TEXT, "Code or name of the rule."),
            "tensors": _said(_WORDS, "Globs over the name of the tensor."),
            "models": _said(_WORDS, "Globs over the path of the model, or its last parts."),
            "reason": _said(_TEXT, "Why its findings do not count."),
            "expires": _said(_DATE, "The last day on which it holds, such as 2027-01-31."),
        },
        "rule",
        "reason",
    )


def _test() -> dict[str, Any]:
    return _table(
        {
            "title": _TEXT,
            "tensor": _tensor(),
            "beside": {"type": "array", "items": _tensor()},
            "must": {"enum": ["pass", "fail"]},
            "rules": _said(_WORDS, "The rules that are asked; all that judge, if there are none."),
            "severity": _said({"enum": _SEVERITIES}, "What counts as failing, if not fail-on."),
        },
        "tensor",
        "must",
    )


def _tensor() -> dict[str, Any]:
    number, whole = _NUMBER, {"type": "integer"}
    index = {"anyOf": [whole, {"type": "array", "items": whole}]}
    table = _table(
        {
            "name": _TEXT,
            "role": _roles(),
            "layer-class": _TEXT,
            "dtype": {"enum": list(DTYPES)},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}},
            "trainable": {"type": "boolean"},
            "fan-in": whole,
            "fan-out": whole,
            "values": {"type": ["array", "number"]},
            "fill": number,
            "normal": {"type": "number", "minimum": 0},
            "uniform": {"type": "array", "items": number, "minItems": 2, "maxItems": 2},
            "zeros": {"type": "number", "minimum": 0, "maximum": 1},
            "put": {"type": "array", "items": _table({"at": index, "value": number}, "at", "value")},
            "seed": {"type": "integer", "minimum": 0},
        }
    )
    return {
        **table,
        "oneOf": _given("values", "fill", "normal", "uniform"),
        "anyOf": _given("values", "shape"),
    }


def _selectors() -> dict[str, Any]:
    return {
        "tensors": _said(_STRINGS, "Globs over the name of the tensor."),
        "roles": {"type": "array", "items": _roles()},
        "layer-classes": _said(_STRINGS, "Globs over the Keras class of the layer."),
    }


def _roles() -> dict[str, Any]:
    return _enum(role.value for role in Role)


def _enum(words: Iterable[str]) -> dict[str, Any]:
    """Return the schema of words that may be written with hyphens or with underscores."""
    return {"enum": sorted({form for word in words for form in (word, word.replace("_", "-"))})}


def _table(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """Return the schema of a table; keys with a hyphen may have underscores, too."""
    both = {form: one for key, one in properties.items() for form in (key, key.replace("-", "_"))}
    table: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": both}
    return {**table, "required": list(required)} if required else table


def _list_of(table: dict[str, Any], description: str) -> dict[str, Any]:
    return _said({"type": "array", "items": table}, description)


def _given(*keys: str) -> list[dict[str, Any]]:
    return [{"required": [key]} for key in keys]


def _filled(*keys: str) -> list[dict[str, Any]]:
    """Return schemas of tables in which a list or a table is there and not empty."""
    filled = {"minItems": 1, "minProperties": 1}
    return [{"required": [key], "properties": {key: filled}} for key in keys]


def _said(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description} if description else dict(schema)
