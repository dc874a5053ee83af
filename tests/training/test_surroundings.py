"""What the callback needs around it, and what it does where something is missing."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import weightaudit
from tests.training.conftest import Lab, messages
from weightaudit.errors import UsageError
from weightaudit.formats import lister

CHECKOUT = Path(__file__).resolve().parents[2]

NEED = "ImportError: weightaudit.keras needs Keras 3 on TensorFlow: pip install 'weightaudit[tensorflow]'"

WITHOUT_KERAS = """
import sys
import weightaudit, weightaudit.auditor, weightaudit.repair.run
assert not {"keras", "tensorflow"} & set(sys.modules)
sys.modules["keras"] = None
import weightaudit.keras
"""

ON_A_FULL_DISK = """
import sys
from pathlib import Path
import keras
from tests.training.conftest import Lab

lab = Lab(keras, Path(sys.argv[1]))
saved = lab.folder / "m.weights.h5"
seen = []

def fill(epoch, logs):
    seen.append(saved.read_bytes())
    if epoch == 0:
        with (lab.folder / "ballast").open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(1024))
                except OSError:
                    break

guard = lab.guard(saved.name, save_weights_only=True)
history = lab.fit(lab.model(), guard, lab.after_epoch(fill))
print(len(history["loss"]), len(set(seen)), len(lab.names))
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a process that finds weightaudit and these tests."""
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "rules")])
    return subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_keras() -> None:
    """Neither weightaudit nor a repair imports Keras, and without it the error says what to install."""
    done = run(sys.executable, "-c", WITHOUT_KERAS)
    assert done.stderr.splitlines()[-1].startswith(NEED)


def test_keras_on_something_else(lab: Lab) -> None:  # noqa: ARG001 - skips where there is no Keras
    """On another backend, the error says how to choose TensorFlow."""
    done = run(sys.executable, "-c", "import weightaudit.keras", KERAS_BACKEND="numpy")
    last = done.stderr.splitlines()[-1]
    assert last.startswith(NEED)
    assert "have no other KERAS_BACKEND than tensorflow" in last


def test_models_of_another_keras(lab: Lab) -> None:
    """A model of tf_keras is refused by name."""
    tf_keras = pytest.importorskip("tf_keras")
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(8,))])
    model.compile("sgd", "mse")
    with pytest.raises(UsageError, match="this is a tf_keras"):
        lab.fit(model, lab.guard())


def test_trainings_of_several_processes(lab: Lab) -> None:
    """Where several processes train one model, the callback is refused before the training begins."""
    import tensorflow as tf

    cluster = tf.train.ClusterSpec({"worker": ["one.example:1", "two.example:1"]})

    class Shared(tf.distribute.OneDeviceStrategy):  # type: ignore[misc]  # TensorFlow comes without types
        cluster_resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster)

    with Shared("cpu:0").scope():
        model = lab.model(step="graph")
    with pytest.raises(UsageError, match="several share this training"):
        lab.fit(model, lab.guard())


def test_places_elsewhere(lab: Lab) -> None:  # noqa: ARG001 - skips where there is no Keras
    """What cannot be replaced by a rename is refused."""
    from weightaudit.keras import AuditCheckpoint

    with pytest.raises(UsageError, match="no path of this machine"):
        AuditCheckpoint("gs://bucket/m.keras")


def test_no_process_is_started(lab: Lab) -> None:
    """Files that Keras writes are audited without another process beside the one that trains."""
    lister.discard()
    callback = lab.guard("m.h5")
    lab.fit(lab.model(), callback, epochs=2)
    assert callback.last_report.ok
    assert not lister._servers


def test_the_process_that_lists_unusual_files(tmp_path: Path) -> None:
    """It is a program of its own, and no fork of the process in which TensorFlow has its threads."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.weights.h5", "w", libver="latest") as file:
        file["layers/dense/vars/0"] = [1.0, 2.0]
    assert weightaudit.audit(tmp_path / "m.weights.h5").ok
    (server,) = lister._servers
    proc = Path("/proc") / str(server.process.pid)
    if not proc.is_dir():
        pytest.skip("needs /proc to look at another process")
    assert "hdf5_lister.py" in (proc / "cmdline").read_text()
    assert "tensorflow" not in (proc / "maps").read_text()


def test_a_saver_that_fails(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """What Keras' own saver raises is told in one sentence; the last good file stays, training goes on."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limit(epoch: int, _logs: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 if epoch == 1 else hard, hard))

    watch, seen = lab.bytes_of(lab.folder / "m.keras")
    lift = lab.after_epoch(lambda *_: limit(-1, None))
    callback = lab.guard(monitor="score", mode="max", save_best_only=True)
    try:
        lab.fit(lab.model(), lab.scores(1, 9, 2), lab.after_epoch(limit), callback, lift, watch)
    finally:
        limit(-1, None)
    assert seen[0] == seen[1] != seen[2]
    (told,) = messages(caplog, logging.ERROR)
    assert told.startswith("Epoch 2: what was there is left as it was, and training goes on: m.keras cannot")
    assert "File too large" in told
    assert lab.names == ["m.keras"]


def test_a_full_disk(tmp_path: Path) -> None:
    """It neither costs the last good file nor, as libhdf5 would have it, the process that trains."""
    pytest.importorskip("keras")
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o size=4m none {tmp_path}"
    if unshare is None or run(unshare, "-m", "sh", "-c", mount).returncode:
        pytest.skip("needs unshare, and the right to mount")
    train = 'exec "$0" -W ignore -c "$1" "$2"'
    done = run(
        unshare, "-m", "sh", "-c", f"{mount} && {train}", sys.executable, ON_A_FULL_DISK, str(tmp_path)
    )
    assert (done.returncode, done.stdout.split()) == (0, ["3", "1", "2"]), done.stderr
    assert done.stderr.count("and training goes on:") == 2
    assert "free some space" in done.stderr
