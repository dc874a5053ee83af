"""Checks of single values of a policy, each refused in one sentence that says where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from weightaudit.errors import PolicyError
from weightaudit.rule import Severity
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import date

_SHOWN = 100
"""Characters of a value that messages show."""

_TYPE_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known word that is closest, or an empty string."""
    from difflib import get_close_matches

    by_folded = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(word.lower(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean {by_folded[close[0]]!r}?)" if close else ""


def brief(value: object) -> str:
    """Return a value as messages have it: short, however long it is and however deeply it is nested."""
    from reprlib import Repr

    short = Repr()
    short.maxstring = short.maxother = _SHOWN
    return short.repr(value)


def describe_type(value: object) -> str:
    """Name the TOML type of a value, with its article."""
    return _TYPE_NAMES.get(type(value), "a date or time")


def parse_fail_on(value: object, where: str) -> Severity | None:
    """Return the severity that ``error``, ``warning``, ``note`` or ``never`` (None) stands for.

    Raises:
        PolicyError: It is none of these; the message begins with `where`.
    """
    if value == "never":
        return None
    return Severity.parse(choice(value, where, ("error", "warning", "note", "never")))


def parse_severity(value: object, where: str) -> Severity:
    """Return the severity of that name.

    Raises:
        PolicyError: There is none; the message begins with `where`.
    """
    return Severity.parse(choice(value, where, ("error", "warning", "note")))


def parse_role(name: str, where: str) -> Role:
    """Return the role of that name, written with hyphens or underscores.

    Raises:
        PolicyError: There is none; the message begins with `where`.
    """
    try:
        return Role(name.replace("-", "_"))
    except ValueError:
        raise PolicyError(
            f"{where}: {name!r} is not a role{did_you_mean(name, [role.value for role in Role])}."
        ) from None


def choice(value: object, where: str, known: tuple[str, ...]) -> str:
    """Return the value if it is one of the words known."""
    if not isinstance(value, str) or value not in known:
        choices = ", ".join(known[:-1])
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise PolicyError(f"{where} must be {choices} or {known[-1]}, not {brief(value)}{hint}.")
    return value


def day(value: object, where: str) -> date:
    """Return a date of TOML, or one that is written as a string."""
    from datetime import date, datetime

    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            found = date.fromisoformat(value)
        except ValueError:
            found = None
        # Python also reads 20270131 and 2027-W05-7; the schema, and so every editor, refuses them.
        if found is None or found.isoformat() != value:
            raise PolicyError(f"{where} must be a date such as 2027-01-31, not {brief(value)}.")
        return found
    kind = "a date with a time" if isinstance(value, datetime) else describe_type(value)
    raise PolicyError(f"{where} must be a date such as 2027-01-31, not {kind}.")


def text(value: object, where: str) -> str:
    """Return a string that is not blank, without space around it."""
    if not isinstance(value, str):
        raise PolicyError(f"{where} must be a string, not {describe_type(value)}.")
    if not value.strip():
        raise PolicyError(f"{where} is blank; say it in words.")
    return value.strip()


def table(value: object, where: str) -> dict[str, Any]:
    """Return a value that is a table."""
    if not isinstance(value, dict):
        raise PolicyError(f"{where} must be a table, not {describe_type(value)}.")
    return cast("dict[str, Any]", value)


def tables(values: Mapping[str, Any], key: str, where: str) -> list[object]:
    """Return the entries of a list of tables; they are still to be checked."""
    value: object = values.get(key, [])
    if not isinstance(value, list):
        raise PolicyError(f"{where}{key} must be a list of tables, written [[{key}]].")
    return cast("list[object]", value)


def strings(values: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return the value of a key that is a list of strings; nothing if it is not there."""
    value: object = values.get(key, [])
    shown = f"{where}{key.replace('_', '-')}"
    if not isinstance(value, list):
        raise PolicyError(f"{shown} must be a list of strings, not {describe_type(value)}.")
    items = cast("list[object]", value)
    wrong = next((item for item in items if not isinstance(item, str)), None)
    if wrong is not None:
        raise PolicyError(f"{shown} must be a list of strings; {brief(wrong)} is {describe_type(wrong)}.")
    return tuple(str(item) for item in items)


def string_or_strings(values: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """Return the value of a key that is a string or a list of strings; nothing if it is not there."""
    value: object = values.get(key, [])
    return strings({key: [value]} if isinstance(value, str) else values, key, where)


def normalized(
    written: Mapping[str, Any], where: str, known: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the table with snake_case keys, after checking them against those known."""
    result: dict[str, Any] = {}
    for name, value in written.items():
        key = name.replace("-", "_")
        if known is not None and key not in known:
            names = [one.replace("_", "-") for one in known]
            hint = did_you_mean(name, names) or f" (known are {', '.join(names)})"
            raise PolicyError(f"{where}: unknown key {name!r}{hint}.")
        if key in result:
            raise PolicyError(f"{where}: the key {name!r} is given twice, with a hyphen and an underscore.")
        result[key] = value
    return result
