"""`weightaudit explain`: the page of one rule."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

from typing import Annotated

import typer

from weightaudit.cli.selection import Modules, PolicyFile, load
from weightaudit.errors import UsageError


def explain(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Code or name, such as WA101 or nan-values.")],
    *,
    policy: PolicyFile = None,
    plugin: Modules = None,
) -> None:
    """Explain one rule: why it matters, what is normal, how to mend it, options and examples."""
    from weightaudit.cli.output import write_stdout
    from weightaudit.cli.pages import rule_page

    _, registry = load(policy, plugin)
    found = registry.find(rule)
    if found is None:
        raise UsageError(f"There is no rule {rule!r}{registry.suggestion(rule)}; see `weightaudit rules`.")
    write_stdout(rule_page(found))
