"""`weightaudit versions`: what is in a version store, and getting it back."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weightaudit.cli.commit import Author
from weightaudit.cli.diff import Quiet, Tolerance, Verbose, WeightsOnly
from weightaudit.cli.options import Format, OutputFile
from weightaudit.cli.outputs import Formats
from weightaudit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from weightaudit.versions.store import Store
    from weightaudit.versions.survey import Entry
    from weightaudit.versions.verifying import Damage

versions = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show, verify and restore versions.\n\n`weightaudit commit` and `weightaudit repair` make them.",
    epilog=(
        "ADDRESS is NAME@3, NAME@TAG or NAME for the newest version; @3 where the store has one model; "
        "DIR/NAME@3, or DIR@3, for the default store in DIR."
    ),
)

_LONGEST = 1e6
"""Days that somebody may ask for."""

StoreDirectory = Annotated[
    str | None, typer.Option("--store", metavar="DIR", help="Version store.  [default: .weightaudit]")
]
Shape = Annotated[Format, typer.Option("--format", help="Format of the output.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Version, such as model.keras@3.")]


@versions.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this model.")] = None,
    *,
    store: StoreDirectory = None,
    output_format: Shape = Format.TEXT,
) -> None:
    """List versions, oldest first. Exit code 3 if the record of one is damaged."""
    from weightaudit.render.versions import list_json, list_text
    from weightaudit.versions.address import locate_models
    from weightaudit.versions.survey import survey

    home, names = locate_models(name, store)
    entries = survey(home, names)
    if output_format is Format.TEXT and sys.stdout.isatty():
        _print_list(entries)
    else:
        _write(output_format, list_text(entries), list_json(entries))
    raise typer.Exit(3 if any(entry.damage for entry in entries) else 0)


@versions.command()
def show(address: Address = "", *, store: StoreDirectory = None, output_format: Shape = Format.TEXT) -> None:
    """Show everything that is known about a version."""
    from weightaudit.render.versions import version_json, version_text
    from weightaudit.versions.address import locate
    from weightaudit.versions.survey import survey_one

    found = locate(address, store)
    entry = survey_one(found.store, found.name, found.version().number)
    _write(output_format, version_text(entry), version_json(entry))


@versions.command()
def diff(
    first: Address,
    second: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="The other version; by default, its parent.")
    ] = None,
    *,
    store: StoreDirectory = None,
    weights_only: WeightsOnly = False,
    tolerance: Tolerance = 0.0,
    formats: Formats = None,
    output: OutputFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compare two versions tensor by tensor, or one with the version that it was made from.

    Exit codes, as of diff: 0 equal, within --tolerance; 1 different; 2 wrong usage; 3 something
    could not be read.
    """
    from weightaudit.addressing import Model
    from weightaudit.cli.diff import KNOWN, Presentation, diff_models
    from weightaudit.cli.outputs import check_outputs, chosen_outputs
    from weightaudit.discover import Target
    from weightaudit.versions.address import locate
    from weightaudit.versions.version import refuse_links

    found = locate(first, store)
    one = found.version()
    if second is not None:
        old, new = one, locate(second, store).version()
    elif one.record.parent is None:
        raise UsageError(f"{one.address} has no parent; name the version to compare it with.")
    else:
        old, new = found.store.get(found.name, one.record.parent), one
    for version in (old, new):
        refuse_links(version)
    outputs = chosen_outputs(formats, output, KNOWN)
    check_outputs(outputs, [Target(version.path, version.address, explicit=True) for version in (old, new)])
    how = Presentation(outputs, quiet=quiet, verbose=verbose, color=True)
    code = diff_models(
        Model(old.path, old.address),
        Model(new.path, new.address),
        how,
        weights_only=weights_only,
        tolerance=tolerance,
    )
    raise typer.Exit(code)


@versions.command()
def verify(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ADDRESS...]", help="Versions.  [default: all]"),
    ] = None,
    *,
    store: StoreDirectory = None,
    public_key: Annotated[
        str | None,
        typer.Option("--public-key", metavar="PEM", help="Demand a signature by this key of each version."),
    ] = None,
    output_format: Shape = Format.TEXT,
) -> None:
    """Read versions again, and name every file and tensor that is not as its record says.

    Exit code 3 if there is any, or if a signature that --public-key demands is missing or wrong.
    """
    from weightaudit.render.versions import verified_json, verified_text
    from weightaudit.versions.address import locate, locate_models
    from weightaudit.versions.version import address_of

    verify_one = _verifier(public_key)
    if addresses:
        chosen = [
            (one.store, one.name, one.store.number(one.name, one.which))
            for one in (locate(text, store) for text in addresses)
        ]
    else:
        home, names = locate_models(None, store)
        chosen = [(home, name, number) for name in names for number in home.numbers(name)]
    results = {
        address_of(home.root, name, number): verify_one(home, name, number) for home, name, number in chosen
    }
    text = verified_text(results, signatures=public_key is not None)
    _write(output_format, text, verified_json(results))
    raise typer.Exit(3 if any(results.values()) else 0)


