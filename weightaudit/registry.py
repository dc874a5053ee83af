"""The rules that are installed, and those that a policy selects and configures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from weightaudit.errors import PolicyError, RuleError
from weightaudit.globs import any_of
from weightaudit.options import convert_options
from weightaudit.plugins import load_rules
from weightaudit.policy import Override, Policy, RuleSettings, Suppression, did_you_mean
from weightaudit.rule import Rule
from weightaudit.suppressing import Excuse, excuse
from weightaudit.upkeep import UpkeepRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from weightaudit.rule import Severity
    from weightaudit.tensor import TensorInfo

ALL = "ALL"

_WILD = re.compile(r"[*?[]")
"""What makes a glob stand for more than the name that it looks like."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A configured rule.

    Attributes:
        rule: The rule, with its options.
        severity: Severity that the policy gives its findings; None: the rule's own.
        by_kind: Whether the rule is asked about kinds of tensors instead of every tensor.
        on_tensors: Whether it judges tensors one by one.
        on_models: Whether it judges models as a whole.
    """

    rule: Rule
    severity: Severity | None = None
    by_kind: bool = False
    on_tensors: bool = True
    on_models: bool = True


@dataclass(frozen=True, slots=True)
class Registry:
    """Rules that can be selected.

    Attributes:
        rules: The rules, sorted by code.
        plugins: Modules that were loaded beside the installed ones; they may have projections, too.
    """

    rules: tuple[type[Rule], ...]
    plugins: tuple[str, ...] = ()

    def find(self, key: str) -> type[Rule] | None:
        """Return the rule with that code or name."""
        return next((rule for rule in self.rules if key in {rule.code, rule.name}), None)

    def suggestion(self, key: str, others: Iterable[str] = ()) -> str:
        """Return `` (did you mean 'x'?)`` for a key that is unknown, or an empty string.

        Args:
            key: What is neither the code nor the name of a rule.
            others: What could have been meant besides.
        """
        begun = [rule.code for rule in self.rules if key and rule.code.startswith(key.upper())]
        if begun:
            return f" (did you mean {begun[0]!r}?)"
        return did_you_mean(key, [*others, *(word for rule in self.rules for word in (rule.code, rule.name))])

    def expand(self, selectors: Sequence[str], where: str) -> frozenset[str]:
        """Return the codes that the selectors stand for.

        Args:
            selectors: Codes, beginnings of codes, names, or ``ALL``.
            where: Beginning of the message: where the selectors were written.

        Raises:
            PolicyError: One of them stands for no rule.
        """
        codes: set[str] = set()
        for selector in selectors:
            matched = {rule.code for rule in self.rules if _selects(selector, rule)}
            if not matched:
                upper = selector.upper()
                in_capitals = any(_selects(upper, rule) for rule in self.rules)
                hint = f" (did you mean {upper!r}?)" if in_capitals else self.suggestion(selector)
                raise PolicyError(f"{where}: {selector!r} is no code, prefix or name of a rule{hint}.")
            codes |= matched
        return frozenset(codes)


@dataclass(frozen=True, slots=True)
class _Settings:
    """Settings of one rule from one table of the policy, checked, and where they were written."""

    where: str
    options: Mapping[str, Any]
    severity: Severity | None


_Tables = Mapping[str, _Settings]
"""Settings by the code of the rule."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """One override, ready to be matched against many tensors.

    Attributes:
        exact: The names that it is for, if it is for single tensors; the set of rules looks them up.
        names: Pattern of the names that it is for; None for all, or if there are exact ones.
        classes: Pattern of the layer classes that it is for; None for all.
        override: The override, for the roles that it is for.
        ignored: Codes of the rules that it leaves out.
        settings: What it says of rules.
    """

    exact: frozenset[str]
    names: re.Pattern[str] | None
    classes: re.Pattern[str] | None
    override: Override
    ignored: frozenset[str]
    settings: Mapping[str, _Settings]

    def matches(self, info: TensorInfo) -> bool:
        override = self.override
        return (
            (self.names is None or self.names.match(info.name) is not None)
            and (not override.roles or info.role in override.roles)
            and (self.classes is None or self.classes.match(info.layer_class) is not None)
        )


class RuleSet:
    """Configured rules: which judge a model, and which judge one of its tensors.

    Attributes:
        judges: Rules in force where no override matches; they also judge whole models.
        policy: The policy that it was made from.
        excuses: The suppressions of that policy, also those that expired.
    """

    def __init__(
        self,
        rules: Sequence[type[Rule]],
        settings: Mapping[str, _Settings],
        layers: Sequence[_Layer],
        change: Callable[[Rule], Rule] | None = None,
        *,
        policy: Policy | None = None,
        excuses: Sequence[Excuse] = (),
    ) -> None:
        self.policy = policy or Policy()
        self.excuses = excuses
        self._change = change
        self._rules = rules
        self._settings = settings
        self._layers = layers
        # What no override speaks of is made once for all.
        self._usual = {rule.code: _judge(rule, _tables_of(rule, [settings])) for rule in rules}
        # A learned policy has one override for each tensor: by its name, few are left to be matched.
        self._named: dict[str, list[int]] = defaultdict(list)
        self._matched = [index for index, layer in enumerate(layers) if not layer.exact]
        for index, layer in enumerate(layers):
            for name in layer.exact:
                self._named[name].append(index)
        # Few distinct sets of overrides match, however many tensors there are.
        self._known: dict[tuple[int, ...], tuple[Judge, ...]] = {}
        self.judges = self._judges(())

    def judges_for(self, info: TensorInfo) -> tuple[Judge, ...]:
        """Return the rules that judge this tensor, sorted by code, after all overrides that match it."""
        if not self._layers:
            return self.judges
        candidates = sorted((*self._matched, *self._named.get(info.name, ())))
        return self._judges(tuple(index for index in candidates if self._layers[index].matches(info)))

    def mapped(self, change: Callable[[Rule], Rule]) -> RuleSet:
        """Return the same set with every configured rule replaced by what `change` makes of it."""
        return RuleSet(
            self._rules, self._settings, self._layers, change, policy=self.policy, excuses=self.excuses
        )

    def codes(self) -> frozenset[str]:
        """Return the codes of the rules that judge, if only some tensors."""
        return frozenset(judge.rule.code for judges in self.variants() for judge in judges)

    def variants(self) -> tuple[tuple[Judge, ...], ...]:
        """Return `judges`, and what each override on its own makes of them."""
        return (self.judges, *(self._judges((index,)) for index in range(len(self._layers))))

    def _judges(self, matching: tuple[int, ...]) -> tuple[Judge, ...]:
        if matching not in self._known:
            layers = [self._layers[index] for index in matching]
            ignored = frozenset[str]().union(*(layer.ignored for layer in layers))
            touched = frozenset[str]().union(*(layer.settings for layer in layers))
            tables = (self._settings, *(layer.settings for layer in layers))
            judges = (
                _judge(rule, _tables_of(rule, tables)) if rule.code in touched else self._usual[rule.code]
                for rule in self._rules
                if rule.code not in ignored
            )
            active = (judge for judge in judges if judge.rule.is_active())
            change = self._change
            self._known[matching] = tuple(
                active if change is None else (replace(one, rule=change(one.rule)) for one in active)
            )
        return self._known[matching]


def load_registry(plugins: Sequence[str] = ()) -> Registry:
    """Find all installed rules and those of further modules.

    Args:
        plugins: Names of modules to load beside the installed entry points.

    Raises:
        RuleError: A rule cannot be loaded, is not well made, or two claim one code.
    """
    return Registry(load_rules(plugins), tuple(plugins))


def configure(registry: Registry, policy: Policy, today: date | None = None) -> RuleSet:
    """Select the rules of a policy and give them their options.

    Args:
        registry: The rules that there are.
        policy: The policy.
        today: The day by which suppressions expire; by default the one that it is, in UTC.

    Raises:
        PolicyError: The policy names a rule, a projection or an option that does not exist, gives an
            option a value that it cannot have, or leaves no rule that would judge anything.
        RuleError: A rule crashed when it was given its options, or a projection cannot be loaded.
    """
    for base in policy.inherited:
        registry.expand((*base.select, *base.ignore), f"{base.prefix}select and ignore")
    selected = registry.expand(policy.select, f"{policy.prefix}select")
    ignored = registry.expand(policy.ignore, f"{policy.prefix}ignore")
    rules = [rule for rule in registry.rules if rule.code in selected - ignored]
    parts = (*policy.inherited, policy)
    settings = _merged(_settings(registry, one.rules, one.prefix) for one in parts)
    layers = [
        _layer(registry, override, f"{override.where or f'{policy.prefix}overrides[{index}]'}.")
        for index, override in enumerate(policy.overrides)
    ]
    excuses = [_excuse(registry, one, today) for one in policy.suppressions]
    _require_projections(registry, policy)
    result = RuleSet(rules, settings, layers, policy=policy, excuses=excuses)
    _require_effect(result, rules, [settings, *(layer.settings for layer in layers)])
    if not any(result.variants()):
        reason = "the selected rules lack the options that they need" if rules else "no rule is selected"
        raise PolicyError(f"{policy.prefix}nothing would be judged, because {reason}.")
    return result


def _require_projections(registry: Registry, policy: Policy) -> None:
    """Raise PolicyError if a projection under ``[[repair]]`` does not exist, or has other parameters."""
    if policy.repairs:
        # They import numpy, for which a policy without any does not wait.
        from weightaudit.projections.catalogue import load_projections
        from weightaudit.repair.requests import requests_of_policy

        requests_of_policy(policy, load_projections(registry.plugins))


def _excuse(registry: Registry, suppression: Suppression, today: date | None) -> Excuse:
    rule = registry.find(suppression.rule)
    if rule is None:
        hint = registry.suggestion(suppression.rule)
        raise PolicyError(
            f"{suppression.where}.rule: {suppression.rule!r} is no code and no name of a rule{hint}."
        )
    if issubclass(rule, UpkeepRule):
        raise PolicyError(
            f"{suppression.where}.rule: {rule.code} {rule.name} is about the policy itself, which nothing "
            "suppresses; mend what it finds, or put it under ignore."
        )
    return excuse(suppression, rule.code, today)


def _merged(parts: Iterable[_Tables]) -> dict[str, _Settings]:
    """Return the settings of several files as one: of an option that several give, the last one's."""
    result: dict[str, _Settings] = {}
    for part in parts:
        for code, own in part.items():
            base = result.get(code)
            options = {**base.options, **own.options} if base else own.options
            severity = own.severity or (base.severity if base else None)
            result[code] = _Settings(own.where, options, severity)
    return result


