"""The options that bound what a model may ask for, and the messages that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Weights of five layers, in structures that only libhdf5 knows."""
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(5):
            file[f"layers/dense_{number}/vars/0"] = np.eye(4, dtype=np.float32)
    return path


@pytest.mark.parametrize("command", ["check", "inspect"])
@pytest.mark.parametrize(("option", "value"), [("--max-tensors", "4"), ("--max-metadata", "20")])
def test_a_limit_names_its_option(
    cli: CommandLine, model: Path, command: str, option: str, value: str
) -> None:
    """A model beyond a limit is not audited, and the sentence says which option allows it."""
    result = cli(command, option, value, str(model))
    assert result.code == 3
    assert option in result.out + result.err
    assert cli(command, option, "100000", str(model)).code == 0


@pytest.mark.parametrize("command", ["check", "inspect"])
@pytest.mark.parametrize("arguments", [("--max-tensors", "0"), ("--max-metadata", "-1"), ("--timeout", "0")])
def test_limits_that_allow_nothing(
    cli: CommandLine, model: Path, command: str, arguments: tuple[str, str]
) -> None:
    """A limit of nothing is a wrong command line, and no refusal of the model."""
    result = cli(command, *arguments, str(model))
    assert result.code == 2
    assert arguments[0] in result.err


def test_the_reference_has_the_same_limits(cli: CommandLine, model: Path) -> None:
    """What a model is compared with is bounded like the model."""
    small = model.with_name("small.weights.h5")
    with h5py.File(small, "w") as file:
        file["layers/dense_0/vars/0"] = np.eye(4, dtype=np.float32)
    result = cli("check", "--max-tensors", "4", "--reference", str(model), str(small))
    assert result.code == 3
    assert "--max-tensors" in result.out + result.err
