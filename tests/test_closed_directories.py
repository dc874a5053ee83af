"""Directories that may not be listed, or listed and not entered."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from tests.test_discover import KERAS, place

NOBODY = 65534


def test_a_directory_that_may_not_be_entered_keeps_nothing_from_the_others() -> None:
    """What may not be listed, or listed and not entered, is refused with a sentence, and the rest found."""
    script = (
        "import os; from pathlib import Path; from weightaudit.discover import search\n"
        "search(['m'])  # imports what it needs, while it still may\n"
        f"if os.geteuid() == 0: os.setegid({NOBODY}); os.seteuid({NOBODY})\n"
        "Path('closed').chmod(0); Path('m/listed').chmod(0o444)\n"
        "for one in search(['closed', 'm']).targets: print(one.label, one.refusal, sep=': ')\n"
        "Path('closed').chmod(0o755); Path('m/listed').chmod(0o755)"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in ("m/b.keras", "closed/a.keras", "m/listed/a.keras"):
            place(f"{folder}/{name}", KERAS)
        if os.geteuid() == 0:
            for path in (folder, f"{folder}/closed", f"{folder}/m/listed"):
                os.chown(path, NOBODY, NOBODY)
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=folder, check=True, capture_output=True, text=True
        )
    assert done.stdout.splitlines() == [
        "closed: closed/checkpoint cannot be looked at: Permission denied.",
        "m/b.keras: None",
        "m/listed/a.keras: m/listed/a.keras cannot be looked at: Permission denied.",
    ]