def _selects(selector: str, rule: type[Rule]) -> bool:
    return selector in (ALL, rule.name) or bool(selector and rule.code.startswith(selector))


def _settings(registry: Registry, tables: Mapping[str, RuleSettings], prefix: str) -> dict[str, _Settings]:
    result: dict[str, _Settings] = {}
    for key, table in tables.items():
        where = table.where or f"{prefix}rules.{key}"
        rule = registry.find(key)
        if rule is None:
            raise PolicyError(f"{where}: there is no such rule{registry.suggestion(key)}.")
        if rule.code in result:
            raise PolicyError(f"{where}: {rule.code} is configured twice, by its code and by its name.")
        result[rule.code] = _Settings(where, convert_options(rule, table.options, where), table.severity)
    return result


def _layer(registry: Registry, override: Override, prefix: str) -> _Layer:
    exact = _exact(override.tensors)
    return _Layer(
        exact=exact,
        names=None if exact else any_of(override.tensors),
        classes=any_of(override.layer_classes),
        override=override,
        ignored=registry.expand(override.ignore, f"{prefix}ignore"),
        settings=_settings(registry, override.rules, prefix),
    )


def _exact(globs: Sequence[str]) -> frozenset[str]:
    """Return the names that globs stand for if each stands for one, else none."""
    return frozenset() if any(_WILD.search(glob) for glob in globs) else frozenset(globs)


