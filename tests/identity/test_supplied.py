"""A configuration that is given for weights without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.identity.catalogs import functional, layer, max_norm
from weightaudit.catalog import Flaw
from weightaudit.checkpoint import open_checkpoint
from weightaudit.errors import UsageError
from weightaudit.tensor import Evidence


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file with the weights of one Dense layer of four units."""
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 4), np.float32)
        file["layers/dense/vars/1"] = np.zeros(4, np.float32)
    return path


def write(folder: Path, document: Any) -> Path:
    """Write a configuration and return its path."""
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return path


def dense(**config: Any) -> dict[str, Any]:
    """Return the configuration of a model with one Dense layer called fc."""
    return functional(layer("Dense", "fc", **{"units": 4, **config}))


def test_it_tells_what_weights_alone_do_not(weights: Path, tmp_path: Path) -> None:
    """Names, trainability, policy and constraints come from the configuration beside the weights."""
    config = write(tmp_path, dense(kernel_constraint=max_norm(2.0), trainable=False, dtype="mixed_float16"))
    with open_checkpoint(weights) as alone, open_checkpoint(weights, config=config) as told:
        assert alone["dense/kernel"].evidence is Evidence.GUESS
        kernel = told["fc/kernel"]
    assert (kernel.evidence, kernel.trainable, kernel.policy) == (Evidence.CONFIG, False, "mixed_float16")
    assert kernel.constraint is not None


def test_a_whole_model_can_stand_for_its_configuration(fixtures_dir: Path) -> None:
    """The configuration is also taken from a .keras file of the same model."""
    with open_checkpoint(fixtures_dir / "healthy.keras") as whole:
        names = {info.name for info in whole if not info.is_bookkeeping}
    with open_checkpoint(
        fixtures_dir / "plain.weights.h5", config=fixtures_dir / "healthy.keras"
    ) as checkpoint:
        assert {info.name for info in checkpoint if not info.is_bookkeeping} == names


def test_a_layer_that_the_weights_lack_is_missed(weights: Path, tmp_path: Path) -> None:
    """With the configuration it is known that a layer of the model is not in the file."""
    config = write(tmp_path, functional(layer("Dense", "fc", units=4), layer("Conv2D", "stem")))
    with open_checkpoint(weights, config=config) as checkpoint:
        missing = {defect.tensor for defect in checkpoint.defects if defect.flaw is Flaw.MISSING_TENSOR}
    assert missing == {"stem/kernel", "stem/bias"}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (functional(layer("Conv2D", "stem")), "describes none of these tensors"),
        (dense(units=5), "declares 5 outputs for fc"),
        ({"class_name": "Net", "config": {"units": 3}}, "describes no layers"),
        (["a", "list"], "describes no layers"),
    ],
)
def test_the_configuration_of_another_model_is_refused(
    weights: Path, tmp_path: Path, document: Any, reason: str
) -> None:
    """What does not belong to the weights is an error of usage, and says what to give instead."""
    with pytest.raises(UsageError, match=reason) as error:
        open_checkpoint(weights, config=write(tmp_path, document))
    assert "configuration" in str(error.value) or "config.json" in str(error.value)


def chain(depth: int, first: int = 0) -> dict[str, Any]:
    """Return the configuration of a chain of Dense layers, each without a bias."""
    names = range(first, first + depth)
    return functional(*(layer("Dense", f"fc{place}", units=4, use_bias=False) for place in names))


def stored_chain(folder: Path, depth: int) -> Path:
    """Write the weights of such a chain."""
    path = folder / "chain.weights.h5"
    with h5py.File(path, "w") as file:
        for place in range(depth):
            file[f"layers/dense{f'_{place}' * bool(place)}/vars/0"] = np.ones((4, 4), np.float32)
    return path


@pytest.mark.parametrize(
    ("stored", "declared", "message"),
    [
        (12, 20, "fits 12 of the 20 layers .* the file holds nothing of fc12 and 7 more layers; give"),
        (6, 12, "fits 6 of the 12 layers .* the file holds nothing of fc6 and 5 more layers; give"),
    ],
)
def test_a_model_of_another_depth_is_one_sentence(
    tmp_path: Path, stored: int, declared: int, message: str
) -> None:
    """A configuration of more layers than damage explains is refused at once, and says what fits."""
    path = stored_chain(tmp_path, stored)
    with pytest.raises(UsageError, match=message):
        open_checkpoint(path, config=write(tmp_path, chain(declared)))


def test_other_layers_on_both_sides_are_one_sentence(tmp_path: Path) -> None:
    """Layers that are missing beside tensors that no layer explains are those of another model."""
    path = stored_chain(tmp_path, 6)
    mixed = functional(
        *(layer("Dense", f"fc{place}", units=4, use_bias=False) for place in range(4)),
        *(layer("Conv2D", f"conv{place}", filters=4) for place in range(2)),
    )
    with pytest.raises(UsageError) as error:
        open_checkpoint(path, config=write(tmp_path, mixed))
    assert str(error.value).endswith(
        "fits 4 of the 6 layers with weights that it describes, but the file holds nothing of conv0 and 1 "
        "more layer, and nothing in it tells of dense_4/kernel and 1 more tensor; give the configuration "
        "of this model."
    )


def test_a_window_of_another_size_is_refused(tmp_path: Path) -> None:
    """Kernels that are wider than declared are those of another model."""
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = np.ones((3, 3, 2, 4), np.float32)
        file["layers/conv2d/vars/1"] = np.ones(4, np.float32)
    for window, is_right in (([3, 3], True), ([5, 5], False)):
        config = write(tmp_path, functional(layer("Conv2D", "stem", filters=4, kernel_size=window)))
        if is_right:
            open_checkpoint(path, config=config).close()
        else:
            with pytest.raises(UsageError, match=r"declares the kernel size \(5, 5\) for stem"):
                open_checkpoint(path, config=config)


def test_a_few_lost_layers_are_damage(tmp_path: Path) -> None:
    """One layer of twelve that is not in the file is a defect of the file."""
    path = stored_chain(tmp_path, 11)
    with open_checkpoint(path, config=write(tmp_path, chain(12))) as checkpoint:
        assert [defect.tensor for defect in checkpoint.defects] == ["fc11/kernel"]


def test_what_cannot_be_read_is_refused(weights: Path, tmp_path: Path) -> None:
    """A file that is not there, one that is no JSON, and an empty name are one sentence each."""
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    cases: dict[Path | str, str] = {
        tmp_path / "none.json": "No such file",
        broken: "not valid JSON",
        "": "is empty",
    }
    for path, reason in cases.items():
        with pytest.raises(UsageError, match=reason):
            open_checkpoint(weights, config=path)


def test_a_model_with_a_configuration_needs_none(fixtures_dir: Path, tmp_path: Path) -> None:
    """A second configuration beside the model's own is refused, rather than one of them ignored."""
    with pytest.raises(UsageError, match="of its own"):
        open_checkpoint(fixtures_dir / "healthy.keras", config=write(tmp_path, dense()))
