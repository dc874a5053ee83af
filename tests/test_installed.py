"""Which plugins installed packages offer: the same as `importlib.metadata` says, however it is found out."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from weightaudit.installed import entry_points

if TYPE_CHECKING:
    from pathlib import Path

GROUP = "weightaudit.rules"


def package(place: Path, name: str, text: str) -> None:
    """Lay down what an installer leaves of a package: its name and its entry points."""
    directory = place / name
    directory.mkdir(parents=True)
    (directory / "METADATA").write_text(f"Name: {name.partition('-')[0]}\nVersion: 1\n")
    (directory / "entry_points.txt").write_text(text)


def standard(group: str) -> frozenset[str]:
    """Return what the standard library says."""
    return frozenset(point.value for point in metadata.entry_points(group=group))


@pytest.mark.parametrize("group", [GROUP, "console_scripts", "pytest11", "no.such.group"])
def test_this_environment(group: str) -> None:
    """In the environment of the tests both find the same entry points."""
    assert entry_points(group=group) == standard(group)


def test_packages_of_all_shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments, other groups, extras, odd names and packages without entry points are read alike."""
    package(
        tmp_path / "a", "team_rules-1.0.dist-info", f"# ours\n[{GROUP}]\nx = team.rules\ny=more [extra]\n"
    )
    package(
        tmp_path / "a", "Other.Thing-2.egg-info", f"[console_scripts]\nrun = a:b\n\n[{GROUP}]\nz = other\n"
    )
    package(tmp_path / "b", "Team.Rules-0.9.dist-info", f"[{GROUP}]\nold = hidden_by_the_first\n")
    package(tmp_path / "b", "mentions-1.dist-info", f"[console_scripts]\nname = {GROUP}:main\n")
    (tmp_path / "b" / "bare-1.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), str(tmp_path / "missing"), str(tmp_path / "b")])
    assert entry_points(group=GROUP) == standard(GROUP) == {"team.rules", "more [extra]", "other"}


def test_packages_in_a_zip_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where packages lie in a zip file on the path, those are found too."""
    archive = tmp_path / "bundle.zip"
    with ZipFile(archive, "w") as file:
        file.writestr("zipped-1.dist-info/METADATA", "Name: zipped\nVersion: 1\n")
        file.writestr("zipped-1.dist-info/entry_points.txt", f"[{GROUP}]\nx = zipped.rules\n")
    monkeypatch.setattr(sys, "path", [str(archive)])
    assert entry_points(group=GROUP) == {"zipped.rules"}


def test_places_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path object on the path, which the import system passes over, is looked into all the same."""
    package(tmp_path, "team-1.dist-info", f"[{GROUP}]\nx = team.rules\n")
    monkeypatch.setattr(sys, "path", [tmp_path])
    assert entry_points(group=GROUP) == standard(GROUP) == {"team.rules"}


@pytest.mark.parametrize("egg", ["old-1.egg", "old-1.EGG"])
def test_eggs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, egg: str) -> None:
    """The entry points of an egg are found, whichever way its suffix is written."""
    home = tmp_path / egg / "EGG-INFO"
    home.mkdir(parents=True)
    (home / "PKG-INFO").write_text("Name: old\nVersion: 1\n")
    (home / "entry_points.txt").write_text(f"[{GROUP}]\nx = old.rules\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / egg)])
    assert entry_points(group=GROUP) == standard(GROUP) == {"old.rules"}


@pytest.mark.parametrize("name", [".dist-info", "-1.dist-info", "~eam-1.dist-info", "Team-1.DIST-INFO"])
def test_what_a_broken_installation_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Directories with half a name count as they do for the standard library."""
    package(tmp_path, name, f"[{GROUP}]\nx = left.behind\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert entry_points(group=GROUP) == standard(GROUP) == {"left.behind"}


def test_bytes_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stray byte in the entry points of one package does not hide those of others, or its own."""
    package(tmp_path, "good-1.dist-info", f"[{GROUP}]\nx = good.rules\n")
    package(tmp_path, "stray-1.dist-info", "")
    (tmp_path / "stray-1.dist-info" / "entry_points.txt").write_bytes(
        f"# caf\xe9\n[{GROUP}]\ny = stray.rules\n".encode("latin-1")
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert entry_points(group=GROUP) == {"good.rules", "stray.rules"}
