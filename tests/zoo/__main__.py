"""Print what is recovered per container and attribute, as Markdown: ``python -m tests.zoo``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.zoo.comparing import ATTRIBUTES, Tally
from tests.zoo.harness import GENERATIONS, build_and_save, cases, examine


def main() -> None:
    """Build all models of both generations, and print one table for each."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    for generation in GENERATIONS:
        total: dict[str, Tally] = {}
        for case in cases(generation):
            with tempfile.TemporaryDirectory() as folder:
                for container, tally in examine(build_and_save(generation, case, Path(folder))).items():
                    total.setdefault(container, Tally()).add(tally)
        header = ["container", "stored", *ATTRIBUTES, "certain and wrong"]
        rows = [header, ["---"] * len(header), *([name, *tally.row()] for name, tally in total.items())]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        sys.stdout.write("\n".join([f"\n{generation}: {len(cases(generation))} models\n", *lines, ""]))
        if "--missed" in sys.argv:
            missed = [line for tally in total.values() for line in (*tally.wrong, *tally.missed)]
            sys.stdout.write("\n".join([*missed, ""]))


main()
