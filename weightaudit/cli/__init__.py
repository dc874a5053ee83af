"""The command line: parse, call the library, write, exit. One module per command."""

from __future__ import annotations

from typing import Annotated

import typer

from weightaudit.cli.check import check
from weightaudit.cli.commit import commit
from weightaudit.cli.diff import diff
from weightaudit.cli.explain import explain
from weightaudit.cli.repair import repair
from weightaudit.cli.rules import rules
from weightaudit.cli.versions import versions

app = typer.Typer(
    name="weightaudit",
    no_args_is_help=True,
    add_completion=False,
    # Help and errors in plain text: importing Rich for them would double the start-up time.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(check)
app.command()(rules)
app.command()(explain)
app.command()(diff)
app.command()(repair)
app.command()(commit)
app.add_typer(versions, name="versions")


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


@app.callback()
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


__all__ = ["app"]
