"""The command line: parse, call the library, write, exit. One module per command."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (
    "check",
    "init",
    "rules",
    "explain",
    "inspect",
    "diff",
    "repair",
    "commit",
    "versions",
    "cache",
    "baseline",
    "config",
    "policy",
)
"""The commands, each in the module of its name, in the order in which the help lists them."""


def application(arguments: Sequence[str]) -> typer.Typer:
    """Return the command line that understands these arguments.

    Where the first one names a command, the others are neither imported nor built: all together
    they take 7 ms. Help and mistakes need all of them.

    Args:
        arguments: The command line's words, without the program's name.
    """
    named = [name for name in arguments[:1] if name in COMMANDS]
    app = typer.Typer(
        name="weightaudit",
        no_args_is_help=True,
        # Its two options stand before a command, so nothing is lost where there is one.
        add_completion=not named,
        # Help and errors in plain text: importing Rich for them would double the start-up time.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(main)
    for name in named or COMMANDS:
        command: Any = getattr(import_module(f"weightaudit.cli.{name}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command()(command)
    return app


def _show_version(asked: bool) -> None:  # noqa: FBT001 - Typer passes it by position
    if asked:
        from weightaudit.cli.output import write_stdout

        write_stdout(f"weightaudit {_version()}\n")
        raise typer.Exit


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("weightaudit")
    except PackageNotFoundError:
        return "(not installed)"


def main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Say whether the weights inside saved TensorFlow and Keras models are fit to ship, and mend them.

    Exit codes: 0 nothing that fails; 1 findings, or differences; 2 wrong usage or policy; 3 not
    done, or not to the end.
    """
    del version  # its callback has done everything


__all__ = ["application"]
