"""`AuditCheckpoint` in a real `fit`: what passes the audit is saved, and nothing else is."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import BATCHES, Lab, messages
from weightaudit import ExitCode, audit
from weightaudit.errors import WriteError

KINDS = [
    {"file": "m.keras"},
    {"file": "m.h5"},
    {"file": "m.weights.h5", "save_weights_only": True},
]
"""What a checkpoint may be."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_model_is_saved(lab: Lab, kind: dict[str, Any]) -> None:
    """Every epoch replaces the file, Keras loads it, and it computes what the trained model does."""
    path = lab.folder / kind["file"]
    watch, seen = lab.bytes_of(path)
    callback, model = lab.guard(**kind), lab.model(step="graph")
    lab.fit(model, callback, watch)
    assert len(set(seen)) == 3
    numbers = np.ones((4, 8), np.float32)
    if kind.get("save_weights_only"):
        again = lab.model()
        again.optimizer.build(again.trainable_variables)
        again.load_weights(path)
    else:
        again = lab.keras.models.load_model(path)
    np.testing.assert_array_equal(again.predict(numbers, verbose=0), model.predict(numbers, verbose=0))
    assert int(again.optimizer.iterations) == 3 * BATCHES
    assert (callback.last_report.ok, callback.last_good) == (True, path)
    assert lab.names == [path.name]


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_model_replaces_nothing(
    lab: Lab, caplog: pytest.LogCaptureFixture, kind: dict[str, Any]
) -> None:
    """NaN in the last two epochs leaves the file of the first, byte for byte; each is said once."""
    path = lab.folder / kind["file"]
    watch, seen = lab.bytes_of(path)
    callback = lab.guard(**kind)
    history = lab.fit(lab.model(), lab.poison(1, 2), callback, watch)
    assert len(history["loss"]) == 3
    assert len(set(seen)) == 1
    assert audit(path).ok
    assert callback.last_report.exit_code is ExitCode.FINDINGS
    (finding,) = [one for one in callback.last_report.findings if one.code == "WA101"]
    assert finding.tensor.endswith("first/kernel")
    told = messages(caplog, logging.WARNING)
    assert [text.partition(":")[0] for text in told] == ["Epoch 2", "Epoch 3"]
    assert all(f"{path} is left as it was" in text and "WA101" in text for text in told)
    assert lab.names == [path.name]


def test_nothing_is_saved_where_nothing_was(lab: Lab) -> None:
    """A model that is broken from the beginning gets no file at all."""
    callback = lab.guard("runs/m.keras")
    lab.fit(lab.model(), lab.poison(0), callback, epochs=1)
    assert list((lab.folder / "runs").iterdir()) == []
    assert callback.last_good is None


def test_the_rejected_one_is_kept_aside(lab: Lab) -> None:
    """With keep_rejected, the broken checkpoint lies beside the good one, and fails an audit."""
    lab.fit(lab.model(), lab.poison(1, 2), lab.guard(keep_rejected=True))
    assert lab.names == ["m.keras", "m.keras.rejected"]
    assert audit(lab.folder / "m.keras").ok
    assert audit(lab.folder / "m.keras.rejected").exit_code is ExitCode.FINDINGS


def test_links_are_followed(lab: Lab) -> None:
    """Where the place is a link, its target is replaced, and a rejected file lies beside that."""
    (lab.folder / "elsewhere").mkdir()
    (lab.folder / "m.keras").symlink_to("elsewhere/real.keras")
    lab.fit(lab.model(), lab.poison(1), lab.guard(keep_rejected=True), epochs=2)
    assert lab.names == ["elsewhere", "m.keras"]
    assert (lab.folder / "m.keras").is_symlink()
    assert audit(lab.folder / "elsewhere" / "real.keras").ok
    assert not audit(lab.folder / "elsewhere" / "real.keras.rejected").ok


