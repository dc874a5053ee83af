"""`weightaudit rules`: list every rule that is installed."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

from typing import Annotated

import typer

from weightaudit.cli.options import Format
from weightaudit.cli.selection import Modules, PolicyFile, load


def rules(
    *,
    policy: PolicyFile = None,
    plugin: Modules = None,
    output_format: Annotated[Format, typer.Option("--format", help="Format of the list.")] = Format.TEXT,
) -> None:
    """List the rules: code, name, severity and summary.

    A rule marked * needs options from a policy before it judges anything.
    """
    from weightaudit.cli.output import terminal_width, write_stdout
    from weightaudit.cli.pages import rules_json, rules_text

    _, registry = load(policy, plugin)
    as_json = output_format is Format.JSON
    write_stdout(rules_json(registry.rules) if as_json else rules_text(registry.rules, terminal_width()))
