"""`weightaudit versions`, run as users do."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import jsonschema
import pytest

from tests.cli.conftest import CommandLine, environment
from tests.cli.stored import copied, documents
from tests.cli.test_start import loaded
from weightaudit import open_checkpoint
from weightaudit.catalog import Extent
from weightaudit.versions.record_json import schema

if TYPE_CHECKING:
    from pathlib import Path

LIST = ("versions", "list")


@pytest.fixture(scope="module")
def kept(fixtures_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line in a directory with a model that has one version; for what changes nothing."""
    cli = CommandLine(tmp_path_factory.mktemp("kept"))
    (cli.cwd / "models").mkdir()
    copied(fixtures_dir / "healthy.keras", cli.cwd / "models" / "m.keras")
    assert cli("commit", "models/m.keras", "-m", "first").code == 0
    return cli


def flip(path: Path, offset: int) -> None:
    """Change one bit of a file."""
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def kernel(path: Path) -> tuple[str, int]:
    """Return a tensor of a model, and where its bytes are in the file."""
    with open_checkpoint(path) as checkpoint:
        info = next(one for one in checkpoint if one.name.endswith("kernel"))
        storage = checkpoint.entry(info).storage
        assert isinstance(storage, Extent)
        return info.name, storage.offset


def two(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """Commit a model, then another one in its place."""
    assert cli("commit", "models/m.keras", "-m", "first").code == 0
    shutil.copy(fixtures_dir / "nan.keras", model)
    assert cli("commit", "models/m.keras", "-m", "with NaN", "--author", "Ada").code == 0


def test_list(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """One line per version, oldest first, of one model or of all."""
    two(cli, model, fixtures_dir)
    cli("commit", fixtures_dir / "exported", "-m", "exported", "--store", "models/.weightaudit")
    cli("versions", "tag", "models/m.keras@1", "production")
    lines = cli(*LIST, "--store", "models/.weightaudit").out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "models/exported@1",
        "models/m.keras@1",
        "models/m.keras@2",
    ]
    assert lines[1].endswith(", tagged production: first")
    assert lines[2].endswith(", 29.9 kB, from 1, by Ada: with NaN")
    assert cli(*LIST, "models/m.keras").out.splitlines() == lines[1:]
    assert cli(*LIST, "models/").out.splitlines() == lines
    found = documents(cli(*LIST, "models/m.keras", "--format", "json").out)
    assert [one["address"] for one in found] == ["models/m.keras@1", "models/m.keras@2"]
    assert found[0]["tags"] == ["production"]
    assert (found[1]["parent"], found[1]["parent_is_there"], found[1]["bytes"]) == (1, True, 29925)


def test_a_checkpoint_by_its_directory(cli: CommandLine, fixtures_dir: Path) -> None:
    """What is committed by the name of its directory is found by that name, and every address can be used."""
    shutil.copytree(fixtures_dir / "checkpoint", cli.cwd / "run")
    made = cli("commit", "run", "-m", "first")
    address = made.out.partition(": ")[0]
    assert address == "run/ckpt-1@1", made
    assert cli(*LIST, "run").out == made.out
    for text in (address, "run@1", "run@latest", "run/@1"):
        assert cli("versions", "verify", text).out == f"{address}: intact\n"
        assert cli("check", text).out.startswith(f"{address}: 14 of 14 tensors"), text


def test_a_version_is_a_model_to_check(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """A check takes versions beside files, and says which one is not there."""
    two(cli, model, fixtures_dir)
    done = cli("check", "models/m.keras@1", "models/m.keras@2", "models/m.keras")
    assert done.code == 1
    assert "models/m.keras@2: dense/hidden/kernel: error WA101" in done.out
    assert "in 3 models" in done.out
    assert "There is no version m.keras@7" in cli("check", "models/m.keras@7").err
    assert "nowhere/m.keras@7 does not exist" in cli("check", "nowhere/m.keras@7").err


def test_what_is_on_the_disk_is_no_address(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """Beside a store, files, checkpoints and globs with an @ in their names are still what they were."""
    two(cli, model, fixtures_dir)
    shutil.copy(fixtures_dir / "nan.keras", model.parent / "m.keras@1")
    for path in (fixtures_dir / "checkpoint").glob("ckpt-1.*"):
        shutil.copy(path, model.parent / path.name.replace("ckpt-1", "best@1"))
    assert "error WA101" in cli("check", "models/m.keras@1").out
    for text in ("models/best@1", "models/best@*.index"):
        assert "models/best@1: 14 of 14 tensors" in cli("check", text).out, text


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("text", ["models/m.keras@", "models/@"])
def test_a_version_without_a_name_is_refused(cli: CommandLine, text: str) -> None:
    """A variable that is not set, as in ``m.keras@$TAG``, never stands for the newest version in a gate."""
    assert cli("commit", "models/m.keras", "-m", "first").code == 0
    for command in (("check", text), ("inspect", text), ("check", "models/m.keras", "--reference", text)):
        result = cli(*command)
        assert (result.code, result.out) == (2, "")
        assert f"{text} names no version; write {text}latest" in result.err


def test_list_on_a_terminal(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """A person sees a table; what a record says is shown, never obeyed as markup."""
    two(cli, model, fixtures_dir)
    cli("commit", "models/m.keras", "-m", "[red]loud[/red] \x1b[31m", "--always")
    text = on_terminal(cli, 120)
    assert "version" in text.splitlines()[0]
    assert "[red]loud[/red] \\x1b[31m" in text


def test_list_on_a_narrow_terminal(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """A table that does not fit is none: no address, time or size is cut off."""
    two(cli, model, fixtures_dir)
    assert on_terminal(cli, 40).replace("\r\n", "\n") == cli(*LIST, "models/").out


def on_terminal(cli: CommandLine, columns: int) -> str:
    """Return what `versions list` shows on a terminal of that width."""
    leader, follower = pty.openpty()
    with os.fdopen(leader, "rb", closefd=True) as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "weightaudit", *LIST, "models/"],
            cwd=cli.cwd,
            env=environment({"COLUMNS": str(columns), "TERM": "xterm"}),
            stdout=follower,
        )
        os.close(follower)
        seen = b""
        try:
            while piece := stream.read(1):
                seen += piece
        except OSError:  # how the end of a pseudo-terminal is told
            pass
        assert process.wait() == 0
    return seen.decode()


def test_show(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """One line per fact of a version; the whole record for programs."""
    two(cli, model, fixtures_dir)
    shown = cli("versions", "show", "models/m.keras@2").out
    assert all(line.startswith("models/m.keras@2: ") for line in shown.splitlines())
    for fact in (
        "path: models/.weightaudit/m.keras/2/m.keras",
        "container: Keras archive",
        "author: Ada",
        "parent: 1\n",
        "file m.keras: 29925 bytes, sha256 ",
        "tensors: 14, of which 0 were changed",
    ):
        assert f"models/m.keras@2: {fact}" in shown
    document = documents(cli("versions", "show", "models/@1", "--format", "json").out)
    jsonschema.Draft202012Validator(schema()).validate(document["record"])
    assert len(document["record"]["tensors"]) == 28


def test_a_removed_parent_is_told(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """After pruning, list and show say that the parent is gone."""
    two(cli, model, fixtures_dir)
    tried = cli("versions", "prune", "models/m.keras", "--keep", "1", "--dry-run")
    assert (tried.code, tried.out) == (0, "models/m.keras@1: would be removed\n")
    done = cli("versions", "prune", "models/m.keras", "--keep", "1")
    assert (done.code, done.out) == (0, "models/m.keras@1: removed\n")
    again = cli("versions", "prune", "models/m.keras", "--keep", "1")
    assert (again.code, again.out, again.err) == (0, "", "weightaudit: there is nothing to remove.\n")
    assert ", from 1 (removed), by Ada" in cli(*LIST, "models/").out
    assert "parent: 1 (removed)\n" in cli("versions", "show", "models/").out
    missing = cli("versions", "diff", "models/")
    assert missing.code == 3
    assert "There is no version m.keras@1" in missing.err


def test_verify(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """Intact versions are exit code 0; a flipped bit is 3, with file and tensor on stdout."""
    two(cli, model, fixtures_dir)
    store = ("--store", "models/.weightaudit")
    good = cli("versions", "verify", *store)
    assert (good.code, good.out) == (0, "models/m.keras@1: intact\nmodels/m.keras@2: intact\n")
    path = model.parent / ".weightaudit" / "m.keras" / "2" / "m.keras"
    name, offset = kernel(path)
    flip(path, offset)
    bad = cli("versions", "verify", *store)
    assert bad.code == 3
    assert bad.out.splitlines()[1:] == [
        "models/m.keras@2: file m.keras differs",
        f"models/m.keras@2: tensor {name} differs",
    ]
    assert cli("versions", "verify", "m.keras@1", *store).code == 0
    one, other = documents(cli("versions", "verify", "@1", "m.keras", *store, "--format", "json").out)
    assert (one["intact"], other["intact"]) == (True, False)
    assert other["damage"][1] == {"what": "tensor", "name": name, "how": "differs"}


def test_a_damaged_record(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """A version whose record is damaged is listed as such, and the exit code says that all is not well."""
    two(cli, model, fixtures_dir)
    flip(model.parent / ".weightaudit" / "m.keras" / "1" / "weightaudit.json", 0)
    listed = cli(*LIST, "models/")
    assert listed.code == 3
    assert listed.out.splitlines()[0].startswith(
        "models/m.keras@1: damaged: The record weightaudit.json of m.keras@1"
    )
    assert listed.out.splitlines()[1].startswith("models/m.keras@2: 20")
    assert documents(cli(*LIST, "models/", "--format", "json").out)[0]["damage"]
    for command in (("show",), ("restore",), ("tag",)):
        rest = {"restore": ("x.keras",), "tag": ("t",)}.get(command[0], ())
        result = cli("versions", *command, "models/@1", *rest)
        assert (result.code, result.out) == (3, "")
        assert "The record weightaudit.json of m.keras@1" in result.err
    assert cli("versions", "verify", "models/@1").code == 3


def test_restore(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """A version replaces what is there, which becomes a version if it is none yet."""
    two(cli, model, fixtures_dir)
    done = cli("versions", "restore", "models/m.keras@1", "models/m.keras")
    assert (done.code, done.out) == (0, "models/m.keras@1: restored to models/m.keras\n")
    assert done.err == "weightaudit: what was there is models/m.keras@2.\n"
    assert model.read_bytes() == (fixtures_dir / "healthy.keras").read_bytes()
    flip(model, kernel(model)[1])
    before = model.read_bytes()
    third = cli("versions", "restore", "models/@2", "models/m.keras", "--author", "Grace")
    assert (third.code, third.err) == (0, "weightaudit: what was there is models/m.keras@3.\n")
    assert model.read_bytes() == (fixtures_dir / "nan.keras").read_bytes()
    assert (
        cli(*LIST, "models/")
        .out.splitlines()[2]
        .endswith("by Grace: what was there before m.keras@2 was restored")
    )
    cli("versions", "restore", "models/@3", "models/new.keras")
    assert (model.parent / "new.keras").read_bytes() == before
    refused = cli("versions", "restore", "models/@3", "")
    assert (refused.code, refused.out) == (2, "")


def test_tags(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """A tag is given, moved on request, taken away, and keeps its version from being pruned."""
    two(cli, model, fixtures_dir)
    assert cli("versions", "tag", "models/@1", "prod").out == "models/m.keras@1: tagged prod\n"
    assert cli("versions", "show", "models/m.keras@prod").out.startswith("models/m.keras@1: ")
    taken = cli("versions", "tag", "models/@2", "prod")
    assert taken.code == 2
    assert "m.keras@1 has the tag prod" in taken.err
    assert cli("versions", "prune", "models/m.keras", "--version", "1").code == 2
    assert cli("versions", "tag", "models/@2", "prod", "--move").code == 0
    assert (
        cli("versions", "tag", "models/", "prod", "--delete").out
        == "models/m.keras@2: no longer tagged prod\n"
    )
    assert cli("versions", "tag", "models/", "prod", "--delete").code == 3
    assert cli("versions", "prune", "models/m.keras", "--version", "1").out == "models/m.keras@1: removed\n"


def test_diff(cli: CommandLine, model: Path, fixtures_dir: Path) -> None:
    """Two versions are compared as two files are; one alone with its parent."""
    shutil.copy(fixtures_dir / "nan.keras", model)
    cli("commit", "models/m.keras", "-m", "first")
    flip(model, model.stat().st_size // 2)
    cli("commit", "models/m.keras", "-m", "second", "--always")
    store = ("--store", "models/.weightaudit")
    by_path = cli("diff", *(f"models/.weightaudit/m.keras/{number}/m.keras" for number in (1, 2)))
    by_parent = cli("versions", "diff", "models/m.keras@2")
    by_address = cli("versions", "diff", "@1", "@2", *store)
    assert by_path.code == by_parent.code == by_address.code
    assert by_path.out == by_parent.out == by_address.out
    same = cli("versions", "diff", "@1", "@1", *store, "--format", "json")
    assert same.code == 0
    assert documents(same.out)
    no_parent = cli("versions", "diff", "@1", *store)
    assert no_parent.code == 2
    assert "models/m.keras@1 has no parent" in no_parent.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("list",), 3, "There is no version store at .weightaudit"),
        (("list", "--store", ""), 2, "--store is empty"),
        (("list", "models/other"), 3, "has no model other; those it has: m.keras"),
        (("show", "models/m.keras@7"), 3, "There is no version m.keras@7"),
        (("show", "models/m.keras@prod"), 3, "No version of m.keras has the tag prod"),
        (("show", "models/../models/..@1"), 2, "cannot be the name of a model"),
        (("prune", "models/m.keras"), 2, "Say what to prune"),
        (("prune", "models/m.keras", "--keep", "0"), 2, "At least one"),
        (("prune", "models/m.keras", "--older-than", "nan"), 2, "no number of days"),
        (("prune", "models/m.keras", "--older-than", "1e300"), 2, "no number of days"),
        (("tag", "models/m.keras@1", "latest"), 2, "cannot be a tag"),
        (("restore", "models/@1", "models/.weightaudit/x"), 2, "lies in a version store"),
        (("restore", "models/@1", "no/such/place"), 3, "no directory"),
        (("restore", "models/@1", "models"), 2, "is in the way"),
    ],
)
def test_wrong_requests(kept: CommandLine, arguments: tuple[str, ...], code: int, words: str) -> None:
    """Each wrong request is one sentence on stderr, nothing on stdout, and the exit code that fits."""
    result = kept("versions", *arguments)
    assert (result.code, result.out) == (code, "")
    assert words in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.usefixtures("model")
def test_what_people_wrote_is_harmless(cli: CommandLine) -> None:
    """Names and messages cannot act on a terminal, or on the log of a CI service."""
    nasty = "\x1b[31m##[error]\u202e::warning::\r"
    name = "m\x1b]0;x\x07.keras"
    cli("commit", "models/m.keras", "-m", nasty, "--author", nasty, "--name", name)
    for command in (("list", "models/"), ("show", "models/"), ("verify", "--store", "models/.weightaudit")):
        for output in ("text", "json"):
            result = cli("versions", *command, "--format", output)
            assert result.code == 0
            assert not set(result.out) & set("\x1b\x07\r\u202e")
            assert "##" not in result.out
    assert not set(cli("versions", "show", "models/@9").err) & set("\x1b\x07")


def test_help_names_the_commands(cli: CommandLine) -> None:
    """The help of the group says what an address is, and names every command."""
    result = cli("versions", "--help")
    assert result.code == 0
    for word in ("list", "show", "diff", "verify", "sign", "restore", "tag", "prune", "NAME@3"):
        assert word in result.out
    assert "commit" in cli("--help").out
    assert "versions" in cli("--help").out


def test_a_list_loads_nothing_heavy(kept: CommandLine) -> None:
    """Neither help nor a list needs a reader of models, let alone TensorFlow."""
    heavy = {"h5py", "rich", "tensorflow", "keras"}
    assert not loaded(kept.cwd, "versions", "--help") & {*heavy, "numpy"}
    assert not loaded(kept.cwd, "commit", "--help") & {*heavy, "numpy"}
    assert not loaded(kept.cwd, "versions", "list", "models/") & heavy
    assert not loaded(kept.cwd, "commit", "models/m.keras", "-m", "again") & heavy
