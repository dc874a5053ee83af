"""Tags keep versions; pruning removes the others, whole, and never gives a number away twice."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.versions.conftest import Bench, flip, places
from weightaudit import UsageError
from weightaudit.errors import StoreError
from weightaudit.versions.layout import RECORD, TAGS
from weightaudit.versions.pruning import prune
from weightaudit.versions.survey import survey
from weightaudit.versions.tagging import tag, untag
from weightaudit.versions.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

NAME = "healthy.keras"


@pytest.fixture
def five(bench: Bench, sources: dict[str, Path]) -> Bench:
    """A store with five versions of one model."""
    for _ in range(5):
        bench.put(sources["keras"], always=True)
    return bench


def test_a_tag_stands_for_a_version(five: Bench) -> None:
    """A tag is had by one version at a time, and is moved only if that is asked for."""
    store = five.store
    first, second = store.get(NAME, 1), store.get(NAME, "2")
    tag(first, "production")
    tag(first, "production")
    tag(first, "v1.0+gpu")
    assert store.get(NAME, "production") == first
    with pytest.raises(UsageError, match=r"healthy.keras@1 has the tag production; --move"):
        tag(second, "production")
    tag(second, "production", move=True)
    assert store.tags(NAME) == {"production": 2, "v1.0+gpu": 1}
    assert untag(store, NAME, "production") == 2
    for act in (lambda: untag(store, NAME, "production"), lambda: store.get(NAME, "production")):
        with pytest.raises(StoreError, match="has the tag production"):
            act()
    assert [entry.tags for entry in survey(store, [NAME])] == [("v1.0+gpu",), (), (), (), ()]


@pytest.mark.parametrize(
    "name", ["", "latest", "3", "-x", "a b", "a/b", "a@b", "ä", "x" * 101, "..", "a\n", "٣"]
)
def test_what_cannot_be_a_tag(five: Bench, name: str) -> None:
    """A tag can be told from a number, and harms neither a shell nor a terminal."""
    with pytest.raises(UsageError, match="cannot be a tag"):
        tag(five.store.get(NAME), name)
    assert TAGS not in places(five.store.folder(NAME))


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"a": "1"}', '{"a": true}', '{"a b": 1}', '{"a": 1, "a": 2}', ""]
)
def test_damaged_tags_are_an_error(five: Bench, text: str) -> None:
    """A file of tags that is damaged is not taken for one without tags: what they keep would be pruned."""
    (five.store.folder(NAME) / TAGS).write_text(text)
    with pytest.raises(StoreError, match=TAGS):
        five.store.tags(NAME)
    with pytest.raises(StoreError, match=TAGS):
        prune(five.store, NAME, keep=1)
    assert five.store.numbers(NAME) == [1, 2, 3, 4, 5]


def test_a_tag_of_a_version_that_is_gone(five: Bench) -> None:
    """A tag may name a number that nothing has; asking for it says so."""
    (five.store.folder(NAME) / TAGS).write_text('{"old": 77}')
    with pytest.raises(StoreError, match=r"no version healthy.keras@77"):
        five.store.get(NAME, "old")


def test_keep(five: Bench) -> None:
    """The newest and those with a tag stay; the rest is gone, and what it shared is still whole."""
    store = five.store
    tag(store.get(NAME, 2), "production")
    assert prune(store, NAME, keep=2, dry_run=True) == (1, 3)
    assert store.numbers(NAME) == [1, 2, 3, 4, 5]
    assert prune(store, NAME, keep=2) == (1, 3)
    assert prune(store, NAME, keep=2) == ()
    assert places(store.folder(NAME)) == [".lock", "2", "4", "5", TAGS]
    assert [verify(version) for version in store.versions(NAME)] == [(), (), ()]
    # The parent of version 4 is gone, and the list says so.
    assert [(entry.address[-1], entry.parent_is_there) for entry in survey(store, [NAME])] == [
        ("2", False),
        ("4", False),
        ("5", True),
    ]


def test_numbers_are_never_used_again(five: Bench, sources: dict[str, Path]) -> None:
    """After everything but the newest was pruned, counting goes on."""
    assert prune(five.store, NAME, keep=1) == (1, 2, 3, 4)
    assert five.put(sources["keras"], always=True).version.number == 6
    with pytest.raises(UsageError, match=r"healthy.keras@6 is not removed: it is the newest"):
        prune(five.store, NAME, numbers=[5, 6])
    assert prune(five.store, NAME, numbers=[5, 5]) == (5,)
    assert five.put(sources["keras"], always=True).version.number == 7


def test_by_age(five: Bench) -> None:
    """Only those made longer ago go; one whose age cannot be known stays."""
    store = five.store
    for number in (1, 2, 3):
        path = store.folder(NAME) / str(number) / RECORD
        document = json.loads(path.read_text())
        document["created"] = {
            1: "2020-01-01T00:00:00Z",
            2: "2020-02-30T00:00:00Z",
            3: "2999-01-01T00:00:00Z",
        }[number]
        path.chmod(0o644)
        path.write_text(json.dumps(document))
    flip(store.folder(NAME) / "4" / RECORD, 0)
    assert prune(store, NAME, older_than=timedelta(days=365), keep=5, dry_run=True) == ()
    assert prune(store, NAME, older_than=timedelta(days=365)) == (1,)
    # By number and by count a damaged version can go.
    assert prune(store, NAME, keep=1) == (2, 3, 4)


def test_what_to_prune_must_be_said(five: Bench) -> None:
    """Without a criterion, with two kinds of them, or with one that would remove all, nothing is removed."""
    tag(five.store.get(NAME, 1), "production")
    for options, words in (
        ({}, "Say what to prune"),
        ({"keep": 1, "numbers": [2]}, "Say what to prune"),
        ({"keep": 0}, "At least one"),
        ({"numbers": [9]}, "it is not there"),
        ({"numbers": [2, 1]}, "has the tag production"),
    ):
        with pytest.raises(UsageError, match=words):
            prune(five.store, NAME, **options)
    assert five.store.numbers(NAME) == [1, 2, 3, 4, 5]
    with pytest.raises(StoreError, match=r"has no model other; those it has: healthy\.keras"):
        prune(five.store, "other", keep=1)


def test_a_link_that_is_called_like_a_version(five: Bench, tmp_path: Path) -> None:
    """Pruning a link removes the link, and nothing that it leads to."""
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").touch()
    folder = five.store.folder(NAME)
    (folder / "0").symlink_to(treasure)
    (folder / "6").symlink_to(treasure)
    assert five.store.numbers(NAME) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(StoreError, match="no directory of its own"):
        five.store.get(NAME, 6)
    assert five.put(tmp_path / "store" / NAME / "5" / NAME, always=True).version.number == 7
    assert prune(five.store, NAME, numbers=[6]) == (6,)
    assert (treasure / "gold").exists()
