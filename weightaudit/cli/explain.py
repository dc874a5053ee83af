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
    """Explain one rule: why it matters, and how to mend what it finds.

    The page also says what is normal, and has the rule's options and examples.
    """
    from weightaudit.cli.output import terminal_width, write_stdout
    from weightaudit.cli.pages import PAGE_WIDTH, rule_page

    _, registry = load(policy, plugin)
    found = registry.find(rule)
    if found is None:
        raise UsageError(f"There is no rule {rule!r}{registry.suggestion(rule)}; see `weightaudit rules`.")
    write_stdout(rule_page(found, terminal_width() or PAGE_WIDTH))