@versions.command()
def sign(
    address: Address,
    *,
    key: Annotated[str, typer.Option("--key", metavar="PEM", help="File with the private key.")],
    store: StoreDirectory = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another signature.")] = False,
) -> None:
    """Sign a version with a key of your own (OpenSSF model signing), once it is verified.

    Where the key is encrypted, WEIGHTAUDIT_KEY_PASSWORD holds its password.
    """
    from weightaudit.cli.output import say, write_stdout
    from weightaudit.render.escape import printable
    from weightaudit.storage.termination import terminable
    from weightaudit.versions.address import locate
    from weightaudit.versions.keys import PASSWORD_VARIABLE, load_private_key
    from weightaudit.versions.signing import sign as sign_version

    private = load_private_key(Path(key), os.environ.get(PASSWORD_VARIABLE))
    version = locate(address, store).version()
    with terminable():
        is_new = sign_version(version, private, force=force)
    if not is_new:
        say("this key has signed it already.")
    write_stdout(f"{printable(version.address)}: signed\n")


@versions.command()
def restore(
    address: Address,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Where to put it.")],
    *,
    store: StoreDirectory = None,
    author: Author = None,
) -> None:
    """Put a version at a path, whole or not at all.

    A model that is there already becomes a version first, unless one has its very files.
    """
    from weightaudit.cli.output import say, write_stdout
    from weightaudit.render.escape import MESSAGE_LIMIT, printable
    from weightaudit.storage.termination import terminable
    from weightaudit.versions.address import locate
    from weightaudit.versions.restoring import restore as restore_version
    from weightaudit.versions.who import current_user

    if not path:
        raise UsageError("PATH is empty; say where to put the version.")
    version = locate(address, store).version()
    with terminable():
        done = restore_version(version, Path(path), author=author or current_user())
    if done.replaced is not None:
        say(f"what was there is {printable(done.replaced.address)}.")
    write_stdout(f"{printable(version.address)}: restored to {printable(path, MESSAGE_LIMIT)}\n")


@versions.command()
def tag(
    address: Address,
    name: Annotated[str, typer.Argument(metavar="TAG", help="Letters, digits and . _ + -")],
    *,
    store: StoreDirectory = None,
    move: Annotated[bool, typer.Option("--move", help="Take it from another version that has it.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Take it away from the version.")] = False,
) -> None:
    """Give a tag to a version, or take one away. A version with a tag is never pruned."""
    from weightaudit.cli.output import write_stdout
    from weightaudit.render.escape import printable
    from weightaudit.storage.termination import terminable
    from weightaudit.versions.address import locate
    from weightaudit.versions.tagging import tag as tag_version
    from weightaudit.versions.tagging import untag
    from weightaudit.versions.version import address_of

    found = locate(address, store)
    if delete:
        with terminable():
            number = untag(found.store, found.name, name)
        gone = address_of(found.store.root, found.name, number)
        write_stdout(f"{printable(gone)}: no longer tagged {printable(name)}\n")
        return
    version = found.version()
    with terminable():
        tag_version(version, name, move=move)
    write_stdout(f"{printable(version.address)}: tagged {name}\n")


@versions.command()
def prune(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Model.")] = None,
    *,
    store: StoreDirectory = None,
    keep: Annotated[int | None, typer.Option("--keep", metavar="N", help="Keep the newest N.")] = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", metavar="DAYS", help="Remove only older ones.")
    ] = None,
    version: Annotated[
        list[int] | None, typer.Option("--version", metavar="N", help="Remove this one; may be given again.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove old versions, but never the newest, nor one that has a tag."""
    from datetime import timedelta

    from weightaudit.cli.output import say, write_stdout
    from weightaudit.render.escape import printable
    from weightaudit.storage.termination import terminable
    from weightaudit.versions.address import locate_models, only
    from weightaudit.versions.pruning import prune as prune_versions
    from weightaudit.versions.version import address_of

    home, names = locate_models(name, store)
    model = only(home, names)
    if older_than is not None and not 0 <= older_than <= _LONGEST:
        raise UsageError("--older-than is no number of days.")
    age = None if older_than is None else timedelta(days=older_than)
    with terminable():
        gone = prune_versions(home, model, keep=keep, older_than=age, numbers=version or (), dry_run=dry_run)
    what = "would be removed" if dry_run else "removed"
    write_stdout("".join(f"{printable(address_of(home.root, model, number))}: {what}\n" for number in gone))
    if not gone:
        say("there is nothing to remove.")


def _verifier(public_key: str | None) -> "Callable[[Store, str, int], tuple[Damage, ...]]":
    """Return what verifies a version, with its signature if there is a key."""
    if public_key is None:
        from weightaudit.versions.verifying import verify_number

        return verify_number
    from weightaudit.versions.keys import load_public_key
    from weightaudit.versions.signing import verify_signed

    return partial(verify_signed, key=load_public_key(Path(public_key)))


def _write(output_format: Format, text: str, document: Any) -> None:
    from weightaudit.cli.output import write_stdout
    from weightaudit.render.plain import json_text

    write_stdout(json_text(document) if output_format is Format.JSON else text)


def _print_list(entries: "Sequence[Entry]") -> None:
    from rich.console import Console

    from weightaudit.cli.output import write_stdout
    from weightaudit.render.versions import list_table, list_text

    console = Console(highlight=False)
    table = list_table(entries)
    if console.measure(table, options=console.options.update_width(sys.maxsize)).minimum > console.width:
        write_stdout(list_text(entries))  # a table that is cut off would lie about addresses
        return
    with console.capture() as capture:
        console.print(table)
    write_stdout(capture.get())