def test_a_rejected_one_that_cannot_be_kept(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """That it cannot be kept aside is told beside what was found, and is an error with strict."""
    (lab.folder / "m.keras.rejected").mkdir()
    lab.fit(lab.model(), lab.poison(0), lab.guard(keep_rejected=True), epochs=1)
    assert "WA101" in messages(caplog, logging.WARNING)[0]
    assert "m.keras is not kept aside" in messages(caplog, logging.ERROR)[0]
    with pytest.raises(WriteError, match=r"m\.keras\.rejected cannot be replaced"):
        lab.fit(lab.model(), lab.poison(0), lab.guard(keep_rejected=True, strict=True), epochs=1)


def test_training_stops_if_asked(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """With stop_on, the epoch with NaN is the last one."""
    history = lab.fit(lab.model(), lab.poison(1), lab.guard(stop_on="error"), epochs=5)
    assert len(history["loss"]) == 2
    assert "is left as it was and training stops" in caplog.text


def test_training_stops_where_nothing_is_saved(lab: Lab) -> None:
    """It stops as well where the broken model is no improvement, so that nobody would save it."""
    callback = lab.guard(monitor="score", mode="max", save_best_only=True, stop_on="error")
    history = lab.fit(lab.model(), lab.poison(1), lab.scores(2, 1, 3), callback)
    assert len(history["loss"]) == 2
    assert (callback.best, audit(lab.folder / "m.keras").ok) == (2, True)
    assert lab.names == ["m.keras"]


def test_training_goes_on_below_the_level(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Findings below stop_on and fail_on are logged as information, and have no consequence."""
    caplog.set_level(logging.INFO, "weightaudit")
    callback = lab.guard(policy=lab.policy("warning"), stop_on="error")
    history = lab.fit(lab.model(), callback)
    assert len(history["loss"]) == 3
    assert [finding.code for finding in callback.last_report.findings] == ["WA301"]
    assert callback.last_good == lab.folder / "m.keras"
    assert len(messages(caplog, logging.INFO)) == 3
    assert messages(caplog, logging.WARNING) == []


def test_the_policy_decides(lab: Lab) -> None:
    """A policy file with a bound of its own keeps a model out that the built-in rules let through."""
    callback = lab.guard(policy=lab.policy())
    lab.fit(lab.model(), callback, epochs=1)
    assert callback.last_good is None
    assert callback.last_report.exit_code is ExitCode.FINDINGS


def test_the_policys_own_upkeep_refuses_no_model(lab: Lab) -> None:
    """A suppression that expired, or that this epoch does not need, is no fault of the model."""
    policy = lab.folder / "weightaudit.toml"
    policy.write_text(
        'fail-on = "note"\nselect = ["WA101", "WA9"]\n[[suppressions]]\nrule = "WA101"\nreason = "x"\n'
        '[[suppressions]]\nrule = "WA101"\nreason = "x"\nexpires = 2020-01-31\n'
    )
    callback = lab.guard(policy=policy)
    lab.fit(lab.model(), callback, epochs=1)
    assert callback.last_good == lab.folder / "m.keras"
    assert callback.last_report.policy_findings == ()


@pytest.mark.parametrize(("fail_on", "good"), [("warning", None), ("error", "m.keras"), ("never", "m.keras")])
def test_fail_on_goes_before_the_policy(lab: Lab, fail_on: str, good: str | None) -> None:
    """The level that keeps a checkpoint out can be said without a policy."""
    callback = lab.guard(policy=lab.policy("warning"), fail_on=fail_on)
    lab.fit(lab.model(), callback, epochs=1)
    assert callback.last_good == (good and lab.folder / good)


def test_only_the_best_is_saved(lab: Lab) -> None:
    """A checkpoint that was rejected is not the best one: a worse one than it is saved after it."""
    watch, seen = lab.bytes_of(lab.folder / "m.keras")
    callback = lab.guard(monitor="score", mode="max", save_best_only=True)
    lab.fit(lab.model(), lab.poison(1), lab.scores(1, 9, 2, 0), callback, watch, epochs=4)
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert callback.best == 2


def test_a_threshold_is_to_be_beaten(lab: Lab) -> None:
    """With initial_value_threshold, nothing is saved before that value is beaten."""
    options = {"monitor": "score", "mode": "max", "save_best_only": True, "initial_value_threshold": 5}
    lab.fit(lab.model(), lab.scores(4, 6, 5), lab.guard("{epoch}.keras", **options))
    assert lab.names == ["2.keras"]


def test_it_saves_when_model_checkpoint_does(lab: Lab) -> None:
    """With save_freq and several batches per step, times and names are those of ModelCheckpoint."""
    name = "{epoch:02d}-{batch}-{loss:.3f}.weights.h5"
    options = {"save_freq": 3, "save_weights_only": True}
    theirs = lab.keras.callbacks.ModelCheckpoint(lab.folder / "theirs" / name, **options)
    model = lab.model(step="graph", steps_per_execution=2)
    lab.fit(model, lab.guard(f"ours/{name}", **options), theirs, epochs=5)
    ours, expected = ({item.name for item in (lab.folder / kind).iterdir()} for kind in ("ours", "theirs"))
    assert ours == expected
    assert len(ours) > 1


def test_verbose_tells_as_model_checkpoint_does(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """What was saved, and what was not, is printed."""
    path = lab.folder / "m.keras"
    lab.fit(lab.model(), lab.poison(1), lab.guard(verbose=1), epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert f"Epoch 1: saving model to {path}" in lines
    assert f"Epoch 2: {path} is left as it was" in lines
    assert f"Epoch 2: finished saving model to {path}" not in lines


def test_a_place_that_cannot_be_written(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Training goes on, and one sentence for each epoch says why there is no checkpoint."""
    (lab.folder / "m.keras").mkdir()
    callback = lab.guard()
    history = lab.fit(lab.model(), callback, epochs=2)
    assert len(history["loss"]) == 2
    told = messages(caplog, logging.ERROR)
    assert [text.partition(":")[0] for text in told] == ["Epoch 1", "Epoch 2"]
    assert "training goes on: m.keras cannot be replaced: it is not a regular file." in told[0]
    assert callback.last_good is None


def test_strict_makes_it_an_error(lab: Lab) -> None:
    """With strict, a place that cannot be written ends the training."""
    (lab.folder / "m.keras").mkdir()
    with pytest.raises(WriteError, match=r"m\.keras cannot be replaced"):
        lab.fit(lab.model(), lab.guard(strict=True))


def test_training_is_resumed(lab: Lab) -> None:
    """What load_model makes of a checkpoint trains on to the very weights of an unbroken run."""
    path = lab.folder / "m.keras"
    broken, whole = lab.model(), lab.model()
    whole.set_weights(broken.get_weights())
    lab.fit(broken, lab.guard(), epochs=2)
    lab.fit(lab.keras.models.load_model(path), lab.guard(), epochs=4, initial_epoch=2)
    lab.fit(whole, epochs=4)
    resumed = lab.keras.models.load_model(path)
    assert int(resumed.optimizer.iterations) == 4 * BATCHES
    for left, right in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", ["m.tf", "checkpoint", "saved_model"])
def test_names_that_keras_does_not_take(lab: Lab, name: str) -> None:
    """Other suffixes than ModelCheckpoint takes are refused at once."""
    for weights_only in (False, True):
        with pytest.raises(ValueError, match="filepath"):
            lab.guard(name, save_weights_only=weights_only)
