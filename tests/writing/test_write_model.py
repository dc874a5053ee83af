"""Copies of every container: nothing changes that was not asked for, and nothing is written elsewhere."""

from __future__ import annotations

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from tests.writing.rewriting import assert_only_changed, edit, numbers, random_values, rewrite
from weightaudit.checkpoint import open_checkpoint
from weightaudit.errors import ReadError, UsageError, WriteError
from weightaudit.writing import model_files, write_model

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

MODELS = (
    "healthy.keras",
    "deflated.keras",
    "bfloat16.keras",
    "int8.keras",
    "legacy.h5",
    "hdf5.keras",
    "gzip.h5",
    "plain.weights.h5",
    "sharded.weights.json",
    "checkpoint/ckpt-1",
    "exported",
)


def _stored(path: Path) -> dict[str, NDArray[Any]]:
    """Return the stored bytes of every tensor that can be changed."""
    with open_checkpoint(path) as checkpoint:
        return {
            info.name: np.frombuffer(checkpoint.read_stored(info.name), np.uint8)
            for info in numbers(checkpoint)
            if info.nbytes == info.size
        } | {
            info.name: np.frombuffer(checkpoint.read_stored(info.name), f"V{info.nbytes // info.size}")
            for info in numbers(checkpoint)
            if info.nbytes != info.size
        }


@pytest.mark.parametrize("name", MODELS)
def test_the_same_values_give_the_same_bytes(tmp_path: Path, fixtures_dir: Path, name: str) -> None:
    """A copy with every tensor written anew, with the values that it has, is the same file by file."""
    path = fixtures_dir / name
    written = rewrite(path, tmp_path / "copy", _stored(path))
    with open_checkpoint(path) as checkpoint:
        source = model_files(checkpoint)
    assert (written.names, written.folders, written.main) == (source.names, source.folders, source.main)
    for file in source.names:
        assert (written.root / file).read_bytes() == (source.root / file).read_bytes(), file
    made = {found.relative_to(written.root).as_posix() for found in written.root.rglob("*")}
    assert made == {*source.names, *source.folders}


@pytest.mark.parametrize("name", MODELS)
def test_one_tensor_at_a_time(tmp_path: Path, fixtures_dir: Path, name: str) -> None:
    """Whichever tensor changes, our reader finds its values, and those of all others as they were."""
    path = fixtures_dir / name
    generator = np.random.default_rng(7)
    with open_checkpoint(path) as checkpoint:
        infos = numbers(checkpoint)
    for info in infos[:6]:
        values = {info.name: random_values(info, generator)}
        written = rewrite(path, tmp_path / "copy", values)
        assert_only_changed(path, written.path, values)
        shutil.rmtree(tmp_path / "copy")


def test_an_unpacked_archive(tmp_path: Path, fixtures_dir: Path) -> None:
    """An unpacked .keras directory gets new weights, and keeps configuration and assets."""
    path = tmp_path / "model"
    shutil.unpack_archive(fixtures_dir / "healthy.keras", path, "zip")
    (path / "assets").mkdir()
    (path / "assets" / "words.txt").write_text("one")
    values = {"stem/bias": np.arange(4, dtype=np.float32)}
    written = rewrite(path, tmp_path / "copy", values, record=b"no room for it")
    assert written.names == ("assets/words.txt", "config.json", "metadata.json", "model.weights.h5")
    assert_only_changed(path, written.path, values)
    assert (written.path / "config.json").read_bytes() == (path / "config.json").read_bytes()


def test_shards_are_written_where_they_change(tmp_path: Path, fixtures_dir: Path) -> None:
    """Of Keras weight shards, the one that changes is new; the others and the index are links."""
    path = fixtures_dir / "sharded.weights.json"
    with h5py.File(path.with_name("sharded_00001.weights.h5")) as shard, open_checkpoint(path) as checkpoint:
        info = next(info for info in numbers(checkpoint) if info.key in shard)
    known = tmp_path / "known"
    known.mkdir()
    for part in path.parent.glob("sharded*"):
        shutil.copy(part, known)
    reuse = {part.name: part for part in known.iterdir()}
    values = {info.name: random_values(info, np.random.default_rng(0))}
    written = rewrite(path, tmp_path / "copy", values, reuse=reuse)
    assert_only_changed(path, written.path, values)
    shared = {name for name in written.names if (known / name).samefile(written.root / name)}
    assert shared == {"sharded.weights.json", "sharded_00000.weights.h5"}


