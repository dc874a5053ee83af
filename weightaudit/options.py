"""Options of rules: the fields of their dataclasses, and how a policy's values become theirs."""

from __future__ import annotations

import json
import types
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from functools import cache
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from weightaudit.errors import PolicyError
from weightaudit.policy import brief, describe_type, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weightaudit.rule import Rule

_SIMPLE: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    type(None): '"none"',
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a rule.

    Attributes:
        name: Name of the field.
        hint: Its type, resolved.
        default: Value where the policy does not say otherwise.
    """

    name: str
    hint: Any
    default: Any

    @property
    def type_name(self) -> str:
        """The type for people, such as ``a number or "none"``."""
        return _wording(self.hint)

    def convert(self, value: Any) -> Any:
        """Return a parsed value, with lists for tuples, as the field's type; TypeError if it does not fit."""
        return _convert(value, self.hint)


def options_of(rule: type[Rule]) -> tuple[Option, ...]:
    """Return the options of a rule, in the order of its fields.

    Raises:
        TypeError: A field has no default, or a type that a policy cannot give.
        NameError: A field's annotation names something that the rule's module does not import.
    """
    unbound: Any = rule  # type checkers take classes of dataclasses for unhashable
    return _options(unbound)


@cache  # resolving annotations is slow, and each override of a policy asks
def _options(rule: Any) -> tuple[Option, ...]:
    items = [item for item in fields(rule) if item.init]
    hints = get_type_hints(rule) if items else {}
    options: list[Option] = []
    for item in items:
        if item.default is MISSING and item.default_factory is MISSING:
            raise TypeError(f"its option {item.name} has no default")
        _wording(hints[item.name])
        default = item.default if item.default_factory is MISSING else item.default_factory()
        options.append(Option(item.name, hints[item.name], default))
    return tuple(options)


def convert_options(rule: type[Rule], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the values as the types that the rule's fields have.

    Args:
        rule: The rule.
        values: Values by option name, as parsed from TOML.
        where: Beginning of every message: file and table, such as ``weightaudit.toml: rules.WA203``.

    Raises:
        PolicyError: An option does not exist or a value has the wrong type.
    """
    known = {option.name: option for option in options_of(rule)}
    result: dict[str, Any] = {}
    for name, value in values.items():
        option = known.get(name)
        if option is None:
            names = [toml_key(one) for one in known]
            hint = did_you_mean(toml_key(name), [*names, "severity"]) or _listing(names)
            raise PolicyError(f"{where}: {rule.code} {rule.name} has no option {toml_key(name)!r}{hint}.")
        try:
            result[name] = option.convert(value)
        except TypeError:
            wrong = f"{brief(value)}, {describe_type(value)}{_nearest(value, option.hint)}"
            raise PolicyError(f"{where}.{toml_key(name)} must be {option.type_name}, not {wrong}.") from None
    return result


def toml_string(text: str) -> str:
    """Return a basic string of TOML; it has JSON's escapes, and does not allow DEL as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(name: str) -> str:
    """Return the name of an option as policies write it."""
    return name.replace("_", "-")


def _listing(names: list[str]) -> str:
    return f" (it has {', '.join(names)})" if names else " (it has none)"


def _nearest(value: object, hint: Any) -> str:
    """Suggest the choice that was probably meant by a word, or by the first word of a list that is none."""
    choices = _choices(hint)
    words = cast("list[object]", value) if isinstance(value, list) else [value]
    wrong = (word for word in words if isinstance(word, str) and word.replace("-", "_") not in choices)
    return next((did_you_mean(word, choices) for word in wrong), "")


def _choices(hint: Any) -> list[str]:
    """Return the words that a type allows, at any depth of it; nothing if it does not list them."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [member.name.lower() for member in hint]
    if get_origin(hint) is Literal:
        return [choice for choice in get_args(hint) if isinstance(choice, str)]
    return [choice for part in get_args(hint) for choice in _choices(part)]


def _convert(value: Any, hint: Any) -> Any:
    """Return the value as the type; TypeError if it does not fit."""
    members = members_of(hint)
    if len(members) > 1:
        return _convert_any(value, members)
    if hint is type(None) and value == "none":
        return None
    if hint is float and type(value) in {int, float}:
        return _float(value)
    if hint in {bool, int, str} and type(value) is hint:
        return value
    if get_origin(hint) is tuple and isinstance(value, list):
        return _convert_tuple(cast("list[object]", value), get_args(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member(value, hint)
    if get_origin(hint) is Literal and value in get_args(hint):
        return value
    raise TypeError


def _float(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise TypeError from None
    # A bound of NaN would make every comparison false, and so the rule silent.
    if isnan(number):
        raise TypeError
    return number


def _convert_any(value: Any, members: tuple[Any, ...]) -> Any:
    # An integer fits `float | int` both ways; the exact type comes first so that it stays one.
    for member in sorted(members, key=lambda member: member is not type(value)):
        try:
            return _convert(value, member)
        except TypeError:
            continue
    raise TypeError


def _convert_tuple(items: list[object], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(item, arguments[0]) for item in items)
    if len(items) != len(arguments):
        raise TypeError
    return tuple(_convert(item, hint) for item, hint in zip(items, arguments, strict=True))


def _member(value: Any, enum: type[Enum]) -> Enum:
    for member in enum:
        if isinstance(value, str) and value.replace("-", "_") == member.name.lower():
            return member
    raise TypeError


def members_of(hint: Any) -> tuple[Any, ...]:
    """Return the types that a union has, or the type itself."""
    return get_args(hint) if get_origin(hint) in {Union, types.UnionType} else (hint,)


def _wording(hint: Any) -> str:
    """Say a type in words; TypeError for one that no policy can give."""
    members = members_of(hint)
    if len(members) > 1:
        words = [_wording(member) for member in members]
        return f"{', '.join(words[:-1])} or {words[-1]}"
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if get_origin(hint) is tuple:
        return _tuple_wording(get_args(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {', '.join(member.name.lower() for member in hint)}"
    if get_origin(hint) is Literal:
        return f"one of {', '.join(repr(choice) for choice in get_args(hint))}"
    raise TypeError(f"an option cannot have the type {hint}")


def _tuple_wording(arguments: tuple[Any, ...]) -> str:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return f"a list (each: {_wording(arguments[0])})"
    return f"a list of {len(arguments)} (in order: {'; '.join(_wording(hint) for hint in arguments)})"
