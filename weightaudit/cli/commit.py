"""`weightaudit commit`: keep a saved model as a version, as it is."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weightaudit.cli.options import Format
from weightaudit.errors import UsageError

if TYPE_CHECKING:
    from weightaudit.discover import Target
    from weightaudit.versions.committing import Committed
    from weightaudit.versions.store import Store

StoreDirectory = Annotated[
    str | None,
    typer.Option("--store", metavar="DIR", help="Version store.  [default: .weightaudit beside the model]"),
]
Author = Annotated[
    str | None, typer.Option("--author", metavar="NAME", help="Who, for the record.  [default: user@host]")
]


Message = Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the record.")]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name in the store.  [default: that of the file]"),
]
Always = Annotated[
    bool, typer.Option("--always", help="Make a version even if the newest has these very files.")
]
Shape = Annotated[Format, typer.Option("--format", help="Format of what is told.")]


def commit(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The model, or the prefix of a checkpoint.")],
    *,
    message: Message,
    store: StoreDirectory = None,
    name: Name = None,
    author: Author = None,
    always: Always = False,
    output_format: Shape = Format.TEXT,
) -> None:
    """Keep a model as a new version.

    It is stored byte for byte; `weightaudit versions` shows and restores it. The version is read
    back and on the disk when this ends. Exit codes: 0 it is there; 2 wrong usage; 3 it is not, and
    nothing was changed.
    """
    for option, value in (("--store", store), ("--name", name)):
        if value == "":
            raise UsageError(f"{option} is empty; leave it out, or name something.")
    from weightaudit.checkpoint import open_checkpoint
    from weightaudit.storage.termination import terminable
    from weightaudit.versions.committing import commit as commit_model
    from weightaudit.versions.layout import default_store
    from weightaudit.versions.store import create_store
    from weightaudit.versions.who import current_user
    from weightaudit.writing.files import model_files

    with terminable(), open_checkpoint(only_target(path).path) as checkpoint:
        home = create_store(default_store(model_files(checkpoint)) if store is None else Path(store))
        who = author or current_user()
        made = commit_model(home, checkpoint, message=message, author=who, name=name, always=always)
    _tell(made, home, output_format)


def _tell(made: "Committed", home: "Store", output_format: Format) -> None:
    from weightaudit.cli.output import say, write_stdout
    from weightaudit.render.escape import printable
    from weightaudit.render.plain import json_text
    from weightaudit.render.versions import list_text, version_json
    from weightaudit.versions.survey import newcomer, survey_one

    if made.is_new:
        entry = newcomer(made.version)
    else:
        entry = survey_one(home, made.version.name, made.version.number)
        say(f"{printable(entry.address)} has these very files already, so no version was made.")
    write_stdout(json_text(version_json(entry)) if output_format is Format.JSON else list_text([entry]))


def only_target(path: str) -> "Target":
    """Return the one model that a path stands for.

    Raises:
        UsageError: There are several.
        WeightauditError: There is none.
    """
    from weightaudit.discover import discover

    targets = discover([path])
    if len(targets) != 1:
        raise UsageError(f"{path} holds {len(targets)} models; name one of them.")
    return targets[0]