def test_shards_under_another_name(tmp_path: Path, fixtures_dir: Path) -> None:
    """A renamed index names its renamed shards, and Keras loads the weights from them."""
    path = fixtures_dir / "sharded.weights.json"
    written = rewrite(
        path, tmp_path / "copy", {"stem/bias": np.arange(4, dtype=np.float32)}, name="b.weights.json"
    )
    assert written.names == ("b.weights.json", "b_00000.weights.h5", "b_00001.weights.h5")
    text = written.path.read_text()
    assert text.replace('"b_0', '"sharded_0') == path.read_text()
    assert json.loads(text)["metadata"] == json.loads(path.read_text())["metadata"]
    from tests.formats.tensorflow_oracle import tensorflow

    tensorflow()
    import keras

    model = keras.models.load_model(path.parent / "healthy.keras", compile=False)
    model.load_weights(written.path)
    np.testing.assert_array_equal(model.get_layer("stem").get_weights()[1], np.arange(4))
    with pytest.raises(WriteError, match=r"let it end in \.weights\.json"):
        rewrite(path, tmp_path / "other", {}, name="b.json")


def test_a_file_under_another_name(tmp_path: Path, fixtures_dir: Path) -> None:
    """A file gets the name that is asked for, a directory has none, and no name leads elsewhere."""
    assert (
        rewrite(fixtures_dir / "legacy.h5", tmp_path / "a", {}, name="b.h5").path == tmp_path / "a" / "b.h5"
    )
    assert rewrite(fixtures_dir / "exported", tmp_path / "b", {}, name="x").path == tmp_path / "b"
    for name in ("../b.h5", "x/y.h5", "", ".", "..", "a\0b"):
        with pytest.raises(WriteError, match="is not the name of a file"):
            rewrite(fixtures_dir / "legacy.h5", tmp_path / "c", {}, name=name)


def test_what_cannot_be_changed_is_refused(tmp_path: Path, fixtures_dir: Path) -> None:
    """Unknown tensors, strings, tensors that are not there, and shared bytes each give one clear sentence."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/one/vars/0"] = np.ones((3, 3), np.float32)
        file["layers/two/vars/0"] = file["layers/one/vars/0"]
        file["layers/text/vars/0"] = "words"
        file["layers/three/vars/0"] = np.ones(3, np.float32)
    ones = np.ones((3, 3), np.float32)
    for name in ("one/0", "two/0"):
        with pytest.raises(
            WriteError, match=r"one/0 shares bytes of m\.weights\.h5 with two/0.*save it again"
        ):
            rewrite(path, tmp_path / "copy", {name: ones})
    assert_only_changed(
        path, rewrite(path, tmp_path / "fine", {"three/0": ones[0] * 2}).path, {"three/0": ones[0] * 2}
    )
    with pytest.raises(WriteError, match="is of type string, holds no numbers"):
        rewrite(path, tmp_path / "copy", {"text/0": ones})
    with pytest.raises(UsageError, match="There is no tensor 'four'"):
        rewrite(path, tmp_path / "copy", {"four": ones})
    shutil.copytree(fixtures_dir / "checkpoint", tmp_path / "part")
    (tmp_path / "part" / "ckpt-1.data-00000-of-00001").unlink()
    with open_checkpoint(tmp_path / "part" / "ckpt-1") as checkpoint:
        info = numbers(checkpoint)[0]
    with pytest.raises(WriteError, match=r"is not all there\. .* is missing"):
        rewrite(tmp_path / "part" / "ckpt-1", tmp_path / "copy", {info.name: np.zeros(info.shape)})
    assert not list((tmp_path / "copy").iterdir())


@pytest.mark.parametrize("kind", ["short", "long", "gap", "twice"])
def test_new_values_must_be_those_of_the_whole_tensor(tmp_path: Path, fixtures_dir: Path, kind: str) -> None:
    """Bytes that leave elements out, come twice or out of order are refused, not written half."""
    whole = np.zeros(4, np.float32)

    def pieces() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        yield 0, whole[:2].view(np.uint8)
        if kind != "short":
            yield {"gap": 3, "twice": 1}.get(kind, 2), whole[: 3 if kind == "long" else 2].view(np.uint8)

    path = fixtures_dir / "healthy.keras"
    with open_checkpoint(path) as checkpoint, pytest.raises(WriteError, match="stem/bias"):
        write_model(checkpoint, {"stem/bias": pieces}, tmp_path)


def test_the_model_must_stay_as_it_is(tmp_path: Path, fixtures_dir: Path) -> None:
    """A model that is written to while it is copied is an error."""
    path = shutil.copy(fixtures_dir / "legacy.h5", tmp_path / "m.h5")

    def pieces() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        os.utime(path)
        yield from edit(np.zeros(4, np.float32))()

    (tmp_path / "copy").mkdir()
    with (
        open_checkpoint(path) as checkpoint,
        pytest.raises(ReadError, match=r"m\.h5 changed while it was read"),
    ):
        write_model(checkpoint, {"stem/bias": pieces}, tmp_path / "copy")


@pytest.mark.parametrize("kind", ["file", "link", "pipe"])
def test_nothing_that_is_there_is_touched(tmp_path: Path, fixtures_dir: Path, kind: str) -> None:
    """A file, link or pipe that has a name in the directory already is an error, and stays as it is."""
    for name, made in (
        ("legacy.h5", "legacy.h5"),
        ("exported", "saved_model.pb"),
        ("healthy.keras", "healthy.keras"),
    ):
        folder = tmp_path / f"into-{name}"
        folder.mkdir()
        outside = tmp_path / "outside"
        outside.write_bytes(b"precious")
        if kind == "file":
            (folder / made).write_bytes(b"precious")
        elif kind == "link":
            (folder / made).symlink_to(outside)
        else:
            os.mkfifo(folder / made)
        bias = {} if name == "exported" else {"stem/bias": np.zeros(4, np.float32)}
        with pytest.raises(WriteError, match=f"{made} cannot be written: File exists"):
            rewrite(fixtures_dir / name, folder, bias)
        assert outside.read_bytes() == b"precious"
        assert kind != "file" or (folder / made).read_bytes() == b"precious"


def test_permissions_are_those_of_the_model(tmp_path: Path, fixtures_dir: Path) -> None:
    """Files keep their permissions, less the umask, and their owner may always write the copy."""
    for name, changes in (("legacy.h5", {"stem/bias": np.zeros(4, np.float32)}), ("healthy.keras", {})):
        for mode in (0o644, 0o400, 0o4755):
            path = Path(shutil.copy(fixtures_dir / name, tmp_path / name))
            path.chmod(mode)
            copy = rewrite(path, tmp_path / f"{name}-{mode}", changes).path
            umask = os.umask(0)
            os.umask(umask)
            assert stat.S_IMODE(copy.stat().st_mode) == (mode & 0o777 | 0o600) & ~umask


@contextmanager
def _full_disk(nbytes: int) -> Generator[None]:
    """Let no file become longer than that."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_full_disk_is_a_clear_error(tmp_path: Path, fixtures_dir: Path, name: str, share: float) -> None:
    """Where no more can be written, the error names the file, and no file is longer than allowed."""
    with open_checkpoint(fixtures_dir / name) as checkpoint:
        source = model_files(checkpoint)
        limit = int(share * max((source.root / file).stat().st_size for file in source.names))
        info = max(numbers(checkpoint), key=lambda info: info.nbytes)
        values = edit(random_values(info, np.random.default_rng(0)))
        with _full_disk(limit), pytest.raises(WriteError, match=r"\.\S+ cannot be written: File too large"):
            write_model(checkpoint, {info.name: values}, tmp_path, record=b"{}" * 5000)
    assert max(found.stat().st_size for found in tmp_path.rglob("*") if found.is_file()) <= limit


