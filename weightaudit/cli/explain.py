"""`weightaudit explain`: the page of one rule, or of one projection."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

from typing import Annotated

import typer

from weightaudit.cli import completing
from weightaudit.cli.selection import Modules, PolicyFile, load, split
from weightaudit.errors import UsageError


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Rule or projection, such as WA101, nan-values or max_norm.",
            autocompletion=completing.pages,
        ),
    ],
    *,
    policy: PolicyFile = None,
    plugin: Modules = None,
) -> None:
    """Explain one rule, or one projection.

    The page of a rule says why it matters, what is normal and how to mend what it finds, and has
    its options and examples; that of a projection, what it does, and its parameters.
    """
    from weightaudit.cli.output import terminal_width, write_stdout
    from weightaudit.cli.pages import PAGE_WIDTH, projection_page, rule_page
    from weightaudit.projections import load_projections

    in_force, registry = load(policy, plugin)
    width = terminal_width() or PAGE_WIDTH
    rule = registry.find(name)
    if rule is not None:
        write_stdout(rule_page(rule, width))
        return
    projections = load_projections((*in_force.plugins, *split(plugin, "--plugin")))
    if name not in projections:
        hint = registry.suggestion(name, projections)
        raise UsageError(
            f"There is no rule and no projection {name!r}{hint}; see `weightaudit rules`; projections are "
            f"{', '.join(projections)}."
        )
    write_stdout(projection_page(projections[name], width))
