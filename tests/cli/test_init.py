"""`weightaudit init`: the policy that it writes, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.sentences import assert_one_sentence

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def test_a_policy_is_written_and_in_force(run: CommandLine) -> None:
    """The policy lies where `check` looks for it, and the model passes; stdout stays empty."""
    result = run("init", "healthy.keras")
    assert result.code == 0, result
    assert result.out == ""
    assert "wrote weightaudit.toml from 1 model" in result.err
    text = (run.cwd / "weightaudit.toml").read_text()
    assert "[overrides.rules.value-bound]" in text
    assert "# measured up to" in text
    assert "healthy.keras (Keras archive)" in text
    assert run("check", "healthy.keras").code == 0
    assert "WA304" in run("check", "overflow.keras", "--select", "value-bound").out


def test_a_policy_is_never_replaced_unasked(run: CommandLine) -> None:
    """What is there stays as it is without --force, and is replaced with it."""
    policy = run.cwd / "weightaudit.toml"
    policy.write_text('ignore = ["WA402"]\n')
    assert_one_sentence(run("init", "healthy.keras"), 2, "weightaudit.toml", "--force")
    assert policy.read_text() == 'ignore = ["WA402"]\n'
    assert run("init", "healthy.keras", "--force").code == 0
    assert "value-bound" in policy.read_text()


def test_stdout_is_a_place_too(run: CommandLine) -> None:
    """With ``-o -`` the policy goes to stdout, the same as in a file, and no file appears."""
    shown = run("init", "healthy.keras", "exported", "-o", "-", "--slack", "0.5")
    assert shown.code == 0, shown
    assert not (run.cwd / "weightaudit.toml").exists()
    assert run("init", "healthy.keras", "exported", "-o", "p.toml", "--slack", "0.5").code == 0
    assert (run.cwd / "p.toml").read_text() == shown.out
    assert "a slack of 0.5" in shown.out


def test_what_init_refuses(run: CommandLine) -> None:
    """A model with errors is 1, wrong usage 2, what cannot be read 3; no policy is written."""
    assert_one_sentence(run("init", "nan.keras"), 1, "nan.keras is not a good model")
    assert_one_sentence(run("init", "healthy.keras", "--slack=-1"), 2, "slack")
    assert_one_sentence(run("init", "nowhere.keras"), 2, "nowhere.keras")
    assert_one_sentence(run("init", "notamodel.h5"), 3, "notamodel.h5")
    assert_one_sentence(run("init", "healthy.keras", "-o", "healthy.keras", "--force"), 2, "belongs to one")
    assert_one_sentence(run("init", "healthy.keras", "-o", "no/where.toml"), 2, "no directory")
    assert_one_sentence(run("init", "healthy.keras", "-o", "exported"), 2, "is a directory; name a file")
    assert_one_sentence(
        run("init", "healthy.keras", "-o", "x" * 300), 2, "cannot be written: File name too long"
    )
    assert not (run.cwd / "weightaudit.toml").exists()
