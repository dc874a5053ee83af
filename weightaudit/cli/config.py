"""`weightaudit config`: what is in force and where each value comes from, and the schema of a policy."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

from dataclasses import replace
from typing import Annotated

import typer

from weightaudit.cli.options import FailOn, Ignore, Select
from weightaudit.cli.selection import Modules, PolicyFile

Level = Annotated[FailOn | None, typer.Option("--fail-on", help="As of `weightaudit check`.")]

config = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show the policy in force, or the schema.",
)


@config.command()
def show(
    *,
    policy: PolicyFile = None,
    select: Select = None,
    ignore: Ignore = None,
    plugin: Modules = None,
    fail_on: Level = None,
) -> None:
    """Show what is in force, each value with where it comes from.

    The output is itself a policy: what is told beside the values stands in comments.
    """
    from weightaudit.cli.output import write_stdout
    from weightaudit.cli.selection import adjusted, load, policy_path, split
    from weightaudit.policy.showing import show_policy

    in_force, registry = load(policy, plugin)
    chosen = adjusted(in_force, registry, select=select, ignore=ignore, fail_on=fail_on)
    modules = dict.fromkeys((*in_force.plugins, *split(plugin, "--plugin")))
    chosen = replace(chosen, plugins=tuple(modules))
    given = [key for key, value in (("select", select), ("fail-on", fail_on)) if value is not None]
    write_stdout(show_policy(chosen, in_force, registry, policy_path(policy), given))


@config.command()
def schema(*, policy: PolicyFile = None, plugin: Modules = None) -> None:
    """Print the JSON schema (draft-07) of policies, with the options of every installed rule.

    Editors that know TOML schemas complete and check a weightaudit.toml by it. Rules of the plugins
    that the policy in force names are in it, too.
    """
    from weightaudit.cli.output import write_stdout
    from weightaudit.cli.selection import load
    from weightaudit.policy.schema import policy_schema
    from weightaudit.projections.catalogue import load_projections
    from weightaudit.render.plain import json_text

    _, registry = load(policy, plugin)
    write_stdout(json_text(policy_schema(registry.rules, load_projections(registry.plugins))))
