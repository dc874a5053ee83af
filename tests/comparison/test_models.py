"""Whole models, in files: every container, damaged ones, quantized ones, and large tensors."""

from __future__ import annotations

import shutil
import warnings
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from tests.comparison.conftest import Models, normal
from weightaudit import compare
from weightaudit.catalog import Catalog, Entry, Extent, Layout
from weightaudit.checkpoint import Checkpoint, open_checkpoint
from weightaudit.comparison import Comparison, Status, TensorComparison, compare_checkpoints, steps
from weightaudit.discover import search
from weightaudit.engine import reading
from weightaudit.errors import ReadError
from weightaudit.formats import Kind, Opened
from weightaudit.source import Files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SAME = ("legacy.h5", "plain.weights.h5", "sharded.weights.json", "hdf5.keras", "deflated.keras")
"""Fixtures that hold the very model of healthy.keras."""


def unequal(comparison: Comparison) -> list[TensorComparison]:
    """Return the tensors that are not the same bit for bit under the same name."""
    return [one for one in comparison.tensors if one.status is not Status.EQUAL]


def test_every_model_equals_itself(fixtures_dir: Path) -> None:
    """Every fixture is equal to itself, tensor by tensor and by name."""
    targets = [one for one in search([str(fixtures_dir)]).targets if "notamodel" not in one.label]
    for target in targets:
        comparison = compare(target.path, target.path)
        assert unequal(comparison) == []
        assert comparison.exit_code == 0
    assert len(targets) >= 13


def test_real_models_equal_themselves(corpus: Path) -> None:
    """Every real model that can be read whole is equal to itself."""
    equal = 0
    for line in (corpus / "manifest.tsv").read_text("utf-8").splitlines()[1:]:
        folder = corpus / line.split("\t")[0]
        if "tflite" in line or "notamodel" in line or not folder.is_dir():
            continue
        for target in search([str(folder)]).targets:
            comparison = compare(target.path, target.path)
            assert {one.status for one in comparison.tensors} <= {Status.EQUAL, Status.UNREAD}
            equal += comparison.exit_code == 0
    assert equal > 40


@pytest.mark.parametrize("other", SAME)
def test_containers_of_one_model_are_equal(fixtures_dir: Path, other: str) -> None:
    """A .keras archive, an HDF5 file, a weight file, shards and packed members hold equal tensors."""
    for pair in ((fixtures_dir / "healthy.keras", fixtures_dir / other),
                 (fixtures_dir / other, fixtures_dir / "healthy.keras")):  # fmt: skip
        assert unequal(compare(*pair)) == []


def test_one_nan_across_formats(fixtures_dir: Path) -> None:
    """A model that got a NaN differs from the SavedModel it was exported as in that element alone."""
    comparison = compare(fixtures_dir / "exported", fixtures_dir / "nan.keras", weights_only=True)
    (one,) = unequal(comparison)
    assert (one.name, one.status) == ("dense/hidden/kernel", Status.CHANGED)
    assert one.difference is not None
    assert (one.difference.elements, one.difference.nonfinite_new, one.difference.relative) == (1, 1, 0.0)
    assert comparison.exit_code == 1
    tolerant = compare(
        fixtures_dir / "exported", fixtures_dir / "nan.keras", weights_only=True, tolerance=0.5
    )
    assert tolerant.exit_code == 1


def test_a_tolerance_lets_small_changes_pass(fixtures_dir: Path) -> None:
    """Rounding to bfloat16 is a change of less than a hundredth, and of more than a ten-thousandth."""
    pair = (fixtures_dir / "checkpoint" / "ckpt-1", fixtures_dir / "bfloat16.keras")
    for tolerance, code in ((0.0, 1), (1e-4, 1), (1e-2, 0)):
        comparison = compare(*pair, weights_only=True, tolerance=tolerance)
        assert comparison.exit_code == code
        assert all(one.status is Status.RETYPED for one in comparison.tensors)


def test_a_quantized_model_is_compared_by_what_it_stands_for(fixtures_dir: Path) -> None:
    """int8 kernels are compared as the weights that the layer computes with: 127 steps on each side."""
    comparison = compare(
        fixtures_dir / "checkpoint" / "ckpt-1", fixtures_dir / "int8.keras", weights_only=True
    )
    kernels = [one for one in comparison.tensors if one.status is Status.RETYPED]
    assert len(kernels) == 2
    for one in kernels:
        assert one.difference is not None
        assert 0 < one.difference.relative < 1 / 127
    assert comparison.count(Status.ADDED) == 2


def quantized(model: Models, scale: NDArray[np.float32]) -> Checkpoint:
    """Return an open model with an int8 Dense layer."""
    kernel = np.arange(-12, 12, dtype=np.int8).reshape(6, 4)
    variables: list[NDArray[Any]] = [kernel, normal(4), scale]
    return model({f"layers/dense/vars/{n}": one for n, one in enumerate(variables)}, Layout.KERAS3)


