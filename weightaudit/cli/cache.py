"""`weightaudit cache`: where statistics of unchanged models are kept, and how to be rid of them."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weightaudit.cache import Store

VARIABLE = "WEIGHTAUDIT_CACHE"

cache = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "Show or clear what earlier checks measured.\n\n`weightaudit check` keeps the statistics of models, "
        "so that a second check of unchanged files reads no weights; with --no-cache it does without."
    ),
    epilog=f"{VARIABLE} names another directory; if it is empty, nothing is kept.",
)


def directory(environment: "Mapping[str, str]", platform: str = sys.platform) -> Path | None:
    """Return where statistics are kept, None for nowhere.

    Args:
        environment: Environment variables.
        platform: Name of the platform, as in ``sys.platform``.
    """
    if VARIABLE in environment:
        own = environment[VARIABLE]
        return Path(own).absolute() if own else None
    base = environment.get("XDG_CACHE_HOME", "")
    # The specification says that relative paths are to be ignored.
    if Path(base).is_absolute():
        return Path(base, "weightaudit")
    home = environment.get("HOME", "")
    if not Path(home).is_absolute():
        return None
    return Path(home, "Library/Caches" if platform == "darwin" else ".cache", "weightaudit")


def store() -> "Store | None":
    """Return the store of the environment, None if nothing is to be kept."""
    from weightaudit.cache import Store

    place = directory(os.environ)
    return Store(place) if place else None


@cache.command()
def show() -> None:
    """Show where statistics are kept, of how many models, and their size."""
    from weightaudit.cli.output import write_stdout
    from weightaudit.render.summary import plural, size

    kept = store()
    if kept is None:
        write_stdout(_OFF)
        return
    held = kept.contents()
    limit = size(kept.max_bytes)
    write_stdout(f"{kept.directory}: {plural(held.count, 'model')}, {size(held.nbytes)} of at most {limit}\n")


@cache.command()
def clear() -> None:
    """Remove the statistics of all models."""
    from weightaudit.cli.output import write_stdout
    from weightaudit.render.summary import plural, size

    kept = store()
    if kept is None:
        write_stdout(_OFF)
        return
    gone = kept.clear()
    write_stdout(f"{kept.directory}: {plural(gone.count, 'model')}, {size(gone.nbytes)} removed\n")


_OFF = f"Nothing is kept: {VARIABLE} is empty, or there is no home directory.\n"
