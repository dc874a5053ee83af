"""Fuzzes one parser guided by coverage: ``python -m tests.hostile.fuzz.guided TARGET [libFuzzer's options]``.

Needs atheris (``pip install atheris``), which no test needs. A folder among the options is the corpus: it
begins with the seeds and is added to. ``-max_total_time=SECONDS`` ends it, ``-artifact_prefix=FOLDER/`` says
where inputs that fail are kept.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from weightaudit.errors import ReadError


def _refuse(*_: object) -> None:
    """Refuse what our own parser does not know."""
    raise ReadError("x is for libhdf5.")


def main() -> None:
    """Fuzz until an input fails, or libFuzzer's options end it."""
    atheris: Any = import_module("atheris")
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["weightaudit.formats", "weightaudit.identity"]):
        targets = import_module("tests.hostile.fuzz.targets")
        lister: Any = import_module("weightaudit.formats.lister")
    # What goes to libhdf5 goes to another process, where no coverage is seen and most of the time is lost.
    lister.ask_lister = _refuse
    target = targets.TARGETS[name]
    for folder in (Path(option) for option in options if not option.startswith("-")):
        folder.mkdir(exist_ok=True)
        for number, seed in enumerate(target.seeds):
            (folder / f"seed-{number}").write_bytes(seed)
    # What starts this program again, where libFuzzer does so (`keeping`).
    program = os.environ.get("FUZZ_AGAIN", sys.argv[0])
    atheris.Setup([program, *options], target.attempt_quietly)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
