"""Every good checkpoint of a training becomes a version."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.training.conftest import Lab, messages
from weightaudit import Policy
from weightaudit.errors import UsageError, WeightauditError
from weightaudit.policy import policy_digest
from weightaudit.versions.store import open_store
from weightaudit.versions.tagging import tag
from weightaudit.versions.verifying import verify_number


def test_good_checkpoints_become_versions(lab: Lab) -> None:
    """Each is the file that was saved, says when it was and how good; the broken one is not there."""
    callback = lab.guard("m-{epoch:02d}.keras", store=lab.folder / "store")
    history = lab.fit(lab.model(), lab.poison(1), callback)
    store = open_store(lab.folder / "store")
    assert store.models() == ["m.keras"]
    first, last = store.versions("m.keras")
    assert [first.record.message, last.record.message] == [
        f"epoch {epoch}, loss {history['loss'][epoch - 1]:.6g}" for epoch in (1, 3)
    ]
    saved = lab.folder / "m-03.keras"
    assert last.path.read_bytes() == saved.read_bytes()
    assert last.path.stat().st_ino != saved.stat().st_ino
    assert (last.record.parent, last.record.policy) == (1, policy_digest(Policy()))
    assert callback.last_version == last
    assert not any(verify_number(store, "m.keras", number) for number in (1, 2))


def test_the_store_beside_the_checkpoint(lab: Lab) -> None:
    """With store=True the versions are where every other command looks for them, under the name given."""
    lab.fit(lab.model(), lab.guard("runs/{epoch}.keras", store=True, name="net"), epochs=2)
    assert open_store(lab.folder / "runs" / ".weightaudit").numbers("net") == [1, 2]


def test_old_versions_are_pruned(lab: Lab) -> None:
    """With keep, only the newest stay, and the one with a tag."""

    def tag_first(epoch: int, _logs: Any) -> None:
        if epoch == 0:
            tag(open_store(lab.folder / "store").get("m.weights.h5"), "precious")

    callback = lab.guard("m.weights.h5", save_weights_only=True, store=str(lab.folder / "store"), keep=2)
    lab.fit(lab.model(), callback, lab.after_epoch(tag_first), epochs=4)
    assert open_store(lab.folder / "store").numbers("m.weights.h5") == [1, 3, 4]


def test_a_store_that_breaks_costs_no_checkpoint(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """The checkpoint is in place all the same, training goes on, and the log says what is missing."""
    (lab.folder / ".weightaudit").write_text("something else")
    callback = lab.guard(store=True)
    history = lab.fit(lab.model(), callback, epochs=2)
    assert (len(history["loss"]), callback.last_good, callback.last_version) == (
        2,
        lab.folder / "m.keras",
        None,
    )
    told = messages(caplog, logging.ERROR)
    assert len(told) == 2
    assert "is in place, but did not become a version" in told[0]


def test_strict_wants_the_version(lab: Lab) -> None:
    """With strict, a version that cannot be made ends the training; the checkpoint is in place."""
    (lab.folder / ".weightaudit").write_text("something else")
    with pytest.raises(UsageError, match="is no directory"):
        lab.fit(lab.model(), lab.guard(store=True, strict=True))
    assert lab.names == [".weightaudit", "m.keras"]


@pytest.mark.parametrize("place", ["file", "file/store", "file/deep/store", "full"])
def test_a_wrong_store_is_found_before_the_training(lab: Lab, place: str) -> None:
    """A store that cannot be made where it was asked for is an error at the start, strict or not."""
    (lab.folder / "file").write_text("something else")
    (lab.folder / "full").mkdir()
    (lab.folder / "full" / "notes.txt").write_text("something else")
    model = lab.model()
    with pytest.raises(WeightauditError, match=place):
        lab.fit(model, lab.guard(store=lab.folder / place))
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("m.keras", "m.keras"),
        ("runs/{epoch}/m-{epoch:02d}-{val_loss:.2f}.weights.h5", "m.weights.h5"),
        ("{epoch}.h5", "model.h5"),
        ("net_{epoch}_of_{batch}.keras", "net__of.keras"),
    ],
)
def test_a_model_has_one_name_in_the_store(template: str, name: str) -> None:
    """Placeholders do not count, so that the checkpoints of a training are versions of one model."""
    from weightaudit.keras.telling import name_of

    assert name_of(template) == name


@pytest.mark.parametrize(
    "wrong",
    [{"keep": 0, "store": True}, {"keep": 2}, {"name": "m"}, {"store": True, "name": "a/b"}, {"store": ""}],
)
def test_arguments_without_sense(lab: Lab, wrong: dict[str, Any]) -> None:
    """How to keep versions without keeping any, no version at all, and impossible names or paths fail."""
    with pytest.raises(UsageError):
        lab.guard(**wrong)
