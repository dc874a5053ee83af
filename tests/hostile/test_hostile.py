"""Hostile inputs: each ends in a sentence or a finding, soon, in little memory, and touches nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.case import Case, Outcome
from tests.hostile.cases import CASES
from tests.hostile.running import run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_input(case: Case, tmp_path: Path) -> None:
    """The outcome is the expected one, within 5 s of processor time and 300 MB, and the bait is untouched."""
    result = run(case, tmp_path)
    assert not list(result.faults(case)), result.report + result.errors


def test_the_set() -> None:
    """There are inputs for every container, no two of one name, and controls that prove the makers right."""
    containers = Counter(case.name.partition(":")[0] for case in CASES)
    assert set(containers) >= {
        "hdf5",
        "zip",
        "bundle",
        "savedmodel",
        "json",
        "shards",
        "place",
        "moving",
        "suffix",
    }
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(case.outcome is not Outcome.READ for case in CASES) >= 60


def test_faults_are_seen(tmp_path: Path) -> None:
    """A sound input that is expected to be refused has faults, so the harness can fail."""
    sound = next(case for case in CASES if case.outcome is Outcome.READ)
    wrong = Case("wrong", sound.make, Outcome.REFUSED, "no such sentence")
    result = run(wrong, tmp_path)
    assert len(list(result.faults(wrong))) == 2


def test_the_bait_is_watched(tmp_path: Path) -> None:
    """An audit that opens a file beside the model is caught, so that silence proves something."""
    case = Case("bait", lambda folder: folder.parent / "canary" / "secret.h5", Outcome.READ, "tensors")
    assert run(case, tmp_path).touched == ("secret.h5",)
