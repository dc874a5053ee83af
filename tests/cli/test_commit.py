"""`weightaudit commit`, run as users do."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import jsonschema
import pytest

from tests.cli.stored import documents
from weightaudit.versions.record_json import schema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def test_commit_says_what_it_made(cli: CommandLine, model: Path) -> None:
    """The version is one line on stdout; that it was there already is said on stderr."""
    first = cli("commit", "models/m.keras", "-m", "first\nand more", "--author", "Ada")
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("models/m.keras@1: 20")
    assert first.out.endswith(", 40.4 kB, by Ada: first\n")
    assert (model.parent / ".weightaudit" / "m.keras" / "1" / "m.keras").read_bytes() == model.read_bytes()
    again = cli("commit", "models/m.keras", "-m", "again")
    assert (again.code, again.out) == (0, first.out)
    assert "models/m.keras@1 has these very files already" in again.err
    assert cli("commit", "models", "-m", "x", "--always").out.startswith("models/m.keras@2: ")


def test_commit_as_json(cli: CommandLine, model: Path) -> None:
    """For programs, the whole record, as its schema says."""
    options = ("--format", "json", "--name", "classifier", "--store", "versions")
    done = cli("commit", model, "-m", "first", *options)
    document = documents(done.out)
    jsonschema.Draft202012Validator(schema()).validate(document["record"])
    assert (document["address"], document["path"]) == ("classifier@1", "versions/classifier/1/m.keras")
    assert (cli.cwd / document["path"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing.keras", "-m", "x"), 2, "does not exist"),
        (("models/m.keras",), 2, "Missing option"),
        (("several", "-m", "x"), 2, "several holds 2 models; name one of them"),
        (("models/m.keras", "-m", "x", "--store", ""), 2, "--store is empty"),
        (("models/m.keras", "-m", "x", "--name", "a/b"), 2, "cannot be the name of a model"),
        (("models/m.keras", "-m", "x", "--store", "models"), 2, "has other content"),
        (("models/m.keras", "-m", "x", "--store", "no/such"), 3, "cannot be made"),
        (("broken.keras", "-m", "x"), 3, "broken.keras"),
    ],
)
def test_commit_refuses(
    cli: CommandLine, model: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """What cannot be stored is one sentence on stderr, and an exit code that says whose fault it is."""
    (cli.cwd / "broken.keras").write_bytes(b"PK\x03\x04")
    (cli.cwd / "several").mkdir()
    for name in ("a.keras", "b.keras"):
        shutil.copy(model, cli.cwd / "several" / name)
    result = cli("commit", *arguments)
    assert (result.code, result.out) == (code, "")
    assert words in result.err
    assert "Traceback" not in result.err