def test_another_scale_changes_the_weights(model: Models) -> None:
    """The same integers with another scale stand for other weights, and are no longer equal."""
    scale = np.array([10, 20, 30, 40], np.float32)
    comparison = compare_checkpoints(quantized(model, scale), quantized(model, scale * 2))
    found = {one.name: one for one in comparison.tensors}
    assert found["dense/bias"].status is Status.EQUAL
    kernel = found["dense/kernel"]
    assert kernel.status is Status.CHANGED
    assert kernel.difference is not None
    assert kernel.difference.relative == pytest.approx(0.5, rel=1e-6)
    assert compare_checkpoints(quantized(model, scale), quantized(model, scale.copy())).is_equal


def test_four_bits_and_eight_are_two_types(model: Models) -> None:
    """Weights of four bits, two in a byte, are compared one by one with the same weights of eight."""
    eight = np.arange(-7, 5, dtype=np.int8).reshape(3, 4)
    four = (eight[:, 0::2] & 15 | eight[:, 1::2] << 4).astype(np.int8)
    scale = np.full(4, 2, np.float32)
    models: list[Checkpoint] = []
    for kernel in (eight, four):
        variables: list[NDArray[Any]] = [kernel, normal(4), scale]
        models.append(
            model({f"layers/dense/vars/{n}": one for n, one in enumerate(variables)}, Layout.KERAS3)
        )
    assert [one.tensors[0].quantization.mode for one in models if one.tensors[0].quantization] == [
        "int8",
        "int4",
    ]
    for first, second in (models, reversed(models)):
        comparison = compare_checkpoints(first, second)
        (one,) = unequal(comparison)
        assert (one.status, one.is_lossless) == (Status.RETYPED, True)
        assert one.difference is not None
        assert one.difference.size == 12


def test_integers_of_unknown_meaning_are_compared_as_stored(model: Models) -> None:
    """Where only one model says how its integers are scaled, the stored ones are compared."""
    scale = np.array([10, 20, 30, 40], np.float32)
    plain = model({"layers/dense/vars/0": np.arange(-12, 12, dtype=np.int8).reshape(6, 4)}, Layout.KERAS3)
    comparison = compare_checkpoints(quantized(model, scale), plain)
    assert comparison.tensors[0].status is Status.EQUAL
    assert comparison.count(Status.REMOVED) == 2


def test_four_bits_against_eight(zoo: Path) -> None:
    """int4 weights, two in a byte, are compared element by element with the float ones of another model."""
    int4 = zoo / "k3" / "q_int4.keras"
    assert compare(int4, int4).is_equal
    comparison = compare(zoo / "k3" / "q_int8.keras", int4, weights_only=True)
    retyped = [one for one in comparison.tensors if one.status is Status.RETYPED and one.difference]
    assert retyped
    assert all(one.difference.size > 0 for one in retyped if one.difference)


def write(path: Path, arrays: Mapping[str, NDArray[Any]], **options: Any) -> Path:
    """Write a weight file of Keras 3 with h5py."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(f"layers/{name}/vars/0", data=values, **options)
    return path


def test_chunks_against_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor in packed chunks is compared in step with one in a single piece, wherever either is cut."""
    monkeypatch.setattr(reading, "PIECE_BYTES", 1000)
    monkeypatch.setattr(steps, "UNIT_BYTES", 7000)
    before = {"dense": normal(70, 53), "dense_1": normal(9, 11, seed=1)}
    after = {name: values.copy() for name, values in before.items()}
    whole = write(tmp_path / "whole.weights.h5", before)
    packed = write(tmp_path / "packed.weights.h5", after, chunks=(8, 5), compression="gzip", shuffle=True)
    assert compare(whole, packed).is_equal
    after["dense"][69, 52] += 3
    write(packed, after, chunks=(8, 5), compression="gzip")
    (one,) = unequal(compare(whole, packed))
    assert one.difference is not None
    assert (one.difference.elements, one.difference.place) == (1, (69, 52))
    assert one.difference.relative == pytest.approx(3 / np.linalg.norm(before["dense"]), rel=1e-6)


def test_a_corrupted_copy(tmp_path: Path) -> None:
    """One flipped bit in a copy is found in its tensor, at its place."""
    path = write(tmp_path / "a.weights.h5", {f"dense_{n}": normal(64, 64, seed=n) for n in range(4)})
    data = bytearray(path.read_bytes())
    place = data.find(normal(64, 64, seed=2).tobytes()) + 4 * (64 * 5 + 6) + 2
    data[place] ^= 0x40
    copy = tmp_path / "b.weights.h5"
    copy.write_bytes(data)
    (one,) = unequal(compare(path, copy))
    assert one.name == "dense_2/kernel"
    assert one.difference is not None
    assert (one.difference.elements, one.difference.place) == (1, (5, 6))


