"""`weightaudit policy`: try the examples that a policy carries."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import typer

from weightaudit.cli.selection import Modules, PolicyFile
from weightaudit.errors import PolicyError

policy = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Try what a policy says.")


@policy.callback()
def group() -> None:
    """Try what a policy says."""


@policy.command("test")
def try_examples(*, policy: PolicyFile = None, plugin: Modules = None) -> None:
    """Try the examples under [[tests]] in the policy: tensors that it must pass, or must fail.

    Exit codes: 0 all are as they must be; 1 some are not; 2 the policy is wrong, or has no
    examples; 3 a rule crashed.
    """
    from weightaudit.cli.output import write_stdout
    from weightaudit.cli.selection import load
    from weightaudit.policy.trials import trials, trials_text

    in_force, registry = load(policy, plugin)
    if not in_force.tests:
        place = in_force.source or "the default policy"
        raise PolicyError(f"There is nothing to try: {place} has no [[tests]]; see docs/policy.md.")
    tried = trials(in_force, registry)
    write_stdout(trials_text(tried, in_force.source))
    raise typer.Exit(int(not all(one.is_right for one in tried)))