def _require_effect(result: RuleSet, rules: Sequence[type[Rule]], tables: Sequence[_Tables]) -> None:
    """Raise PolicyError for a rule that was given options and judges nothing all the same.

    Who configures a rule relies on it; that an option is missing must not be found out later.
    """
    judging = {judge.rule.code for judges in result.variants() for judge in judges}
    for rule in rules:
        settings = _tables_of(rule, tables)
        if rule.code not in judging and any(one.options for one in settings):
            raise PolicyError(
                f"{settings[0].where}: {rule.code} {rule.name} judges nothing with these options; "
                f"`weightaudit explain {rule.code}` tells which it needs."
            )


def _tables_of(rule: type[Rule], tables: Iterable[_Tables]) -> list[_Settings]:
    return [table[rule.code] for table in tables if rule.code in table]


def _judge(rule: type[Rule], tables: Sequence[_Settings]) -> Judge:
    options: dict[str, Any] = {}
    severity: Severity | None = None
    for table in tables:
        options |= table.options
        severity = table.severity or severity
    where = tables[-1].where if tables else rule.code
    try:
        made = rule(**options)
        on_tensors, on_models = rule.check is not Rule.check, rule.check_model is not Rule.check_model
        return Judge(made, severity, made.goes_by_kind(), on_tensors, on_models)
    except ValueError as error:
        raise PolicyError(f"{where}: {error}.") from error
    except Exception as error:
        kind = type(error).__name__
        raise RuleError(f"{where}: {rule.code} cannot be made ({kind}: {error}).") from error
