"""`weightaudit versions sign` and `verify --public-key`, run as users do, and beside model-signing itself."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import CommandLine, environment
from tests.cli.test_start import loaded
from tests.versions.conftest import copied, flip
from tests.versions.keys import needs_signing, write_pair

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "m.keras@1"
WITHOUT = """
import sys
sys.modules["{name}"] = None
from weightaudit.__main__ import main
sys.exit(main())
"""
"""A program in which a package cannot be imported, as where it is not installed."""


@pytest.fixture
def kept(cli: CommandLine, fixtures_dir: Path) -> CommandLine:
    """The command line in a directory with two versions of a model, and keys."""
    for source, message in (("healthy.keras", "first"), ("nan.keras", "second")):
        copied(fixtures_dir / source, cli.cwd / "m.keras")
        assert cli("commit", "m.keras", "-m", message).code == 0
    write_pair(cli.cwd, "key")
    write_pair(cli.cwd, "other")
    return cli


def tool(folder: Path, *arguments: str) -> str:
    """Run model-signing's own command line, and return what it said."""
    command = [sys.executable, "-m", "model_signing", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment({}), capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout + done.stderr


def written(kept: CommandLine, *arguments: str) -> Any:
    """Return what a command writes as JSON."""
    return json.loads(kept("versions", *arguments, "--format", "json").out)


@needs_signing
def test_sign_and_verify(kept: CommandLine) -> None:
    """A signed version is told from one that is not: by its list, its facts, and with the key."""
    done = kept("versions", "sign", ADDRESS, "--key", "key.pem")
    assert (done.code, done.out, done.err) == (0, "m.keras@1: signed\n", "")
    again = kept("versions", "sign", ADDRESS, "--key", "key.pem")
    assert (again.code, again.out) == (0, done.out)
    assert again.err == "weightaudit: this key has signed it already.\n"
    verified = kept("versions", "verify", ADDRESS, "--public-key", "key.pub")
    assert (verified.code, verified.out) == (0, "m.keras@1: intact, and signed by that key\n")
    everything = kept("versions", "verify", "--public-key", "key.pub")
    assert (everything.code, everything.out) == (
        3,
        "m.keras@1: intact, and signed by that key\nm.keras@2: signature 2.sig is missing\n",
    )
    assert kept("versions", "verify").code == 0
    assert [entry["signed"] for entry in written(kept, "list")] == [True, False]
    first, second = kept("versions", "list").out.splitlines()
    assert (", signed: first" in first, "signed" in second) == (True, False)
    assert "m.keras@1: signed: yes; " in kept("versions", "show", ADDRESS).out
    assert "signed: " not in kept("versions", "show", "m.keras@2").out


@needs_signing
def test_damage_as_json(kept: CommandLine) -> None:
    """For programs, a signature that is missing or wrong is damage as any other, and exit code 3."""
    kept("versions", "sign", ADDRESS, "--key", "other.pem")
    assert written(kept, "verify", "--public-key", "key.pub") == [
        {
            "address": f"m.keras@{number}",
            "intact": False,
            "damage": [{"what": "signature", "name": f"{number}.sig", "how": how}],
        }
        for number, how in ((1, "is by another key"), (2, "is missing"))
    ]


@needs_signing
def test_what_cannot_be_done(kept: CommandLine) -> None:
    """Each wrong request is one sentence on stderr, nothing on stdout, and the exit code that fits."""
    kept("versions", "sign", ADDRESS, "--key", "key.pem")
    flip(kept.cwd / ".weightaudit" / "m.keras" / "2" / "m.keras", 100)
    for arguments, code, words in (
        (("sign", ADDRESS), 2, "Missing option '--key'"),
        (("sign", ADDRESS, "--key", "key.pub"), 2, "key.pub holds a public key; give the private one"),
        (("sign", ADDRESS, "--key", "none.pem"), 2, "none.pem cannot be opened: No such file"),
        (("sign", ADDRESS, "--key", ""), 2, "is not a regular file"),
        (("sign", ADDRESS, "--key", "other.pem"), 2, "m.keras@1 has another signature; --force"),
        (("sign", "m.keras@2", "--key", "key.pem"), 3, "m.keras@2 is damaged, so it is not signed: file"),
        (("sign", "m.keras@7", "--key", "key.pem"), 3, "There is no version m.keras@7"),
        (("verify", "--public-key", "key.pem"), 2, "key.pem holds a private key; give the public one"),
        (("verify", "--public-key", "none.pub"), 2, "none.pub cannot be opened: No such file"),
    ):
        result = kept("versions", *arguments)
        assert (result.code, result.out) == (code, "")
        assert words in result.err
    forced = kept("versions", "sign", ADDRESS, "--key", "other.pem", "--force")
    assert (forced.code, forced.out) == (0, "m.keras@1: signed\n")


@needs_signing
def test_an_encrypted_key(kept: CommandLine) -> None:
    """The password is in the environment, and nowhere in what is said."""
    write_pair(kept.cwd, "secret", password=b"Tr0ub4dor")
    for password, code, words in (
        ("", 2, "secret.pem is encrypted; set the environment variable WEIGHTAUDIT_KEY_PASSWORD"),
        ("Tr0ub4", 2, "secret.pem cannot be decrypted with the password in WEIGHTAUDIT_KEY_PASSWORD"),
        ("Tr0ub4dor", 0, ""),
    ):
        environ = {"WEIGHTAUDIT_KEY_PASSWORD": password, "WEIGHTAUDIT_DEBUG": "1"}
        done = kept("versions", "sign", ADDRESS, "--key", "secret.pem", env=environ)
        assert done.code == code
        assert words in done.err
        assert not password or password not in done.out + done.err
    assert kept("versions", "verify", ADDRESS, "--public-key", "secret.pub").code == 0


@needs_signing
def test_model_signing_takes_ours(kept: CommandLine) -> None:
    """The tool's own command line verifies a version with our signature, until a bit of it flips."""
    kept("versions", "sign", ADDRESS, "--key", "key.pem")
    folder = kept.cwd / ".weightaudit" / "m.keras"
    words = ("verify", "key", "1", "--signature", "1.sig", "--public_key", "../../key.pub")
    assert "Verification succeeded" in tool(folder, *words)
    flip(folder / "1" / "weightaudit.json", 100)
    said = tool(folder, *words)
    assert "Verification failed" in said
    assert "weightaudit.json" in said


@needs_signing
def test_we_take_that_of_model_signing(kept: CommandLine) -> None:
    """A signature that the tool made in its place verifies, and is not made anew."""
    folder = kept.cwd / ".weightaudit" / "m.keras"
    words = ("sign", "key", "1", "--signature", "1.sig", "--private_key", "../../key.pem")
    assert "Signing succeeded" in tool(folder, *words)
    made = (folder / "1.sig").read_bytes()
    assert kept("versions", "verify", ADDRESS, "--public-key", "key.pub").code == 0
    assert "signed it already" in kept("versions", "sign", ADDRESS, "--key", "key.pem").err
    assert (folder / "1.sig").read_bytes() == made


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("model_signing", ("verify", "--public-key", "key.pub")),
        ("OpenSSL", ("sign", "@1", "--key", "key.pem")),
    ],
)
def test_without_the_packages(cli: CommandLine, name: str, arguments: tuple[str, ...]) -> None:
    """Where a package is missing, one sentence says what to install; nothing else is looked at."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(name=name), "versions", *arguments],
        cwd=cli.cwd,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "Signatures need packages that are not installed (" in done.stderr
    assert done.stderr.endswith("): pip install 'weightaudit[sign]'\n")


def test_nothing_is_loaded_without_a_key(cli: CommandLine, fixtures_dir: Path) -> None:
    """What neither signs nor verifies signatures does not import the package that does."""
    copied(fixtures_dir / "healthy.keras", cli.cwd / "m.keras")
    assert cli("commit", "m.keras", "-m", "first").code == 0
    for words in (("verify",), ("list",), ("prune", "--keep", "1")):
        assert not loaded(cli.cwd, "versions", *words) & {"model_signing", "cryptography", "sigstore"}
