"""A build backend of one function: it packs the modules and the entry point into a wheel."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path


def build_wheel(
    wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None
) -> str:
    """Write the wheel and return its name (PEP 517)."""
    del config_settings, metadata_directory
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    name = f"{project['name'].replace('-', '_')}-{project['version']}"
    files = {path.as_posix(): path.read_text("utf-8") for path in sorted(Path("team_rules").glob("*.py"))}
    files[f"{name}.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    files[f"{name}.dist-info/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    groups = project["entry-points"].items()
    files[f"{name}.dist-info/entry_points.txt"] = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in groups
    )
    files[f"{name}.dist-info/RECORD"] = "".join(f"{path},,\n" for path in files)
    wheel = f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory, wheel), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel
