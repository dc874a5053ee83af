"""The policy that is in force, as TOML with where each value comes from in comments."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from weightaudit.options import options_of, toml_key, toml_string
from weightaudit.policy.files import read_layers
from weightaudit.registry import configure
from weightaudit.render.escape import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from weightaudit.policy import Policy
    from weightaudit.policy.files import Layer
    from weightaudit.policy.lines import Place
    from weightaudit.registry import Judge, Registry, RuleSet
    from weightaudit.rule import Rule

_REMARKS = 34
"""Columns before a comment, so that those of one table stand below each other."""


def show_policy(
    chosen: Policy,
    in_force: Policy,
    registry: Registry,
    path: Path | None,
    given: Collection[str] = (),
) -> str:
    """Return what is in force as TOML that ends with a line end; read as a policy, it says the same.

    Args:
        chosen: What is in force, with what the command line says.
        in_force: What the files alone say.
        registry: The rules that there are.
        path: File of the policy; None for the default one.
        given: Keys that the command line gives, though maybe the same value as the files.

    Raises:
        PolicyError: The policy is wrong.
    """
    rules = configure(registry, chosen)
    files = () if path is None else read_layers(path)
    lines = [_heading(files), "", *_general(chosen, in_force, files, given)]
    for judge in rules.judges:
        lines += ["", *_rule(judge, files)]
    lines += ["", "# ---- Rules that do not judge ----"]
    lines += [f"# {one}" for one in _absent(chosen, registry, rules)]
    lines += _entries(chosen, files)
    return "\n".join(lines) + "\n"


def _heading(files: Sequence[Layer]) -> str:
    if not files:
        return "# Policy in force: the default one; there is no policy file"
    *bases, own = (printable(one.source) for one in files)
    return f"# Policy in force: {own}" + (f", which extends {', '.join(bases)}" if bases else "")


def _general(
    chosen: Policy, in_force: Policy, files: Sequence[Layer], given: Collection[str]
) -> Iterator[str]:
    level = "never" if chosen.fail_on is None else chosen.fail_on.label
    for key, value, is_said in (
        ("fail-on", level, chosen.fail_on != in_force.fail_on),
        ("select", chosen.select, chosen.select != in_force.select),
    ):
        place = "command line" if is_said or key in given else _last(files, (key,))
        yield _line(key, value, place)
    for key, value, was in (
        ("ignore", chosen.ignore, in_force.ignore),
        ("plugins", chosen.plugins, in_force.plugins),
    ):
        said = [found for one in files if (found := one.place(key))]
        said += ["command line"] if value != was else []
        yield _line(key, value, ", ".join(said) or "default")


def _rule(judge: Judge, files: Sequence[Layer]) -> Iterator[str]:
    rule = judge.rule
    yield f"[rules.{rule.code}]  # {rule.name}"
    if judge.severity is None:
        yield f"# severity: at most {rule.severity.label}, the rule's own"
    else:
        yield _line("severity", judge.severity.label, _of_rule(files, rule, "severity"))
    for option in options_of(type(rule)):
        value = getattr(rule, option.name)
        yield _line(toml_key(option.name), value, _of_rule(files, rule, option.name))


def _absent(chosen: Policy, registry: Registry, rules: RuleSet) -> Iterator[str]:
    judging = {judge.rule.code for judge in rules.judges}
    selected, ignored = (
        registry.expand(chosen.select, "select"),
        registry.expand(chosen.ignore, "ignore"),
    )
    for rule in registry.rules:
        if rule.code in judging:
            continue
        if rule.code in ignored:
            why = "ignored"
        elif rule.code not in selected:
            why = "not selected"
        elif rule.code in rules.codes():
            why = "silent but where an override gives it options"
        else:
            why = f"silent until it is given options, see `weightaudit explain {rule.code}`"
        yield f"{rule.code} {rule.name}: {why}"


def _entries(chosen: Policy, files: Sequence[Layer]) -> Iterator[str]:
    """Yield the lists of tables, as they stand, each below the file and line that it comes from."""
    for key, entries in (
        ("overrides", chosen.overrides),
        ("repair", chosen.repairs),
        ("suppressions", chosen.suppressions),
    ):
        if not entries:
            continue
        for one in files:
            listed = cast("list[dict[str, Any]]", one.table.get(key, []))
            for index, entry in enumerate(listed):
                place = one.place(key, str(index)) or one.source
                yield ""
                yield f"[[{key}]]  # {printable(place)}"
                yield from _table(entry, key)


def _table(table: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield a table of a file: its values first, then the tables in it."""
    for key, value in table.items():
        if not isinstance(value, dict):
            yield f"{_key(key)} = {_toml(value)}"
    for key, value in table.items():
        if isinstance(value, dict):
            yield f"[{name}.{_key(key)}]"
            yield from _table(cast("dict[str, Any]", value), f"{name}.{_key(key)}")


def _of_rule(files: Sequence[Layer], rule: Rule, option: str) -> str:
    return _last(files, ("rules", rule.code, option), ("rules", rule.name, option))


def _last(files: Sequence[Layer], *places: Place) -> str:
    """Return where the last file that says something says it."""
    found = (place for one in reversed(files) for keys in places if (place := one.place(*keys)))
    return next(found, "default")


def _line(key: str, value: Any, place: str) -> str:
    line = f"{key} = {_toml(value)} "
    return f"{line:<{_REMARKS}}# {printable(place)}"


def _key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else toml_string(key)


def _toml(value: Any) -> str:
    """Return a value of an option, or one that was parsed, as TOML."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return toml_string(value.name.lower())
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(one) for one in cast('Iterable[Any]', value))}]"
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return f"{{{', '.join(f'{_key(key)} = {_toml(one)}' for key, one in items)}}}"
    return str(value) if not isinstance(value, float) else repr(value)
