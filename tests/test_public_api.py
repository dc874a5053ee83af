"""What a user of the library meets first: names, short reprs, and one sentence where something is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import weightaudit
from weightaudit import errors
from weightaudit.statistics import Moments, Stats, Zeros


def test_every_public_name_is_listed_before_it_is_used() -> None:
    """A fresh interpreter completes all names of the library, and has imported no numpy for it."""
    code = (
        "import sys, weightaudit; "
        "print(sorted(dir(weightaudit)) == sorted([*weightaudit.__all__, '__version__']), "
        "'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_every_error_is_public() -> None:
    """Whatever the library raises on purpose can be caught by a name of the package itself."""
    raised = {
        name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, Exception)
    }
    assert raised <= set(weightaudit.__all__)
    assert all(getattr(weightaudit, name) is getattr(errors, name) for name in raised)


def test_reprs_fit_on_a_screen(fixtures_dir: Path) -> None:
    """A report, a comparison and a checkpoint do not print every tensor at a prompt."""
    path = fixtures_dir / "healthy.keras"
    assert len(repr(weightaudit.audit(path))) < 600
    assert len(repr(weightaudit.compare(path, path))) < 600
    with weightaudit.open_checkpoint(path) as checkpoint:
        assert repr(checkpoint) == "<Checkpoint healthy.keras: Keras archive, 28 tensors>"


def test_statistics_show_what_was_measured() -> None:
    """The repr of statistics names each of them with its result."""
    assert repr(Stats({Zeros(): 3})) == "Stats({Zeros(): 3})"
    assert Moments() not in Stats({Zeros(): 3})


def test_tensors_are_found_and_read_by_name_or_as_they_come(fixtures_dir: Path) -> None:
    """``in`` knows names, and what iterating a checkpoint gives can be handed back to it."""
    with weightaudit.open_checkpoint(fixtures_dir / "healthy.keras") as checkpoint:
        for info in checkpoint:
            assert info.name in checkpoint
            assert info in checkpoint
            assert (checkpoint.read(info) == checkpoint.read(info.name)).all()
            assert checkpoint.read_stored(info) == checkpoint.read_stored(info.name)
        assert "no/such" not in checkpoint


def test_a_closed_checkpoint_says_so(fixtures_dir: Path) -> None:
    """Reading behind the ``with`` block is an error that tells where to read."""
    with weightaudit.open_checkpoint(fixtures_dir / "healthy.keras") as checkpoint:
        name = checkpoint.tensors[0].name
    with pytest.raises(weightaudit.UsageError, match="closed; read its tensors inside"):
        checkpoint.read(name)


def test_a_policy_is_named_by_its_path(tmp_path: Path, fixtures_dir: Path) -> None:
    """A policy file can be given as it is, and one that is not there is an error of policies."""
    policy = tmp_path / "strict.toml"
    policy.write_text('fail-on = "note"\nignore = ["WA1"]\n')
    model = fixtures_dir / "nan.keras"
    for form in (policy, str(policy)):
        report = weightaudit.audit(model, policy=form)
        assert report.fail_on is weightaudit.Severity.NOTE
        assert not any(finding.code.startswith("WA1") for finding in report.findings)
        repaired = weightaudit.repair_model(model, policy=form, dry_run=True)
        assert not any(finding.code.startswith("WA1") for finding in repaired.plan.before.findings)
    with pytest.raises(weightaudit.PolicyError, match=r"missing\.toml cannot be read"):
        weightaudit.audit(model, policy=tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": 0}, "0 workers cannot do anything; give 1 or more"),
        ({"workers": -1}, "-1 workers cannot do anything; give 1 or more"),
        ({"engine": "torch"}, "no engine 'torch'; name one of numpy, tensorflow, auto"),
        ({"detail": "x"}, "no detail 'x'; give a member of Detail: VERDICT, FIGURES, PICTURES"),
        ({"detail": 7}, "no detail 7; give a member of Detail"),
    ],
)
def test_options_without_sense(options: dict[str, Any], sentence: str, fixtures_dir: Path) -> None:
    """Fewer threads than one, and an engine or a detail that there is not, are errors of usage."""
    with pytest.raises(weightaudit.UsageError, match=sentence):
        weightaudit.audit(fixtures_dir / "healthy.keras", **options)


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    """Opening it is a ReadError, and of no unsupported format; searching for it a UsageError."""
    with pytest.raises(weightaudit.ReadError, match=r"gone\.keras does not exist") as caught:
        weightaudit.open_checkpoint(tmp_path / "gone.keras")
    assert not isinstance(caught.value, weightaudit.UnsupportedFormatError)
    with pytest.raises(weightaudit.UsageError, match=r"gone\.keras does not exist"):
        weightaudit.audit(tmp_path / "gone.keras")


def test_versions_are_compared_by_their_addresses(tmp_path: Path, fixtures_dir: Path) -> None:
    """A version has the same address for the library as for the command; one that is not there is told."""
    model = shutil.copy(fixtures_dir / "healthy.keras", tmp_path / "m.keras")
    subprocess.run([sys.executable, "-m", "weightaudit", "commit", model, "-m", "first"], check=True)
    assert weightaudit.compare(f"{model}@1", model).is_equal
    with pytest.raises(weightaudit.StoreError, match="@7"):
        weightaudit.compare(model, f"{model}@7")
    with pytest.raises(weightaudit.UsageError, match=r"missing\.keras does not exist"):
        weightaudit.compare(model, tmp_path / "missing.keras")
