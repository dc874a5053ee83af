"""The policy of a project: `weightaudit.toml` or `[tool.weightaudit]`, as frozen dataclasses."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from weightaudit.errors import PolicyError
from weightaudit.rule import Severity
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

FILE_NAME = "weightaudit.toml"

_TYPE_NAMES: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What a policy says about one rule.

    Attributes:
        options: Values by option name (snake_case), as written; the registry checks them.
        severity: Severity of every finding of the rule; None leaves it to the rule.
    """

    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """Other settings for some tensors: those that match one entry of each selector that is not empty.

    Attributes:
        tensors: Globs over the whole tensor name; ``*`` also matches ``/``.
        roles: Roles.
        layer_classes: Globs over the Keras class name, as in the options of rules.
        ignore: Codes, prefixes or names of rules that leave these tensors alone.
        rules: Settings by code or name of the rule, on top of the policy's own.
    """

    tensors: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    layer_classes: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    rules: Mapping[str, RuleSettings] = field(default_factory=dict[str, RuleSettings])


@dataclass(frozen=True, slots=True)
class RepairSettings:
    """Projections that `weightaudit repair` applies, and to which tensors.

    Attributes:
        project: Projections as in ``--project``, such as ``max_norm(2, axis=0)``.
        tensors: Globs over the whole tensor name.
        roles: Roles.
        layer_classes: Globs over the Keras class name.
        first: Whether only the first layer that has such tensors is meant.
        where: File and table, for messages.
    """

    project: tuple[str, ...]
    tensors: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    layer_classes: tuple[str, ...] = ()
    first: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What to judge, how strictly, and what fails the gate.

    Attributes:
        select: Codes, prefixes or names of the rules that judge; ``ALL`` for every rule.
        ignore: Codes, prefixes or names of the rules that do not.
        plugins: Modules with further rules.
        fail_on: Findings of this severity or worse fail the gate; None: findings never do.
        rules: Settings by code or name of the rule.
        overrides: Other settings for some tensors; a later one wins over an earlier one.
        repairs: What `weightaudit repair` does beside mending findings.
        source: File that the policy was read from, for messages; empty for the default policy.
    """

    select: tuple[str, ...] = ("ALL",)
    ignore: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    fail_on: Severity | None = Severity.ERROR
    rules: Mapping[str, RuleSettings] = field(default_factory=dict[str, RuleSettings])
    overrides: tuple[Override, ...] = ()
    repairs: tuple[RepairSettings, ...] = ()
    source: str = ""

    @property
    def prefix(self) -> str:
        """Beginning of a message about this policy: the file and a colon, if there is a file."""
        return f"{self.source}: " if self.source else ""


def find_policy(start: Path) -> Policy:
    """Return the policy that holds in a directory, or the default one where there is none.

    The nearest directory upward counts that has a `weightaudit.toml`, or a `pyproject.toml`
    with a table `[tool.weightaudit]`; the former wins where both lie side by side.

    Raises:
        PolicyError: A file on the way cannot be read, or says something that is not understood.
    """
    for directory in (start.absolute(), *start.absolute().parents):
        own, project = directory / FILE_NAME, directory / "pyproject.toml"
        if own.is_file():
            return read_policy(own)
        if project.is_file() and _project_table(_load(project)) is not None:
            return read_policy(project)
    return Policy()


def read_policy(path: Path) -> Policy:
    """Read one policy file; of a `pyproject.toml`, its table `[tool.weightaudit]`.

    Raises:
        PolicyError: The file cannot be read, or says something that is not understood.
    """
    table, source = _load(path), os.path.relpath(path)
    if path.name != "pyproject.toml" and _project_table(table) is not None:
        raise PolicyError(
            f"{source}: only pyproject.toml has a table [tool.weightaudit]; leave the header out."
        )
    if path.name == "pyproject.toml":
        own = _project_table(table)
        if own is None:
            raise PolicyError(f"{source} has no table [tool.weightaudit].")
        table = own
    return parse_policy(table, source)


def parse_policy(table: Mapping[str, Any], source: str) -> Policy:
    """Turn a parsed TOML table into a policy.

    Args:
        table: The table, with keys in kebab-case or snake_case.
        source: File name for messages.

    Raises:
        PolicyError: A key is unknown or a value has the wrong type.
    """
    where = f"{source}: "
    known = ("select", "ignore", "plugins", "fail_on", "rules", "overrides", "repair")
    values = _normalized(table, source, known)
    return Policy(
        select=_strings(values, "select", where) if "select" in values else ("ALL",),
        ignore=_strings(values, "ignore", where),
        plugins=_strings(values, "plugins", where),
        fail_on=parse_fail_on(values.get("fail_on", "error"), f"{where}fail-on"),
        rules=_rules(values, where),
        overrides=tuple(
            _override(override, f"{where}overrides[{index}]")
            for index, override in enumerate(_tables(values, "overrides", where))
        ),
        repairs=tuple(
            _repair(repair, f"{where}repair[{index}]")
            for index, repair in enumerate(_tables(values, "repair", where))
        ),
        source=source,
    )


def parse_fail_on(value: object, where: str) -> Severity | None:
    """Return the severity that ``error``, ``warning``, ``note`` or ``never`` (None) stands for.

    Raises:
        PolicyError: It is none of these; the message begins with `where`.
    """
    return None if value == "never" else _severity(value, where, ("error", "warning", "note", "never"))


def policy_digest(policy: Policy) -> str:
    """Return the SHA-256 of what a policy says, wherever it is written down and in whatever order."""
    import hashlib
    import json
    from dataclasses import asdict

    said = asdict(policy)
    del said["source"]
    for repair in said["repairs"]:
        del repair["where"]
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known word that is closest, or an empty string."""
    from difflib import get_close_matches

    by_folded = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(word.lower(), by_folded, n=1, cutoff=0.6)
    return f" (did you mean {by_folded[close[0]]!r}?)" if close else ""


