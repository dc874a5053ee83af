"""Loads rules and projections from packages, and refuses those that are not well made.

Nothing is ever left out with a warning: a gate must not be green because a rule was not there.
"""

from __future__ import annotations

import pkgutil
import re
from dataclasses import is_dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from weightaudit.errors import RuleError, UsageError
from weightaudit.installed import entry_points
from weightaudit.options import options_of
from weightaudit.rule import Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from weightaudit.projections.base import Projection

ENTRY_POINT_GROUP = "weightaudit.rules"

_CODE = re.compile(r"[A-Z]{2,8}[0-9]{3,4}")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def load_rules(plugins: Sequence[str] = ()) -> tuple[type[Rule], ...]:
    """Import every installed rule, and those of further modules, sorted by code.

    Args:
        plugins: Names of modules or packages to load beside the installed entry points.

    Raises:
        UsageError: One of the further modules does not exist.
        RuleError: One cannot be imported, has no rule, is not well made, or uses a code or a
            name that another one has; or there is no rule at all.
    """
    installed = set(entry_points(group=ENTRY_POINT_GROUP))
    found: dict[type[Rule], None] = {}
    for plugin in plugins:
        require_module(plugin)
    for module in (*sorted(installed), *plugins):
        rules = list(rules_of(module))
        if not rules and (module in installed or not any(projections_of(module))):
            raise RuleError(f"The rule plugin {module} defines no rule; remove it, or give its rules codes.")
        found.update(dict.fromkeys(rules))
    if not found:
        raise RuleError("No rule is installed, so nothing would be judged; install weightaudit again.")
    for rule in found:
        validate(rule)
    _require_unique(list(found))
    return tuple(sorted(found, key=lambda rule: rule.code))


def rules_of(name: str) -> Iterator[type[Rule]]:
    """Yield the rules that a module or package defines.

    Raises:
        RuleError: It cannot be imported.
    """
    for value in _classes_of(name):
        if issubclass(value, Rule) and hasattr(value, "code"):
            yield value


def projections_of(name: str) -> Iterator[type[Projection]]:
    """Yield the projections that a module or package defines; bases, and names with ``_``, are left out.

    Raises:
        RuleError: It cannot be imported.
    """
    from weightaudit.projections.base import Projection

    for value in _classes_of(name):
        is_named = issubclass(value, Projection) and hasattr(value, "name")
        if is_named and not value.__name__.startswith("_"):
            yield value


def _classes_of(name: str) -> Iterator[type]:
    for module in _walk(_import(name)):
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                yield value


def require_module(name: str) -> None:
    """Raise UsageError if a module that the user named does not exist."""
    try:
        known = all(part.isidentifier() for part in name.split(".")) and find_spec(name) is not None
    except ModuleNotFoundError as error:
        known = not f"{name}.".startswith(f"{error.name}.")
    except (Exception, SystemExit):  # noqa: BLE001 - its package crashed: importing it will say how
        known = True
    if not known:
        raise UsageError(
            f"There is no rule plugin {name!r}; plugins are modules, installed or on PYTHONPATH, "
            "named with dots and without .py."
        )


def _walk(module: ModuleType) -> Iterator[ModuleType]:
    """Yield a module and, if it is a package, everything below it, sorted by name."""
    yield module
    for item in sorted(pkgutil.iter_modules(getattr(module, "__path__", ())), key=lambda item: item.name):
        if item.name != "__main__":
            yield from _walk(_import(f"{module.__name__}.{item.name}"))


def _import(name: str) -> ModuleType:
    # SystemExit as well: a plugin that exits while it is imported would decide the exit code.
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        kind = type(error).__name__
        raise RuleError(f"The rule plugin {name} cannot be imported ({kind}: {error}).") from error


def validate(rule: type[Rule]) -> None:
    """Check that a class is what `weightaudit.rule.Rule` asks for.

    Raises:
        RuleError: It is not; the text says what it lacks.
    """
    where = f"The rule {rule.__module__}.{rule.__qualname__}"
    if not _CODE.fullmatch(str(rule.code)):
        raise RuleError(f"{where} has the code {rule.code!r}, which is not letters and digits as in ABC101.")
    if not _NAME.fullmatch(str(getattr(rule, "name", ""))):
        raise RuleError(f"{where} needs a name in kebab-case, such as nan-values.")
    if not isinstance(cast("object", getattr(rule, "severity", None)), Severity):
        raise RuleError(f"{where} needs a severity: Severity.NOTE, WARNING or ERROR.")
    require_documented_dataclass(rule, where)
    try:
        options_of(rule)
    except (TypeError, NameError) as error:
        raise RuleError(f"{where} cannot be configured: {error}.") from error


def require_documented_dataclass(plugin: type, where: str) -> None:
    """Raise RuleError unless a class is a frozen dataclass with a docstring of its own."""
    parameters: Any = vars(plugin).get("__dataclass_params__")
    if not is_dataclass(plugin) or parameters is None or not parameters.frozen:
        raise RuleError(f"{where} must be a frozen dataclass; decorate it with @dataclass(frozen=True).")
    # A dataclass without a docstring is given its signature as one.
    own = vars(plugin).get("__doc__")
    if not own or own.startswith(f"{plugin.__name__}("):
        raise RuleError(f"{where} needs a docstring, which is its documentation.")


def _require_unique(rules: Sequence[type[Rule]]) -> None:
    seen: dict[str, type[Rule]] = {}
    for rule in rules:
        for key in (rule.code, rule.name):
            other = seen.setdefault(key, rule)
            if other is not rule:
                raise RuleError(f"{key} is claimed by two rules: {_place(other)} and {_place(rule)}.")


def _place(rule: type[Rule]) -> str:
    return f"{rule.__module__}.{rule.__qualname__}"
