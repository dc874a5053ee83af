"""`check models/` does not audit every old version as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.versions.conftest import Bench
from weightaudit.discover import search

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def models(bench: Bench, sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a model, and a store with three versions of two."""
    models = bench.root / "models"
    models.mkdir()
    model = bench.model("models/m.keras", sources["keras"])
    bench.put(model)
    bench.put(model, always=True)
    bench.put(sources["saved_model"])
    bench.store.root.rename(models / ".weightaudit")
    monkeypatch.chdir(bench.root)
    return models


OWN = ["models/m.keras"]
KEPT = [
    "models/.weightaudit/exported/1",
    "models/.weightaudit/m.keras/1/m.keras",
    "models/.weightaudit/m.keras/2/m.keras",
]


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("models", OWN),
        (".", OWN),
        ("models/*", OWN),
        ("**/*.keras", OWN),
        ("models/**", OWN),
        ("models/.weightaudit", KEPT),
        ("models/.weightaudit/", KEPT),
        ("models/.weightaudit/m.keras", KEPT[1:]),
        ("models/.weightaudit/m.keras/2", KEPT[2:]),
        ("models/.weightaudit/exported/1", KEPT[:1]),
        ("models/.weightaudit/m.keras/1/m.keras", KEPT[1:2]),
        ("models/.weightaudit/*/2/*.keras", KEPT[2:]),
        ("**/.weightaudit/**/*.keras", KEPT[1:]),
    ],
)
def test_a_store_is_walked_into_only_if_it_is_named(path: str, found: list[str]) -> None:
    """A store is left out of a walk and of a glob, unless its name is in the path."""
    assert sorted(target.label for target in search([path]).targets) == found


@pytest.mark.usefixtures("models")
def test_what_is_left_out_is_told() -> None:
    """A store that is left out is named, with what to do about it."""
    for path in ("models", "**/*.keras"):
        (left,) = [one for one in search([path]).left_out if one.path.endswith(".weightaudit")]
        assert left.path == "models/.weightaudit"
        assert left.reason.startswith("a version store: ")


def test_whoever_is_in_a_store_means_it(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a store, a directory and a glob stand for its versions."""
    monkeypatch.chdir(models / ".weightaudit")
    for path in (".", "**/*.keras", "m.keras/*"):
        assert "m.keras/2/m.keras" in [target.label for target in search([path]).targets]
