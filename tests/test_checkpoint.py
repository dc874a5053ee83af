"""Opened models: names, numbers and bytes are those that h5py and Keras themselves read."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from weightaudit.catalog import Flaw
from weightaudit.checkpoint import open_checkpoint
from weightaudit.errors import ReadError, UsageError
from weightaudit.tensor import Role


def _datasets(path: Path) -> dict[str, np.ndarray]:
    """Read every dataset of an HDF5 file, or of the weights in an archive, with h5py."""
    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    source = io.BytesIO(zipfile.ZipFile(path).read("model.weights.h5")) if zipfile.is_zipfile(path) else path
    with h5py.File(source) as file:
        file.visititems(visit)
    return found


def _hdf5_models(*folders: Path) -> list[Path]:
    suffixes = {".keras", ".h5", ".hdf5"}
    paths = (path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in suffixes)
    return [path for path in paths if "notamodel" not in str(path)]


def _compare(path: Path) -> int:
    expected = _datasets(path)
    with open_checkpoint(path) as checkpoint:
        assert {info.key for info in checkpoint} == set(expected)
        for info in checkpoint:
            array = expected[info.key]
            assert info.shape == array.shape
            if info.is_numeric:
                assert checkpoint.read_stored(info.name) == array.tobytes()
    return len(expected)


def test_fixtures_equal_h5py(fixtures_dir: Path) -> None:
    """Every tensor of every Keras fixture has the bytes and the shape that h5py reads."""
    assert sum(_compare(path) for path in _hdf5_models(fixtures_dir)) > 100


def test_corpus_equals_h5py(corpus: Path) -> None:
    """Every tensor of every real Keras file has the bytes and the shape that h5py reads."""
    assert sum(_compare(path) for path in _hdf5_models(corpus)) > 1000


def test_zoo_equals_h5py(zoo: Path) -> None:
    """Every tensor of eight framework versions' Keras files has the bytes and the shape that h5py reads."""
    assert sum(_compare(path) for path in _hdf5_models(zoo)) > 3000


def test_names_and_numbers_of_a_model(fixtures_dir: Path) -> None:
    """Tensors have the names a Keras user knows, and `read` gives them as arrays."""
    with open_checkpoint(fixtures_dir / "healthy.keras") as checkpoint:
        kernels = [info for info in checkpoint if info.role is Role.KERNEL]
        assert kernels
        for info in kernels:
            assert info.name.endswith("kernel")
            assert checkpoint.read(info.name).shape == info.shape
        assert len(checkpoint) == len(checkpoint.tensors)
        with pytest.raises(UsageError, match="no tensor 'nothing'"):
            checkpoint["nothing"]


def test_missing_bytes_are_an_error(fixtures_dir: Path, tmp_path: Path) -> None:
    """A file that is cut short while its tensors are wanted gives an error, not zeros."""
    path = tmp_path / "m.keras"
    whole = (fixtures_dir / "healthy.keras").read_bytes()
    path.write_bytes(whole)
    with open_checkpoint(path) as checkpoint:
        path.write_bytes(whole[:200])
        with pytest.raises(ReadError, match=r"m\.keras ends at byte"):
            checkpoint.read(checkpoint.tensors[0].name)


def test_shared_bytes_are_a_defect(tmp_path: Path) -> None:
    """Two names for one dataset are a defect: a change of one would change the other."""
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 3), np.float32)
        file["layers/dense_1/vars/0"] = file["layers/dense/vars/0"]
    with open_checkpoint(tmp_path / "m.weights.h5") as checkpoint:
        assert [defect.flaw for defect in checkpoint.defects] == [Flaw.ALIAS]


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_quantized_layers_are_read_as_their_weights(tmp_path: Path, mode: str) -> None:
    """int8 and int4 kernels and embeddings are the weights that were quantized, within a rounding step."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    inputs = layers.Input((4,), dtype="int32")
    hidden = layers.Embedding(20, 7, name="embed")(inputs)
    hidden = layers.EinsumDense("abc,cd->abd", output_shape=(None, 9), name="einsum")(hidden)
    outputs = layers.Dense(5, name="out")(layers.GlobalAveragePooling1D()(hidden))
    model = keras.Model(inputs, outputs)
    names = ("embed/embeddings", "einsum/kernel", "out/kernel")
    before = {name: _live(model, name) for name in names}
    with warnings.catch_warnings():
        # Keras warns that layers without weights cannot be quantized, and uses NumPy's old protocol.
        warnings.simplefilter("ignore")
        model.quantize(mode)
        model.save(tmp_path / "m.keras")
    steps = {"int8": 127, "int4": 7}[mode]
    with open_checkpoint(tmp_path / "m.keras") as checkpoint:
        for name, values in before.items():
            read = checkpoint.read(name).reshape(values.shape)
            # Half a quantization step of the largest value, and a full one for a zero point that is rounded.
            assert np.abs(read - values).max() <= 1.1 * np.abs(values).max() / steps


def _live(model: Any, name: str) -> np.ndarray:
    layer, _, variable = name.partition("/")
    return np.asarray(getattr(model.get_layer(layer), variable).numpy())


@pytest.mark.parametrize("scale", [np.array([b"a"] * 8), np.ones(8, np.complex64)])
def test_scales_that_are_no_real_numbers_are_refused(
    scale: np.ndarray, fixtures_dir: Path, tmp_path: Path
) -> None:
    """A kernel whose scale is of text or complex numbers cannot be read, and the sentence names the scale."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(fixtures_dir / "int8.keras") as source, zipfile.ZipFile(path, "w") as target:
        weights = io.BytesIO(source.read("model.weights.h5"))
        with h5py.File(weights, "r+") as file:
            del file["layers/dense/vars/2"]
            file["layers/dense/vars/2"] = scale
        for name in source.namelist():
            held = weights.getvalue() if name == "model.weights.h5" else source.read(name)
            target.writestr(name, held)
    with (
        open_checkpoint(path) as checkpoint,
        pytest.raises(ReadError, match=r"vars/2 are of type .*, not real"),
    ):
        checkpoint.read("dense/hidden/kernel")


def test_complex_numbers_of_which_one_part_is_not_finite(tmp_path: Path) -> None:
    """A complex number keeps its finite part where the other is infinite or NaN, as h5py reads it."""
    values = np.array([complex(-0.25, np.inf), complex(np.nan, 2.0), complex(0.5, 1.0)])
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = values
        file["layers/dense/vars/1"] = values.astype(np.complex64)
    with open_checkpoint(tmp_path / "m.weights.h5") as checkpoint:
        wide, narrow = (checkpoint.read(info.name) for info in checkpoint)
    assert (wide.dtype.name, narrow.dtype.name) == ("complex128", "complex64")
    assert wide.tobytes() == values.tobytes()
    assert narrow.tobytes() == values.astype(np.complex64).tobytes()