def test_descriptors_are_closed_after_an_error(tmp_path: Path, fixtures_dir: Path) -> None:
    """A copy that fails in the middle leaves no file open."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("needs /proc/self/fd to count open files")

    def pieces() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        yield 0, np.zeros(8, np.uint8)
        raise WriteError("on purpose")

    for name in ("healthy.keras", "deflated.keras", "legacy.h5", "checkpoint/ckpt-1", "exported"):
        with open_checkpoint(fixtures_dir / name) as checkpoint:
            tensor = next(
                info.name for info in numbers(checkpoint) if info.dtype == "float32" and info.size > 2
            )
            before = len(list(folder.iterdir()))
            (tmp_path / "copy").mkdir()
            with pytest.raises(WriteError, match="on purpose"):
                write_model(checkpoint, {tensor: pieces}, tmp_path / "copy")
            assert len(list(folder.iterdir())) == before
            shutil.rmtree(tmp_path / "copy")


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """Copying a model of 200 MB with a changed tensor of 100 MB takes a few MB of memory."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        for number in range(2):
            file.create_dataset(f"layers/part{number}/vars/0", data=np.zeros(25_000_000, np.float32))
    script = (
        "import resource, sys\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from weightaudit.checkpoint import open_checkpoint\n"
        "from weightaudit.writing import write_model\n"
        "def pieces():\n"
        "    for first in range(0, 25_000_000, 500_000):\n"
        "        yield first, np.ones(500_000, np.float32).view(np.uint8)\n"
        "with open_checkpoint(sys.argv[1]) as checkpoint:\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    write_model(checkpoint, {'part1/0': pieces}, Path(sys.argv[2]))\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    (tmp_path / "copy").mkdir()
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "copy")]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    kilobytes = int(result.stdout) // (1024 if sys.platform == "darwin" else 1)
    assert kilobytes < 40_000
