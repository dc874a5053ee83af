"""`docs/training.md` does what it says: its code blocks are run as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pages import code_blocks
from tests.training.conftest import Lab
from weightaudit import audit
from weightaudit.versions.store import open_store

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def test_the_example_trains(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block saves the best model, keeps versions, and says what it is said to say."""
    monkeypatch.chdir(lab.folder)
    lab.policy(limit=2)
    keras, numbers = lab.keras, np.ones((8, 8), np.float32)
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((8,)), dense(4, name="dense"), dense(1, name="dense_1")])
    model.compile(keras.optimizers.SGD(1e-3), keras.losses.MeanSquaredError(), run_eagerly=True)
    targets = numbers[:, :1]
    names: dict[str, Any] = {"x": numbers, "y": targets, "x_val": numbers, "y_val": targets}
    code = code_blocks(PAGE.read_text("utf-8"), "python")[0].replace("epochs=50", "epochs=7, verbose=0")
    with lab.quiet():
        exec(compile(code, str(PAGE), "exec"), {"model": model, **names})  # noqa: S102 - it is our own page
    assert audit("runs/best.keras").ok
    assert open_store(Path("runs/store")).numbers("best.keras") == [3, 4, 5, 6, 7]


def test_the_ways_to_ask_for_projections(lab: Lab) -> None:  # noqa: ARG001 - skips where there is no Keras
    """Each line of the second block is a `project=` that is understood."""
    from weightaudit.keras.wishes import wishes_of

    counts: list[int] = []
    for line in code_blocks(PAGE.read_text("utf-8"), "python")[1].splitlines():
        names: dict[str, Any] = {}
        exec(line, names)  # noqa: S102 - it is our own page
        counts.append(len(wishes_of(names["project"])))
    assert counts == [1, 2, 2]
