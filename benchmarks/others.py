"""Other public tools on the same files, installed into an environment that is thrown away."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.timing import CommandError, run_command, run_python

if TYPE_CHECKING:
    from collections.abc import Callable

_WEIGHTWATCHER = """
import sys, keras, weightwatcher
model = keras.models.load_model(sys.argv[1], compile=False)
print(len(weightwatcher.WeightWatcher(model=model).analyze()))
"""
_VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool to compare with.

    Attributes:
        package: Its name in the package index.
        takes: Which model it is given: ``keras`` or ``checkpoint``.
        command: Arguments of the interpreter, or the name of a script and its arguments; the path follows.
        looks_at: What it looks at, and what it does not.
    """

    package: str
    takes: str
    command: tuple[str, ...]
    looks_at: str


TOOLS = (
    Tool(
        "modelscan",
        "keras",
        ("modelscan", "-p"),
        "the configuration, for Lambda layers; no values",
    ),
    Tool(
        "modelaudit",
        "keras",
        ("modelaudit", "scan"),
        "configuration, metadata, strings and the archive, for code; not whether values are sound",
    ),
    Tool(
        "weightwatcher",
        "keras",
        ("-c", _WEIGHTWATCHER),
        "spectra of the kernels of Dense and Conv layers, by SVD; no biases, no normalization, no damage",
    ),
    Tool(
        "tensorflow",
        "checkpoint",
        ("-m", "tensorflow.python.tools.inspect_checkpoint", "--all_tensors", "--file_name"),
        "every value is read and printed in short; nothing is judged",
    ),
)


@dataclass(frozen=True, slots=True)
class Other:
    """What came of a tool; times in seconds, of the whole process.

    Attributes:
        tool: Its name and version.
        model: What it was given.
        looks_at: What it looks at, and what it does not.
        wall: Its time; 0 if it failed.
        peak: Its peak memory in bytes.
        check: Time of ``weightaudit check`` on the same file, just before.
        failure: Why there are no figures, or empty.
    """

    tool: str
    model: str
    looks_at: str
    wall: float = 0
    peak: int = 0
    check: float = 0
    failure: str = ""


def environment(folder: Path, say: Callable[[str], None]) -> Path:
    """Make an environment with the tools that can be installed, and return its programs' directory.

    It sees the packages of the environment that is measured, so that TensorFlow is not installed twice.

    Raises:
        CommandError: There is no environment to be had at all.
    """
    run_python("-m", "venv", str(folder))
    programs = folder / "bin"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "measured.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    for package in sorted({tool.package for tool in TOOLS} - {"tensorflow"}):
        say(f"installing {package}")
        try:
            run_command([str(programs / "python"), "-m", "pip", "install", "-q", package])
        except CommandError:
            say(f"{package} could not be installed")
    return programs


def measure_other(tool: Tool, programs: Path, path: Path, label: str, check: tuple[str, ...]) -> Other:
    """Run a tool on a model after ``weightaudit check``; a failure of the tool is in the result.

    Raises:
        CommandError: The check failed.
    """
    python = str(programs / "python")
    first = tool.command[0]
    own = [python, *tool.command] if first.startswith("-") else [str(programs / first), *tool.command[1:]]
    try:
        version = run_command([python, "-c", _VERSION, tool.package]).output.strip()
    except CommandError:
        return Other(tool.package, label, tool.looks_at, failure="could not be installed")
    checked = run_python(*check, str(path))
    name = "TensorFlow's inspect_checkpoint" if tool.package == "tensorflow" else tool.package
    try:
        run_command([*own, str(path)])  # Compiles bytecode.
        run = run_command([*own, str(path)])
    except CommandError as error:
        last = str(error).splitlines()[-1]
        return Other(f"{name} {version}", label, tool.looks_at, failure=last[:120])
    return Other(f"{name} {version}", label, tool.looks_at, run.wall, run.peak, checked.wall)
