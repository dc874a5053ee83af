"""Writes docs/sbom.cdx.json, the software bill of materials: `python docs/sbom.py`.

It lists, in CycloneDX 1.5, what a base installation and the extras bring on Linux with Python 3.11, in the
versions of constraints.txt, from the metadata of what is installed. So it is run where that is:
pip install -c constraints.txt '.[test,dev,recipes,docs,sign]'. With --check it compares, and changes nothing.
The same installation gives the same bytes: there is no time, no serial number and no place in it.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from docs.licences import licence_of, normalized  # noqa: E402 - a bare checkout is importable only now

TARGET = ROOT / "docs" / "sbom.cdx.json"

UNPINNED = {"bench"}
"""Extras that nothing is tested with: they draw pictures for the repository."""

LINUX = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""What markers of requirements are asked about, on whatever machine this runs."""


@dataclass
class Part:
    """A distribution of a bill.

    Attributes:
        found: What is installed of it.
        needs: Normalized names of what it requires.
        brought_by: What brings it: ``base``, or an extra of ours.
    """

    found: Distribution
    needs: set[str] = field(default_factory=set[str])
    brought_by: set[str] = field(default_factory=set[str])


def declared() -> dict[str, list[str]]:
    """Return the requirements in pyproject.toml: those of the ``base``, and those of each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return {"base": project["dependencies"], **project["optional-dependencies"]}


def closure(installs: Mapping[str, Iterable[str]], environment: Mapping[str, str]) -> dict[str, Part]:
    """Follow requirements through the metadata of what is installed.

    Args:
        installs: Requirements, by the name of what brings them.
        environment: What markers are asked about, where it is not this machine and Python; may be empty.

    Returns:
        Everything that is required, directly or not, by its normalized name.

    Raises:
        PackageNotFoundError: Something that is required is not installed.
    """
    parts: dict[str, Part] = {}
    for install, requirements in installs.items():
        seen: set[tuple[str, str]] = set()
        waiting = _wanted(requirements, "", environment)
        while waiting:
            name, extra = waiting.pop()
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            part = parts.setdefault(name, Part(distribution(name)))
            part.brought_by.add(install)
            further = _wanted(part.found.requires or (), extra, environment)
            part.needs |= {other for other, _ in further} - {name}
            waiting += further
    return parts


def _wanted(requirements: Iterable[str], extra: str, environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the names that requirements mean where an extra is asked for, each with its own extras."""
    wanted: list[tuple[str, str]] = []
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra}):
            wanted += [(normalized(requirement.name), one) for one in ("", *sorted(requirement.extras))]
    return wanted


def pins() -> dict[str, str]:
    """Return the versions of constraints.txt, by normalized names."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = (line.partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {normalized(name.strip()): version.strip() for name, _, version in pairs}


def bill() -> dict[str, Any]:
    """Return the bill of materials.

    Raises:
        PackageNotFoundError: Something that is required is not installed.
        ValueError: Something is installed in another version than is pinned.
    """
    installs = {name: those for name, those in declared().items() if name not in UNPINNED}
    parts = closure(installs, LINUX)
    pinned = pins()
    for name, part in parts.items():
        if part.found.version != pinned.get(name, part.found.version):
            raise ValueError(f"{name} is installed as {part.found.version}, and pinned as {pinned[name]}")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    root = {
        "type": "application",
        "bom-ref": "weightaudit",
        "name": "weightaudit",
        "version": project["version"],
    }
    direct = {name for name, _ in _wanted((line for those in installs.values() for line in those), "", LINUX)}
    refs = {name: _ref(name, pinned) for name in parts}
    depends = {"weightaudit": direct, **{refs[name]: part.needs for name, part in parts.items()}}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**root, "licenses": [{"expression": project["license"]}]}},
        "components": [_component(name, part, pinned) for name, part in sorted(parts.items())],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(refs[name] for name in names)}
            for ref, names in sorted(depends.items())
        ],
    }


def _ref(name: str, pinned: Mapping[str, str]) -> str:
    return f"pkg:pypi/{name}@{pinned[name]}" if name in pinned else f"pkg:pypi/{name}"


def _component(name: str, part: Part, pinned: Mapping[str, str]) -> dict[str, Any]:
    """Return a distribution as a component; the tools that pip freeze leaves out have no version."""
    ref = _ref(name, pinned)
    version = {"version": pinned[name]} if name in pinned else {}
    return {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        **version,
        "scope": "required" if "base" in part.brought_by else "optional",
        "licenses": [{"expression": licence_of(part.found.metadata)}],
        "purl": ref,
        "properties": [{"name": "weightaudit:brought-by", "value": one} for one in sorted(part.brought_by)],
    }


def main() -> str | None:
    """Write the bill, or compare it; return what is wrong, as a sentence."""
    again = "pip install -c constraints.txt '.[test,dev,recipes,docs,sign]', then python docs/sbom.py"
    try:
        text = json.dumps(bill(), indent=1, ensure_ascii=False) + "\n"
    except PackageNotFoundError as error:
        return f"docs/sbom.cdx.json cannot be made: {error.name} is not installed; run: {again}"
    except ValueError as error:
        return f"docs/sbom.cdx.json cannot be made: {error}; run: {again}"
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(text, "utf-8")
    elif not TARGET.is_file() or TARGET.read_text("utf-8") != text:
        return f"docs/sbom.cdx.json is not what is pinned and installed; run: {again}"
    return None


if __name__ == "__main__":
    sys.exit(main())
