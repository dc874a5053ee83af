"""The command line keeps statistics where it says, and can be told not to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cache.models import require_disk
from weightaudit.cli.cache import directory

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({"WEIGHTAUDIT_CACHE": "/own", "XDG_CACHE_HOME": "/xdg", "HOME": "/home/me"}, "linux", "/own"),
        ({"WEIGHTAUDIT_CACHE": "", "XDG_CACHE_HOME": "/xdg", "HOME": "/home/me"}, "linux", None),
        ({"XDG_CACHE_HOME": "/xdg", "HOME": "/home/me"}, "linux", "/xdg/weightaudit"),
        ({"XDG_CACHE_HOME": "xdg", "HOME": "/home/me"}, "linux", "/home/me/.cache/weightaudit"),
        ({"HOME": "/home/me"}, "linux", "/home/me/.cache/weightaudit"),
        ({"HOME": "/home/me"}, "darwin", "/home/me/Library/Caches/weightaudit"),
        ({"HOME": ""}, "linux", None),
        ({}, "linux", None),
    ],
)
def test_where_statistics_are_kept(environment: dict[str, str], platform: str, expected: str | None) -> None:
    """The own variable wins, then XDG's, then the platform's place; without a home nothing is kept."""
    assert directory(environment, platform) == (Path(expected) if expected else None)


def test_relative_directory_is_of_the_working_directory() -> None:
    """A relative path in the variable is taken from the working directory."""
    assert directory({"WEIGHTAUDIT_CACHE": "here"}) == Path.cwd() / "here"


def test_check_keeps_and_clear_removes(cli: CommandLine, fixtures_dir: Path) -> None:
    """`check` keeps what it measured and says the same the second time; `cache` shows and removes it."""
    require_disk(fixtures_dir)
    env = {"WEIGHTAUDIT_CACHE": str(cli.cwd / "kept")}
    model = fixtures_dir / "overflow.keras"  # left alone for longer than two seconds
    assert cli("cache", "show", env=env).out == f"{cli.cwd / 'kept'}: 0 models, 0 bytes of at most 256 MB\n"
    first = cli("check", "--verbose", model, env=env)
    assert cli("cache", "show", env=env).out.startswith(f"{cli.cwd / 'kept'}: 1 model, ")
    second = cli("check", "--verbose", model, env=env)
    assert (first.code, first.out, first.err) == (second.code, second.out, second.err)
    cleared = cli("cache", "clear", env=env)
    assert (cleared.code, cleared.err) == (0, "")
    assert cleared.out.startswith(f"{cli.cwd / 'kept'}: 1 model, ")
    assert cleared.out.endswith(" removed\n")
    assert cli("cache", "show", env=env).out.startswith(f"{cli.cwd / 'kept'}: 0 models")


def test_no_cache(cli: CommandLine, fixtures_dir: Path) -> None:
    """With --no-cache nothing is kept, and an empty variable does the same for every command."""
    env = {"WEIGHTAUDIT_CACHE": str(cli.cwd / "kept")}
    assert cli("check", "--no-cache", fixtures_dir / "healthy.keras", env=env).code == 0
    assert not (cli.cwd / "kept").exists()
    off = {"WEIGHTAUDIT_CACHE": "", "HOME": str(cli.cwd), "XDG_CACHE_HOME": str(cli.cwd)}
    assert cli("check", fixtures_dir / "healthy.keras", env=off).code == 0
    for command in ("show", "clear"):
        assert cli("cache", command, env=off).out.startswith("Nothing is kept: WEIGHTAUDIT_CACHE is empty")
    assert list(cli.cwd.iterdir()) == []


def test_unusable_directory(cli: CommandLine, fixtures_dir: Path) -> None:
    """A check goes on without a directory that others may write to; `cache` says what is wrong with it."""
    kept = cli.cwd / "kept"
    kept.mkdir()
    kept.chmod(0o777)
    env = {"WEIGHTAUDIT_CACHE": str(kept)}
    done = cli("check", fixtures_dir / "healthy.keras", env=env)
    assert (done.code, done.err) == (0, "")
    assert list(kept.iterdir()) == []
    for command in ("show", "clear"):
        told = cli("cache", command, env=env)
        assert told.code == 3
        assert "others may write to it" in told.err
        assert len(told.err.splitlines()) == 1