def test_a_damaged_chunk_is_unread(tmp_path: Path) -> None:
    """A chunk that cannot be unpacked leaves its tensor unread, and the reason names the model: exit 3."""
    arrays = {"dense": normal(64, 64), "dense_1": normal(8, 8, seed=1)}
    whole = write(tmp_path / "whole.weights.h5", arrays)
    damaged = write(tmp_path / "damaged.weights.h5", arrays, chunks=(8, 8), compression="gzip")
    with h5py.File(damaged) as file:
        place = file["layers/dense/vars/0"].id.get_chunk_info(3).byte_offset
    data = bytearray(damaged.read_bytes())
    data[place + 2 : place + 40] = b"\xff" * 38
    damaged.write_bytes(data)
    for pair in ((whole, damaged), (damaged, whole), (damaged, damaged)):
        comparison = compare(*pair)
        (one,) = unequal(comparison)
        assert (one.name, one.status) == ("dense/kernel", Status.UNREAD)
        assert str(damaged) in one.reason
        assert "cannot be inflated" in one.reason
        assert comparison.exit_code == 3


def test_a_missing_shard_is_unread(fixtures_dir: Path, tmp_path: Path) -> None:
    """A model of which a shard is missing is not compared to the end, and not called different."""
    for path in fixtures_dir.glob("sharded*"):
        if "00001" not in path.name:
            shutil.copy(path, tmp_path / path.name)
    comparison = compare(fixtures_dir / "sharded.weights.json", tmp_path / "sharded.weights.json")
    assert comparison.exit_code == 3
    assert any("sharded_00001" in failure for failure in comparison.failures)


def test_a_truncated_file(fixtures_dir: Path, tmp_path: Path) -> None:
    """A model that ends too soon cannot be opened, and the error says which."""
    short = tmp_path / "short.keras"
    short.write_bytes((fixtures_dir / "healthy.keras").read_bytes()[:5000])
    with pytest.raises(ReadError, match=r"short\.keras"):
        compare(fixtures_dir / "healthy.keras", short)


def test_strings_are_compared_as_they_are_packed(tmp_path: Path) -> None:
    """Strings are equal if their packed bytes are, and otherwise changed, without figures."""
    (tmp_path / "data").write_bytes(b"\x03\x03onetwo" * 2 + b"\x03\x03onetwi")

    def labels(files: Files, offset: int, shape: tuple[int, ...] = (2,)) -> Checkpoint:
        stored = Entry("labels", shape, "string", Extent(files.open("data"), offset, 8))
        catalog = Catalog("test model", Layout.TENSORFLOW, (stored,))
        return Checkpoint(Opened(files, catalog, Kind.BUNDLE, "model"))

    with Files(tmp_path) as files:
        for offset, status in ((8, Status.EQUAL), (16, Status.CHANGED)):
            (one,) = compare_checkpoints(labels(files, 0), labels(files, offset)).tensors
            assert (one.status, one.difference) == (status, None)
        (other,) = compare_checkpoints(labels(files, 0), labels(files, 0, (1, 2))).tensors
        assert other.status is Status.RESHAPED


@pytest.mark.filterwarnings("ignore")
def test_keras_saves_equal_models(tmp_path: Path) -> None:
    """What Keras saves of one model, in each of its formats, is equal; one changed weight is found in all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import keras
        import tensorflow as tf
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, name="first"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(5, name="second"),
            keras.layers.Dense(2),
        ],
        name="net",
    )
    for variable in model.variables:
        variable.assign(np.random.default_rng(1).standard_normal(variable.shape))
    paths = [tmp_path / name for name in ("m.keras", "m.h5", "m.weights.h5", "exported", "ckpt-1")]
    model.save(paths[0])
    model.save(paths[1])
    model.save_weights(paths[2])
    model.export(paths[3], verbose=False)
    tf.train.Checkpoint(model=model).write(str(paths[4]))
    for other in paths[1:]:
        comparison = compare(paths[0], other, weights_only=True)
        assert unequal(comparison) == [], other
        assert len(comparison.tensors) == 10
    kernel, bias = model.layers[2].get_weights()
    kernel[3, 4] += 1
    model.layers[2].set_weights([kernel, bias])
    model.save(paths[0])
    for other in paths[1:]:
        (one,) = unequal(compare(other, paths[0], weights_only=True))
        assert one.second is not None
        assert one.second.name == "net/second/kernel"
        assert one.difference is not None
        assert (one.difference.elements, one.difference.place) == (1, (3, 4))


def test_progress_is_told(fixtures_dir: Path) -> None:
    """Whoever waits hears of every byte: first while bits are compared, then while changes are measured."""
    told: list[tuple[str, int, int]] = []
    with (
        open_checkpoint(fixtures_dir / "healthy.keras") as first,
        open_checkpoint(fixtures_dir / "overflow.keras") as second,
    ):
        compare_checkpoints(first, second, progress=lambda *step: told.append(step))
        nbytes = 2 * sum(info.nbytes for info in first)
    assert [step for step in told if step[1] == step[2]] == [
        ("comparing", nbytes, nbytes),
        ("measuring", 32, 32),
    ]
    assert told == sorted(told)
