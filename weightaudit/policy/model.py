"""What a policy says, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from weightaudit.rule import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from weightaudit.tensor import Role


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What a policy says about one rule.

    Attributes:
        options: Values by option name (snake_case), as written; the registry checks them.
        severity: Severity of every finding of the rule; None leaves it to the rule.
        where: File, line and table, for messages; empty where no file says it.
    """

    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    severity: Severity | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Override:
    """Other settings for some tensors: those that match one entry of each selector that is not empty.

    Attributes:
        tensors: Globs over the whole tensor name; ``*`` also matches ``/``.
        roles: Roles.
        layer_classes: Globs over the Keras class name, as in the options of rules.
        ignore: Codes, prefixes or names of rules that leave these tensors alone.
        rules: Settings by code or name of the rule, on top of the policy's own.
        where: File, line and table, for messages.
    """

    tensors: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    layer_classes: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    rules: Mapping[str, RuleSettings] = field(default_factory=dict[str, RuleSettings])
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class RepairSettings:
    """Projections that `weightaudit repair` applies, and to which tensors.

    Attributes:
        project: Projections as in ``--project``, such as ``max_norm(2, axis=0)``.
        tensors: Globs over the whole tensor name.
        roles: Roles.
        layer_classes: Globs over the Keras class name.
        first: Whether only the first layer that has such tensors is meant.
        where: File, line and table, for messages.
    """

    project: tuple[str, ...]
    tensors: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    layer_classes: tuple[str, ...] = ()
    first: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Suppression:
    """Findings that do not count, because someone decided so and says why.

    Attributes:
        rule: Code or name of the rule.
        reason: Why its findings do not count; never blank.
        tensors: Globs over the whole tensor name; empty for every finding, also those about the model.
        models: Globs over the model's path in reports, or over the last parts of it; empty for all models.
            ``*`` stays within one part, ``**`` stands for any number of them.
        expires: The last day, in UTC, on which it holds; None for ever.
        where: File, line and table, for messages.
    """

    rule: str
    reason: str
    tensors: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    expires: date | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """A tensor that the policy must pass, or must fail.

    Attributes:
        tensor: What the tensor is and holds, as written; `weightaudit.policy.trials` makes it.
        must: What is expected of the gate.
        rules: Codes or names of the rules that are asked; empty for all that judge.
        level: Findings of this severity or worse fail; None for the policy's ``fail-on``.
        title: What it shows, for the report.
        beside: Further tensors of the same model, for rules that compare tensors.
        where: File, line and table, for messages.
    """

    tensor: Mapping[str, Any]
    must: Literal["pass", "fail"]
    rules: tuple[str, ...] = ()
    level: Severity | None = None
    title: str = ""
    beside: tuple[Mapping[str, Any], ...] = ()
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """What to judge, how strictly, and what fails the gate.

    Attributes:
        select: Codes, prefixes or names of the rules that judge; ``ALL`` for every rule.
        ignore: Codes, prefixes or names of the rules that do not.
        plugins: Modules with further rules.
        fail_on: Findings of this severity or worse fail the gate; None: findings never do.
        rules: Settings by code or name of the rule, on top of those of `inherited`.
        overrides: Other settings for some tensors; a later one wins over an earlier one.
        repairs: What `weightaudit repair` does beside mending findings.
        suppressions: Findings that do not count.
        tests: Examples that `weightaudit policy test` tries; those of extended policies are not among them.
        inherited: The policies that this one extends, each as its own file says it, the most basic first.
            Everything but their `rules` and `tests` is in this policy already.
        source: File that the policy was read from, for messages; empty for the default policy.
    """

    select: tuple[str, ...] = ("ALL",)
    ignore: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    fail_on: Severity | None = Severity.ERROR
    rules: Mapping[str, RuleSettings] = field(default_factory=dict[str, RuleSettings])
    overrides: tuple[Override, ...] = ()
    repairs: tuple[RepairSettings, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    tests: tuple[PolicyTest, ...] = ()
    inherited: tuple[Policy, ...] = ()
    source: str = ""

    @property
    def prefix(self) -> str:
        """Beginning of a message about this policy: the file and a colon, if there is a file."""
        return f"{self.source}: " if self.source else ""


def policy_digest(policy: Policy) -> str:
    """Return the SHA-256 of what a policy says, wherever it is written down and in whatever order."""
    return _digest({**_judging(policy), "fail_on": policy.fail_on, "repairs": policy.repairs})


def judging_digest(policy: Policy) -> str:
    """Return the SHA-256 of what decides which findings there are: rules and their options, and no more."""
    said = _judging(policy)
    del said["suppressions"]
    return _digest(said)


def _judging(policy: Policy) -> dict[str, Any]:
    return {
        "select": policy.select,
        "ignore": policy.ignore,
        "plugins": policy.plugins,
        "rules": [one.rules for one in (*policy.inherited, policy) if one.rules],
        "overrides": policy.overrides,
        "suppressions": policy.suppressions,
    }


def _digest(said: Mapping[str, Any]) -> str:
    import hashlib
    import json

    text = json.dumps(said, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    from dataclasses import fields, is_dataclass

    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value) if one.name != "where"}
    return str(value)
