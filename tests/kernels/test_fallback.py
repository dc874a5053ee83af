"""Where the kernels are not compiled, everything still works, with the same results but for rounding."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODELS = Path(__file__).parents[2] / "fixtures" / "models"
AS = "import sys, types; sys.modules['_weightaudit_kernels'] = "
SLOW = """import sys, types; import _weightaudit_kernels as real
sys.modules['_weightaudit_kernels'] = types.SimpleNamespace(
    INTERFACE=real.INTERFACE, FAST_CHECKSUMS=0, summarize=real.summarize, scan=real.scan,
    largest=real.largest, patterns=real.patterns, repeats=real.repeats)
"""
"""Kernels on a CPU without the instructions for checksums: those of the module are not there to be called."""
CHECK = "from weightaudit.__main__ import main; sys.exit(main())"


def report(model: Path, prefix: str) -> dict[str, Any]:
    """Audit a model in a process of its own and return the report."""
    command = [
        sys.executable,
        "-c",
        f"{prefix}{CHECK}",
        "check",
        "--no-cache",
        "--format",
        "json",
        str(model),
    ]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode in {0, 1}, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def close(one: Any, other: Any) -> bool:
    """Say whether two documents are the same, numbers up to rounding."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    return bool(one == other)


def works(prefix: str) -> bool:
    """Say whether the package has kernels in a process of its own."""
    code = f"{prefix}from weightaudit.kernels import native; sys.exit(native is None)"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "other", ["None", "types.ModuleType('old')", "types.SimpleNamespace(INTERFACE=0, FAST_CHECKSUMS=1)"]
)
def test_kernels_of_other_sources_are_not_used(other: str) -> None:
    """A module that is missing, unversioned or of another version is passed over without an error."""
    assert not works(f"{AS}{other}; ")


@pytest.mark.parametrize("name", ["healthy.keras", "nan.keras", "exported"])
def test_reports_agree_without_kernels(name: str) -> None:
    """An audit without the compiled module gives the report of one with it."""
    assert close(report(MODELS / name, "import sys; "), report(MODELS / name, f"{AS}None; "))


@pytest.mark.parametrize("name", ["healthy.keras", "nan.keras", "exported"])
def test_reports_agree_without_fast_checksums(name: str) -> None:
    """Where libraries checksum and kernels sum up, reports are those of kernels that do both."""
    pytest.importorskip("_weightaudit_kernels")
    assert close(report(MODELS / name, "import sys; "), report(MODELS / name, SLOW))
