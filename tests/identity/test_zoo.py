"""What is recovered from models of eight framework versions, matched by value with the live models."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weightaudit.catalog import Flaw
from weightaudit.checkpoint import open_checkpoint
from weightaudit.discover import discover
from weightaudit.identity.layers import role_of
from weightaudit.tensor import Role, TensorInfo

CUSTOM = {"subclassed", "func_custom", "lora"}
_BY_CLASS = {
    "mean": Role.MOVING_MEAN,
    "variance": Role.MOVING_VARIANCE,
    "count": Role.COUNTER,
    "scale": Role.NORM_SCALE,
    "concat_score_weight": Role.NORM_SCALE,
}
CONTAINERS = {  # suffix: least share of roles, of declared constraints, of names
    ".keras": (1.0, 1.0, 1.0),
    ".v3.keras": (1.0, 1.0, 0.9),
    ".h5": (1.0, 1.0, 1.0),
    "_sm": (1.0, 1.0, 1.0),
    "_ck": (1.0, 0.0, 0.95),
    "_export": (1.0, 0.0, 0.9),
    "_tfsm": (1.0, 0.0, 0.9),
    ".weights.h5": (0.95, 0.0, 0.7),
    "_sh.weights.json": (0.95, 0.0, 0.9),
}


@dataclass
class Tally:
    """What was recovered from the files of one kind."""

    counts: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    def share(self, part: str, whole: str) -> float:
        """Return one count as a share of another; 1 if there was nothing to recover."""
        return self.counts[part] / self.counts[whole] if self.counts[whole] else 1.0


def expected_role(variable: str) -> Role:
    """Return the role that the live variable's name tells."""
    return _BY_CLASS.get(variable) or role_of(variable)


def live_models(zoo: Path, suffix: str, *, custom: bool) -> list[tuple[Path, list[dict[str, Any]]]]:
    """Return the saved files of one kind with what the live model said of its variables."""
    exported = suffix in {"_export", "_tfsm"}
    found: list[tuple[Path, list[dict[str, Any]]]] = []
    for answers in sorted(zoo.glob("*/*.live.json")):
        base = answers.name.removesuffix(".live.json")
        wanted = base.endswith(".exp") == (exported or (suffix == "_ck" and answers.parent.name == "k3"))
        path = answers.with_name(base.removesuffix(".exp") + suffix)
        if wanted and path.exists() and (base.removesuffix(".exp") in CUSTOM) == custom:
            found.append((path, json.loads(answers.read_text())))
    return found


def compare(path: Path, live: list[dict[str, Any]], tally: Tally) -> None:
    """Match tensors by shape and sums, and count what agrees."""
    (target,) = discover([str(path)])
    with open_checkpoint(target.path) as checkpoint:
        assert [defect for defect in checkpoint.defects if defect.flaw is Flaw.MISSING_TENSOR] == []
        weights = [
            info for info in checkpoint.tensors if info.is_numeric and info.role is not Role.OPTIMIZER_SLOT
        ]
        sums = [(info, np.asarray(checkpoint.read(info.name), np.float64)) for info in weights]
    for variable in live:
        if not variable["is_weight"] or "int" in variable["dtype"]:
            continue
        name = variable["path"].split(":")[0]
        tally.counts["live"] += 1
        match = [info for info, numbers in sums if same(info, numbers, variable)]
        if match:
            info = next((each for each in match if each.name == name), match[0])
            judge(info, name, variable["constraint"], tally, path)


def same(info: TensorInfo, numbers: Any, variable: dict[str, Any]) -> bool:
    """Say whether a stored tensor has the shape and the sums of a live variable."""
    bound = 1e-5 * (1 + variable["absum"])
    return bool(
        list(info.shape) == variable["shape"]
        and abs(numbers.sum() - variable["sum"]) < bound
        and abs(np.abs(numbers).sum() - variable["absum"]) < bound
    )


def judge(info: TensorInfo, name: str, constraint: str | None, tally: Tally, path: Path) -> None:
    """Count what was recovered for one variable, and note what is certain and wrong."""
    variable = name.rpartition("/")[2]
    declared = info.constraint.name if info.constraint else None
    tally.counts["found"] += 1
    tally.counts["name"] += info.name == name
    tally.counts["role"] += info.role is expected_role(variable)
    tally.counts["declared"] += constraint is not None
    tally.counts["constraint"] += constraint is not None and declared == constraint
    if (info.is_certain and info.role is not expected_role(variable)) or declared not in {None, constraint}:
        tally.wrong.append(f"{path.name}: {name} is {info.role} with {declared}")


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_share_recovered(zoo: Path, suffix: str) -> None:
    """Roles, names and declared constraints of built-in models are recovered at the stated share."""
    tally = Tally()
    for path, live in live_models(zoo, suffix, custom=False):
        compare(path, live, tally)
    roles, constraints, names = CONTAINERS[suffix]
    assert tally.wrong == []
    assert tally.counts["live"] > 0
    # tf.train.Checkpoint itself leaves out what StackedRNNCells hold: 6 tensors of one model.
    assert tally.counts["found"] == tally.counts["live"] - 6 * (suffix == "_ck")
    assert tally.share("role", "found") >= roles, tally.counts
    assert tally.share("constraint", "declared") >= constraints, tally.counts
    assert tally.share("name", "found") >= names, tally.counts


@pytest.mark.parametrize("suffix", [".keras", ".h5", "_sm", ".weights.h5"])
def test_nothing_certain_is_wrong_in_custom_models(zoo: Path, suffix: str) -> None:
    """What subclassed models and custom layers hold may be unknown, but never certain and wrong."""
    tally = Tally()
    for path, live in live_models(zoo, suffix, custom=True):
        compare(path, live, tally)
    assert tally.counts["found"] > 0
    assert tally.wrong == []


def test_no_real_model_misses_a_tensor(corpus: Path) -> None:
    """On real files, which are whole, no variable is reported as missing."""
    opened = 0
    for line in (corpus / "manifest.tsv").read_text().splitlines()[1:]:
        _, relative, kind = line.split("\t")[:3]
        if not kind.startswith(("h5:keras", "keras-zip", "savedmodel", "tf-bundle")):
            continue
        for target in discover([str(corpus / relative)]):
            with open_checkpoint(target.path) as checkpoint:
                missing = [each for each in checkpoint.defects if each.flaw is Flaw.MISSING_TENSOR]
            assert missing == [], relative
            opened += 1
    assert opened > 30
