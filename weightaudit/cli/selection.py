"""What the commands share: the policy in force, and the rules that it can choose from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weightaudit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.baseline import Baseline
    from weightaudit.policy import Policy
    from weightaudit.registry import Registry

PolicyFile = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="Policy to use, not the nearest weightaudit.toml or [tool.weightaudit] upward.",
    ),
]
Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin", metavar="MODULE", help="Module with further rules or projections; may be given again."
    ),
]


def load(policy_file: str | None, plugins: Sequence[str] | None) -> tuple[Policy, Registry]:
    """Return the policy in force and every rule that is installed or named as a plugin.

    Raises:
        UsageError: An option is empty.
        PolicyError: The policy cannot be read or says something that is not understood.
        RuleError: A rule cannot be loaded.
    """
    from weightaudit.policy import Policy, read_policy
    from weightaudit.registry import load_registry

    path = policy_path(policy_file)
    policy = Policy() if path is None else read_policy(path)
    modules = dict.fromkeys((*policy.plugins, *split(plugins, "--plugin")))
    return policy, load_registry(list(modules))


def policy_path(policy_file: str | None) -> Path | None:
    """Return the file of the policy in force, None for the default policy.

    Raises:
        UsageError: The option is empty.
        PolicyError: A file on the way upward cannot be read.
    """
    from weightaudit.policy import locate_policy

    if policy_file == "":
        raise UsageError("--policy is empty; name a file.")
    return locate_policy(Path.cwd()) if policy_file is None else Path(policy_file)


def known_findings(baseline: str | None) -> Baseline | None:
    """Return the baseline that ``--baseline`` names, None where it is not given.

    Raises:
        UsageError: It is empty, or no baseline.
    """
    if baseline is None:
        return None
    if not baseline:
        raise UsageError("--baseline is empty; name a file.")
    from weightaudit.baseline import read_baseline

    return read_baseline(baseline)


def adjusted(
    policy: Policy,
    registry: Registry,
    *,
    select: Sequence[str] | None,
    ignore: Sequence[str] | None,
    fail_on: str | None,
) -> Policy:
    """Return the policy with what the command line says: it selects anew, and ignores in addition.

    Raises:
        PolicyError: The command line names a rule that does not exist.
    """
    from weightaudit.policy import parse_fail_on

    changes: dict[str, Any] = {}
    if select is not None:
        changes["select"] = split(select, "--select")
        registry.expand(changes["select"], "--select")
    if ignore is not None:
        ignored = split(ignore, "--ignore")
        registry.expand(ignored, "--ignore")
        changes["ignore"] = tuple(dict.fromkeys((*policy.ignore, *ignored)))
    if fail_on is not None:
        changes["fail_on"] = parse_fail_on(fail_on, "--fail-on")
    return replace(policy, **changes)


def split(values: Sequence[str] | None, option: str) -> tuple[str, ...]:
    """Return the words of an option that takes several, separated by commas or given again.

    Raises:
        UsageError: It was given without any word, as a variable is that was not set.
    """
    result: list[str] = []
    for value in values or ():
        words = [word for item in value.split(",") if (word := item.strip())]
        if not words:
            raise UsageError(f"{option} is empty; leave it out, or name something.")
        result += words
    return tuple(result)
