"""What is published: wheel and source distribution hold what they should, and the same bytes every time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("weightaudit", "rules/weightaudit_rules")
SOURCES = {".c", ".h"}
NOT_INSTALLED = {*SOURCES, ".md"}
NOT_KEPT = shutil.ignore_patterns(
    ".*", "__pycache__", "*.pyc", "*.so", "*.egg-info", "build", "dist", "benchmarks"
)
DAY = "1700000000"
"""Seconds since 1970 that builds are told to write for every time."""

pytestmark = pytest.mark.skipif(
    int(version("setuptools").partition(".")[0]) < 77, reason="needs setuptools 77, which builds weightaudit"
)


def build(kind: str, source: Path, out: Path) -> Path:
    """Build a distribution as an installer does, and return its file.

    Args:
        kind: ``wheel`` or ``sdist``.
        source: The folder with pyproject.toml.
        out: Where to; it is made.
    """
    out.mkdir()
    code = f"import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": DAY}
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, with what lies about in one that is worked in."""
    copy = tmp_path_factory.mktemp("checkout") / "copy"
    shutil.copytree(ROOT, copy, ignore=NOT_KEPT)
    for package in PACKAGES:
        (copy / package / "__pycache__").mkdir()
        (copy / package / "__pycache__" / "stale.cpython-311.pyc").write_bytes(b"stale")
        (copy / package / "notes.txt").write_text("mine")
        (copy / package / ".env").write_text("secret")
    return copy


@pytest.fixture(scope="module")
def source_distribution(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    place = tmp_path_factory.mktemp("source")
    with tarfile.open(build("sdist", checkout, place / "out")) as archive:
        archive.extractall(place, filter="data")
    (folder,) = (path for path in place.iterdir() if path.name != "out")
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, from the checkout."""
    return build("wheel", checkout, tmp_path_factory.mktemp("wheel") / "out")


def kept(package: str) -> set[str]:
    """Return the files of a package in the checkout, relative to its parent."""
    folder = ROOT / package
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {
        str(path.relative_to(folder.parent)) for path in files if path.suffix != ".so" and path.name[0] != "."
    }


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Modules, schemas, presets, templates, py.typed and the licence; no tests, caches, notes or C."""
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith("_weightaudit_kernels.")}
    ours = {name for package in PACKAGES for name in kept(package) if Path(name).suffix not in NOT_INSTALLED}
    about = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}
    assert {name.partition("/")[2] for name in names if ".dist-info/" in name} == about
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert {"weightaudit/py.typed", "weightaudit/html/base.html", "weightaudit/presets/strict.toml"} <= ours
    assert "weightaudit/render/report.schema.json" in ours


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="needs a C compiler")
def test_the_wheel_holds_compiled_kernels_and_no_path(wheel: Path, checkout: Path) -> None:
    """The kernels are compiled, and do not tell where: no folder of whoever built them is in the file."""
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.startswith("_weightaudit_kernels."))
        assert os.fsencode(checkout) not in archive.read(name)


def test_the_source_distribution_holds_what_the_build_needs(source_distribution: Path) -> None:
    """The packages with their C sources, the metadata, the licence: no tests, fixtures, models or caches."""
    files = (
        path.relative_to(source_distribution) for path in source_distribution.rglob("*") if path.is_file()
    )
    names = {str(path) for path in files if not path.parts[0].endswith(".egg-info")}
    top = {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}
    ours = {name for name in kept("weightaudit") if not name.endswith(".md")}
    assert names == top | ours | {f"rules/{name}" for name in kept("rules/weightaudit_rules")}


def test_two_builds_give_the_same_wheel(wheel: Path, source_distribution: Path, tmp_path: Path) -> None:
    """From the checkout and from the source distribution, in two folders, comes the same file, bit by bit."""
    again = build("wheel", source_distribution, tmp_path / "out")
    assert again.name == wheel.name
    assert again.read_bytes() == wheel.read_bytes()
