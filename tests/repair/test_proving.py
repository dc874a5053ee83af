"""What is held against a mended copy, and what a repair needs to make and prove one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from weightaudit import open_checkpoint
from weightaudit.catalog import Extent
from weightaudit.digests import tensor_digests
from weightaudit.errors import WriteError
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.policy import Policy
from weightaudit.projections import Clip
from weightaudit.registry import configure, load_registry
from weightaudit.repair.planning import Orders, make_plan
from weightaudit.repair.projectors import NumpyProjector
from weightaudit.repair.proving import prove, write_mended
from weightaudit.repair.selection import Request, Selector

if TYPE_CHECKING:
    from weightaudit.tensor import TensorInfo

MODEL = Path(__file__).parents[2] / "fixtures" / "models" / "healthy.keras"
ROOT = Path(__file__).resolve().parents[2]


def proved_with(folder: Path, known: dict[str, str | None] | None) -> TensorInfo:
    """Mend one tensor of a model, prove the copy with what is said to be known, and return another tensor."""
    rules = configure(load_registry(), Policy())
    with open_checkpoint(MODEL) as checkpoint:
        mended, other = [info for info in checkpoint if info.role == "kernel"][:2]
        request = Request((Clip(-1e-3, 1e-3),), Selector((mended.name,)))
        plan = make_plan(checkpoint, "m", rules, Orders((request,), mend=False))
        written = write_mended(checkpoint, plan, folder, NumpyProjector())
        after, digests = prove(checkpoint, plan, written, rules, DEFAULT_LIMITS, known=known)
        assert after.is_complete
        assert digests == {**tensor_digests(checkpoint), mended.name: plan.changes[0].digest}
    return other


def test_the_copy_is_compared_with_the_model_or_with_what_is_known_of_it(tmp_path: Path) -> None:
    """Digests that were taken already do as well as new ones, and a wrong one is noticed."""
    for name in ("new", "known", "wrong"):
        (tmp_path / name).mkdir()
    other = proved_with(tmp_path / "new", None)
    with open_checkpoint(MODEL) as checkpoint:
        known = tensor_digests(checkpoint)
    proved_with(tmp_path / "known", known)
    with pytest.raises(WriteError, match=f"{other.name} was not written as planned"):
        proved_with(tmp_path / "wrong", {**known, other.name: "0" * 64})


def test_second_copies_are_compared_too(tmp_path: Path) -> None:
    """A Keras export stores variables twice, and a second copy that was not written is noticed."""
    rules = configure(load_registry(), Policy())
    with open_checkpoint(MODEL.with_name("exported")) as checkpoint:
        request = Request((Clip(-1e-3, 1e-3),), Selector(("dense/head/kernel",)))
        plan = make_plan(checkpoint, "m", rules, Orders((request,), mend=False))
        written = write_mended(checkpoint, plan, tmp_path, NumpyProjector())
        prove(checkpoint, plan, written, rules, DEFAULT_LIMITS)
        with open_checkpoint(written.path) as copy:
            storage = copy.entries(copy["dense/head/kernel"])[1].storage
        assert isinstance(storage, Extent)
        with (tmp_path / "variables/variables.data-00000-of-00001").open("r+b") as stream:
            stream.seek(storage.offset)
            stream.write(b"\xff")
        with pytest.raises(WriteError, match="dense/head/kernel was not written as planned"):
            prove(checkpoint, plan, written, rules, DEFAULT_LIMITS)


def test_memory_is_bounded_by_one_tensor(tmp_path: Path) -> None:
    """A norm over the first axis takes a few times one tensor of 20 MB, of a model of 160 MB."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        for number in range(8):
            file.create_dataset(f"layers/dense_{number}/vars/0", data=np.ones((5000, 1000), np.float32))
    script = (
        "import resource, sys\n"
        "import weightaudit\n"
        "from weightaudit.projections import MaxNorm\n"
        "weightaudit.audit(sys.argv[1])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "request = weightaudit.Request((MaxNorm(60.0, axis=0),), weightaudit.Selector(('*',)))\n"
        "done = weightaudit.repair_model(sys.argv[1], requests=[request], in_place=True)\n"
        "assert len(done.plan.changes) == 8\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "rules")])},
    )
    kilobytes = int(result.stdout) // (1024 if sys.platform == "darwin" else 1)
    assert kilobytes < 90_000
