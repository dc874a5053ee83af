"""What weightaudit brings along: the bill of materials is valid and whole, and every licence is allowed."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry

from docs.licences import is_allowed, licence_of
from docs.sbom import LINUX, TARGET, UNPINNED, closure, declared, pins

SCHEMA = Path(__file__).resolve().parents[1] / "data" / "cyclonedx-1.5.schema.json"
EXTRAS = sorted(declared())


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    """The bill as it is in the repository."""
    return dict(json.loads(TARGET.read_text("utf-8")))


def test_it_is_valid(bill: dict[str, Any]) -> None:
    """The bill keeps to the schema of CycloneDX 1.5, and every reference in it leads somewhere."""
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft7Validator(schema, registry=Registry()).validate(bill)
    refs = [one["bom-ref"] for one in (bill["metadata"]["component"], *bill["components"])]
    assert len(refs) == len(set(refs))
    assert {one["ref"] for one in bill["dependencies"]} == set(refs)
    assert {ref for one in bill["dependencies"] for ref in one["dependsOn"]} < set(refs)


def test_it_names_what_is_pinned(bill: dict[str, Any]) -> None:
    """Its versions are those of constraints.txt: none is missing, none is another, none is more."""
    assert {one["name"]: one["version"] for one in bill["components"] if "version" in one} == pins()
    assert {one["name"] for one in bill["components"] if "version" not in one} == {"setuptools", "wheel"}


def test_it_says_what_is_required(bill: dict[str, Any]) -> None:
    """What pyproject.toml declares for a base installation is required, and TensorFlow is not."""
    scopes = {one["name"]: one["scope"] for one in bill["components"]}
    required = {name for name, scope in scopes.items() if scope == "required"}
    assert {"numpy", "h5py", "typer", "rich", "google-crc32c", "isal", "jinja2"} <= required
    assert scopes["tensorflow"] == "optional"
    brought = {one["value"] for part in bill["components"] for one in part["properties"]}
    assert brought == set(EXTRAS) - UNPINNED


def test_it_is_the_same_tomorrow(bill: dict[str, Any]) -> None:
    """It has no time, no serial number, and no address to download from, which would change or grow stale."""
    assert "serialNumber" not in bill
    assert "timestamp" not in bill["metadata"]
    assert "https://" not in TARGET.read_text("utf-8")


def test_licences_in_the_bill(bill: dict[str, Any]) -> None:
    """Every licence in it is on the list of those that were looked at."""
    licences = {one["name"]: one["licenses"][0]["expression"] for one in bill["components"]}
    assert {name: licence for name, licence in licences.items() if not is_allowed(licence)} == {}


@pytest.mark.parametrize("install", EXTRAS)
def test_licences_of_what_is_installed(install: str) -> None:
    """Whatever an install brings here, directly or not, has an allowed licence, also on another system."""
    try:
        parts = closure({install: declared()[install]}, {})
    except PackageNotFoundError as error:
        if install in {"base", "test"}:
            raise
        pytest.skip(f"{error.name} of the extra {install} is not installed")
    licences = {name: licence_of(part.found.metadata) for name, part in parts.items()}
    assert {name: licence for name, licence in licences.items() if not is_allowed(licence)} == {}


@pytest.mark.parametrize(
    "expression", ["MIT", "MIT AND (BSD-3-Clause OR GPL-3.0-only)", "GPL-2.0-only OR Apache-2.0"]
)
def test_a_licence_to_choose(expression: str) -> None:
    """Where one of several licences may be chosen, an allowed one is enough."""
    assert is_allowed(expression)


@pytest.mark.parametrize(
    "expression", ["", "GPL-3.0-only", "MIT AND LGPL-3.0-only", "AGPL-3.0-only OR SSPL-1.0"]
)
def test_a_licence_that_is_not_allowed(expression: str) -> None:
    """No licence, or one that is not on the list, is not allowed, also beside one that is."""
    assert not is_allowed(expression)


def test_requirements_are_followed() -> None:
    """Markers, extras and what is required by what is required count; another system's packages do not."""
    parts = closure({"x": ["h5py>=3", "colorama; sys_platform == 'win32'"]}, LINUX)
    assert set(parts) == {"h5py", "numpy"}
    assert parts["h5py"].needs == {"numpy"}
