"""SavedModels: TensorFlow loads the copy, computes with its values, and finds its fingerprint right."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.formats.tensorflow_oracle import tensorflow
from tests.writing.rewriting import assert_only_changed, edit, numbers, random_values, record_of, rewrite
from weightaudit.checkpoint import open_checkpoint
from weightaudit.errors import WriteError
from weightaudit.writing import Edit, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

INDEX, DATA = "variables/variables.index", "variables/variables.data-00000-of-00001"


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def _saved(folder: Path) -> NDArray[Any]:
    """Save a module with an asset, and return its weight."""
    tf = tensorflow()
    (folder.parent / "words.txt").write_text("one\ntwo\n")
    module = tf.Module()
    module.weight = tf.Variable(tf.random.normal([5, 3]), name="weight")
    module.words = tf.saved_model.Asset(str(folder.parent / "words.txt"))
    compute = tf.function(lambda x: tf.matmul(x, module.weight))
    signature = tf.TensorSpec([None, 5], tf.float32)
    tf.saved_model.save(module, str(folder), signatures=compute.get_concrete_function(signature))
    return module.weight.numpy()  # type: ignore[no-any-return]  # TensorFlow has no types


def _fingerprint_is_right(folder: Path) -> bool:
    tf = tensorflow()
    said = tf.saved_model.experimental.read_fingerprint(str(folder)).checkpoint_hash
    hashed = tf.fingerprint(tf.constant([(folder / INDEX).read_bytes()]))
    return bool(int(np.asarray(hashed).view("<u8").item()) == said)


def test_a_saved_model_computes_with_its_new_values(tmp_path: Path) -> None:
    """The signature of the copy multiplies with the new weight; assets and graph are the same bytes."""
    tf = tensorflow()
    path = tmp_path / "model"
    _saved(path)
    (path / "assets.extra").mkdir()
    (path / "assets.extra" / "warmup").write_bytes(b"requests")
    (path / "empty" / "folder").mkdir(parents=True)
    values = {"weight": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)}
    written = rewrite(path, tmp_path / "copy", values, record=b'{"a": 1}')
    assert written.path == tmp_path / "copy"
    assert (tmp_path / "copy" / "empty" / "folder").is_dir()
    assert set(written.folders) == {"assets", "assets.extra", "empty", "empty/folder", "variables"}
    before, after = _contents(path), _contents(tmp_path / "copy")
    assert tuple(sorted(after)) == written.names
    assert after.pop("assets.extra/weightaudit.json") == b'{"a": 1}'
    assert {name for name in before if before[name] != after[name]} == {INDEX, DATA, "fingerprint.pb"}
    assert before.keys() == after.keys()
    assert_only_changed(path, tmp_path / "copy", values)
    loaded = tf.saved_model.load(str(tmp_path / "copy"))
    ones = tf.ones([2, 5])
    (result,) = loaded.signatures["serving_default"](ones).values()
    np.testing.assert_array_equal(result, tf.matmul(ones, tf.constant(values["weight"])))


def test_the_fingerprint_follows_the_index(tmp_path: Path) -> None:
    """A fingerprint that was right is right in the copy, and else the same; one that was wrong stays."""
    path = tmp_path / "model"
    _saved(path)
    values = {"weight": np.ones((5, 3), np.float32)}
    assert _fingerprint_is_right(path)
    rewrite(path, tmp_path / "copy", values)
    assert _fingerprint_is_right(tmp_path / "copy")
    from tensorflow.core.protobuf import fingerprint_pb2

    old, new = (
        fingerprint_pb2.FingerprintDef.FromString((folder / "fingerprint.pb").read_bytes())
        for folder in (path, tmp_path / "copy")
    )
    assert old.checkpoint_hash != new.checkpoint_hash
    old.checkpoint_hash = new.checkpoint_hash
    assert old == new
    for number, other in enumerate((old.SerializeToString(), b"no fingerprint", b"")):
        (path / "fingerprint.pb").write_bytes(other)
        copy = rewrite(path, tmp_path / f"copy{number}", values).path
        assert (copy / "fingerprint.pb").read_bytes() == other


def test_both_copies_of_an_exported_variable_change(tmp_path: Path, fixtures_dir: Path) -> None:
    """Keras 3 exports store each variable twice; both get the values, and serving computes with them."""
    tf = tensorflow()
    path = fixtures_dir / "exported"
    generator = np.random.default_rng(1)
    with open_checkpoint(path) as checkpoint:
        values = {info.name: random_values(info, generator) for info in numbers(checkpoint) if info.shape}
        keys = {name: [entry.key for entry in checkpoint.entries(checkpoint[name])] for name in values}
    assert all(len(both) == 2 for both in keys.values())
    copy = rewrite(path, tmp_path / "copy", values, record=b"{}").path
    assert_only_changed(path, copy, values)
    reader = tf.train.load_checkpoint(str(copy / "variables" / "variables"))
    for name, both in keys.items():
        for key in both:
            assert reader.get_tensor(key).tobytes() == values[name].tobytes()
    images = generator.normal(size=(3, 8, 8, 1)).astype(np.float32)
    loaded = tf.saved_model.load(str(copy))
    served = np.asarray(loaded.serve(tf.constant(images)))
    named = {name.rpartition("dense/")[2]: tf.constant(wanted) for name, wanted in values.items()}
    hidden = tf.nn.relu(tf.reshape(images, [3, -1]) @ named["hidden/kernel"] + named["hidden/bias"])
    np.testing.assert_allclose(served, hidden @ named["head/kernel"] + named["head/bias"], rtol=1e-5)
    assert _fingerprint_is_right(copy)


def test_values_are_asked_for_once(tmp_path: Path, fixtures_dir: Path) -> None:
    """The values of a variable that is stored twice are made once, and in the order of the request."""
    asked: list[str] = []

    def counted(name: str, values: NDArray[Any]) -> Edit:
        def pieces() -> Iterator[tuple[int, NDArray[np.uint8]]]:
            asked.append(name)
            yield from edit(values)()

        return pieces

    generator = np.random.default_rng(4)
    with open_checkpoint(fixtures_dir / "exported") as checkpoint:
        infos = numbers(checkpoint)[::-1]
        edits = {info.name: counted(info.name, random_values(info, generator)) for info in infos}
        write_model(checkpoint, edits, tmp_path)
    assert asked == [info.name for info in infos]


def test_copies_that_differ_are_refused(tmp_path: Path, fixtures_dir: Path) -> None:
    """Where the two stored copies of a variable differ already, it is not guessed which one counts."""
    path = tmp_path / "exported"
    shutil.copytree(fixtures_dir / "exported", path)
    with open_checkpoint(path) as checkpoint:
        info = next(info for info in numbers(checkpoint) if len(checkpoint.entries(info)) == 2)
        place = checkpoint.entries(info)[1].storage
    data = bytearray((path / DATA).read_bytes())
    data[place.offset] ^= 1  # type: ignore[union-attr]  # it is whole
    (path / DATA).write_bytes(data)
    values = {info.name: random_values(info, np.random.default_rng(2))}
    with pytest.raises(WriteError, match=f"{info.name} is stored twice.*the copies differ"):
        rewrite(path, tmp_path / "copy", values)


def test_a_file_of_the_users_own_is_no_record(tmp_path: Path, fixtures_dir: Path) -> None:
    """What somebody else keeps under the name of a record stays, and no record is written then."""
    path = tmp_path / "model"
    shutil.copytree(fixtures_dir / "exported", path)
    (path / "assets.extra").mkdir()
    for content in (b"my own notes", b'{"model": "x"}', b"[" * 100_000):
        (path / "assets.extra" / "weightaudit.json").write_bytes(content)
        copy = rewrite(path, tmp_path / f"copy{len(content)}", {}, record=record_of("new")).path
        assert _contents(copy) == _contents(path)


def test_a_record_alone_and_again(tmp_path: Path, fixtures_dir: Path) -> None:
    """Without new values everything is the same, a record is added once, and replaced the next time."""
    path = fixtures_dir / "exported"
    first = rewrite(path, tmp_path / "first", {}, record=record_of("one")).path
    second = rewrite(first, tmp_path / "second", {}, record=record_of("two")).path
    third = rewrite(second, tmp_path / "third", {}).path
    for folder, record in ((first, "one"), (second, "two"), (third, "two")):
        assert _contents(folder) == {**_contents(path), "assets.extra/weightaudit.json": record_of(record)}


def test_unchanged_files_are_shared(tmp_path: Path) -> None:
    """Files that are known to be the same become links, those of the model itself and all others copies."""
    path = tmp_path / "model"
    _saved(path)
    known = shutil.copytree(path, tmp_path / "known")
    (known / "fingerprint.pb").write_bytes(b"longer than the fingerprint that it should be" * 5)
    reuse = {name: known / name for name in _contents(path)}
    first = rewrite(path, tmp_path / "first", {}, reuse=reuse).path
    assert _contents(first) == _contents(path)
    shared = {name for name in _contents(path) if (known / name).samefile(first / name)}
    assert shared == _contents(path).keys() - {"fingerprint.pb"}
    reuse = {name: path / name for name in _contents(path)} | {"saved_model.pb": tmp_path / "missing"}
    second = rewrite(path, tmp_path / "second", {}, reuse=reuse).path
    assert _contents(second) == _contents(path)
    assert not {name for name in _contents(path) if (path / name).samefile(second / name)}