def describe_type(value: object) -> str:
    """Name the TOML type of a value, with its article."""
    return _TYPE_NAMES.get(type(value), "a date or time")


def _load(path: Path) -> dict[str, Any]:
    import tomllib

    source = os.path.relpath(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError(f"The policy {source} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"{source} is not UTF-8 text, which TOML has to be.") from error
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{source} is not valid TOML: {error}.") from error
    except RecursionError as error:
        raise PolicyError(f"{source} is nested too deeply.") from error


def _project_table(document: Mapping[str, Any]) -> dict[str, Any] | None:
    tool = document.get("tool")
    table = cast("dict[str, Any]", tool).get("weightaudit") if isinstance(tool, dict) else None
    return cast("dict[str, Any]", table) if isinstance(table, dict) else None


def _override(value: object, where: str) -> Override:
    known = ("tensors", "roles", "layer_classes", "ignore", "rules")
    values = _normalized(_table(value, where), where, known)
    override = Override(
        tensors=_strings(values, "tensors", f"{where}."),
        roles=tuple(parse_role(name, f"{where}.roles") for name in _strings(values, "roles", f"{where}.")),
        layer_classes=_strings(values, "layer_classes", f"{where}."),
        ignore=_strings(values, "ignore", f"{where}."),
        rules=_rules(values, f"{where}."),
    )
    if not (override.tensors or override.roles or override.layer_classes):
        raise PolicyError(f"{where} must say what it is about: give it tensors, roles or layer-classes.")
    if not (override.ignore or override.rules):
        raise PolicyError(f"{where} changes nothing: give it ignore or rules.")
    return override


def _repair(value: object, where: str) -> RepairSettings:
    known = ("project", "tensors", "roles", "layer_classes", "first")
    values = _normalized(_table(value, where), where, known)
    if isinstance(values.get("project"), str):
        values["project"] = [values["project"]]
    first: object = values.get("first", False)
    if not isinstance(first, bool):
        raise PolicyError(f"{where}.first must be true or false, not {describe_type(first)}.")
    repair = RepairSettings(
        project=_strings(values, "project", f"{where}."),
        tensors=_strings(values, "tensors", f"{where}."),
        roles=tuple(parse_role(name, f"{where}.roles") for name in _strings(values, "roles", f"{where}.")),
        layer_classes=_strings(values, "layer_classes", f"{where}."),
        first=first,
        where=where,
    )
    if not repair.project:
        raise PolicyError(f'{where} changes nothing: give it project, such as "max_norm(2, axis=0)".')
    return repair


def _tables(values: Mapping[str, Any], key: str, where: str) -> list[object]:
    value: object = values.get(key, [])
    if not isinstance(value, list):
        raise PolicyError(f"{where}{key} must be a list of tables, written [[{key}]].")
    return cast("list[object]", value)


def _rules(values: Mapping[str, Any], where: str) -> dict[str, RuleSettings]:
    tables = _table(values.get("rules", {}), f"{where}rules")
    return {key: _settings(value, f"{where}rules.{key}") for key, value in tables.items()}


def _settings(value: object, where: str) -> RuleSettings:
    options = _normalized(_table(value, where), where)
    severity = options.pop("severity", None)
    if severity is None:
        return RuleSettings(options)
    return RuleSettings(options, _severity(severity, f"{where}.severity", ("error", "warning", "note")))


def _severity(value: object, where: str, known: tuple[str, ...]) -> Severity:
    if not isinstance(value, str) or value not in known:
        choices = ", ".join(known[:-1])
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise PolicyError(f"{where} must be {choices} or {known[-1]}, not {value!r}{hint}.")
    return Severity.parse(value)


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


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PolicyError(f"{where} must be a table, not {describe_type(value)}.")
    return cast("dict[str, Any]", value)


def _strings(values: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value: object = values.get(key, [])
    shown = f"{where}{key.replace('_', '-')}"
    if not isinstance(value, list):
        raise PolicyError(f"{shown} must be a list of strings, not {describe_type(value)}.")
    items = cast("list[object]", value)
    wrong = next((item for item in items if not isinstance(item, str)), None)
    if wrong is not None:
        raise PolicyError(f"{shown} must be a list of strings; {wrong!r} is {describe_type(wrong)}.")
    return tuple(str(item) for item in items)


def _normalized(table: Mapping[str, Any], where: str, known: Collection[str] | None = None) -> dict[str, Any]:
    """Return the table with snake_case keys, after checking them against those known."""
    result: dict[str, Any] = {}
    for written, value in table.items():
        key = written.replace("-", "_")
        if known is not None and key not in known:
            names = [name.replace("_", "-") for name in known]
            hint = did_you_mean(written, names) or f" (known are {', '.join(names)})"
            raise PolicyError(f"{where}: unknown key {written!r}{hint}.")
        if key in result:
            raise PolicyError(
                f"{where}: the key {written!r} is given twice, with a hyphen and an underscore."
            )
        result[key] = value
    return result
