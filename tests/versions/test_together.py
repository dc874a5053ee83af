"""Several processes in one store, and processes that die in it, do no harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.versions.conftest import Bench, copied, flip, places
from weightaudit import open_checkpoint
from weightaudit.errors import StoreError
from weightaudit.versions.committing import commit
from weightaudit.versions.lock import locked
from weightaudit.versions.store import open_store
from weightaudit.versions.tagging import tag
from weightaudit.versions.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKOUT = Path(__file__).resolve().parents[2]

HOLD = """
import sys, time
from pathlib import Path
from weightaudit.versions.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

DIE = """
import os, signal, sys
from pathlib import Path
from weightaudit import open_checkpoint
from weightaudit.versions import committing, draft
from weightaudit.versions.store import open_store

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

place, name = sys.argv[3].split(":")
setattr({"committing": committing, "draft": draft}[place], name, die)
with open_checkpoint(sys.argv[2]) as checkpoint:
    committing.commit(open_store(Path(sys.argv[1])), checkpoint, message="", author="")
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start Python on some code, or as a module, with arguments."""
    paths = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "rules")])
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Wait for processes, and return how they ended and what they said."""
    ended = [process.communicate(timeout=120) for process in processes]
    return [(process.returncode, error) for process, (_, error) in zip(processes, ended, strict=True)]


def test_commits_at_once_become_one_version_each(tmp_path: Path, sources: dict[str, Path]) -> None:
    """Processes that make the store, the model's directory and a version at the same instant all succeed."""
    models = [copied(sources["h5"], tmp_path / f"m{index}.h5") for index in range(6)]
    for index, model in enumerate(models):
        flip(model, 12_000 + index)
    options = ["--store", tmp_path / "store", "--name", "m", "--message"]
    done = finish([start("-m", "weightaudit", "commit", model, *options, model.name) for model in models])
    assert done == [(0, "")] * 6
    store = open_store(tmp_path / "store")
    versions = store.versions("m")
    assert [version.number for version in versions] == [1, 2, 3, 4, 5, 6]
    assert {version.record.message for version in versions} == {model.name for model in models}
    assert [version.record.parent for version in versions] == [None, 1, 2, 3, 4, 5]
    assert [verify(version) for version in versions] == [()] * 6
    for version in versions:
        assert version.path.read_bytes() == (tmp_path / version.record.message).read_bytes()


def test_who_holds_the_lock(bench: Bench, sources: dict[str, Path]) -> None:
    """Whoever waits in vain learns process, host and time; the end of a process frees its lock."""
    version = bench.put(sources["keras"]).version
    holder = start("-c", HOLD, version.directory.parent)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    since = time.monotonic()
    with (
        open_checkpoint(sources["keras"]) as checkpoint,
        pytest.raises(StoreError, match=rf"in use by process {holder.pid} on \S+ since \d{{4}}-\S+Z"),
    ):
        commit(bench.store, checkpoint, message="", author="", always=True, wait=0.3)
    assert 0.3 <= time.monotonic() - since < 5
    with pytest.raises(StoreError, match="in use by process"):
        tag(version, "production", wait=0.0)
    # Reading needs no lock.
    assert verify(bench.store.get(version.name)) == ()
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert bench.put(sources["keras"], always=True).version.number == 2


def test_a_lock_file_with_nonsense(tmp_path: Path) -> None:
    """What the holder of a lock left word of is shown as it is, and need not be there."""
    for note in (b"", b"[]", b"[" * 5000, b"\xff"):
        with locked(tmp_path):
            (tmp_path / ".lock").write_bytes(note)
            with pytest.raises(StoreError, match="in use by another process"), locked(tmp_path, 0):
                pass
    assert (tmp_path / ".lock").read_bytes() == b""


def test_a_linked_lock_file_is_not_followed(tmp_path: Path) -> None:
    """A lock file that leads elsewhere is not written to."""
    (tmp_path / "diary").write_text("dear diary")
    (tmp_path / ".lock").symlink_to(tmp_path / "diary")
    with pytest.raises(StoreError, match="cannot be written to"), locked(tmp_path):
        pass
    assert (tmp_path / "diary").read_text() == "dear diary"


@pytest.mark.parametrize(
    "place", ["committing:clone_file", "draft:source_digest", "draft:create", "draft:publish"]
)
def test_a_killed_process_leaves_no_version(bench: Bench, sources: dict[str, Path], place: str) -> None:
    """Killed wherever it is, a commit leaves no number; the next one clears up and takes it."""
    bench.put(sources["checkpoint"])
    model = bench.model("ckpt-1", sources["checkpoint"])
    flip(model.with_name("ckpt-1.data-00000-of-00001"), 50)
    ((code, error),) = finish([start("-c", DIE, bench.store.root, model, place)])
    assert code == -signal.SIGKILL, error
    folder = bench.store.folder("ckpt-1")
    assert bench.store.numbers("ckpt-1") == [1]
    assert len([name for name in places(folder) if name.endswith("-tmp")]) == 1
    version = bench.put(model).version
    assert version.number == 2
    assert verify(version) == ()
    assert places(folder) == [".lock", "1", "2"]


READ_ONLY = """
mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 77
python=$2; shift 2
run() { echo "$($python -m weightaudit "$@" 2>&1; echo "exit $?")"; }
run versions list --store store
run versions verify --store store
run versions restore @1 back.keras --store store
run commit m.keras -m again --store store --always
run versions tag @1 t --store store
run versions prune --keep 1 --store store
run versions prune --keep 1 --store store --dry-run
"""


def test_a_read_only_store(bench: Bench, sources: dict[str, Path]) -> None:
    """What only reads works in a store that cannot be written to; the rest says so in a sentence."""
    bench.put(sources["keras"])
    bench.model("m.keras", sources["keras"])
    command = ["unshare", "-rm", "sh", "-c", READ_ONLY, "sh", str(bench.store.root), sys.executable]
    try:
        done = subprocess.run(
            command,
            cwd=bench.root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "rules")])},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare to mount a read-only directory with")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("nothing can be mounted here")
    listed, verified, restored, *refused, dry = done.stdout.replace("\nexit", " exit").splitlines()
    assert listed.endswith("a message exit 0")
    assert verified == "healthy.keras@1: intact exit 0"
    assert restored == "healthy.keras@1: restored to back.keras exit 0"
    assert (bench.root / "back.keras").read_bytes() == sources["keras"].read_bytes()
    assert len(refused) == 3
    assert all("store cannot be written to: Read-only file system. exit 3" in line for line in refused)
    assert dry == "weightaudit: there is nothing to remove. exit 0"
