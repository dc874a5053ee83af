"""Faults that only their surroundings give away: in a row and a column, among channels, among zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

import weightaudit
from weightaudit import Measured, Severity
from weightaudit.policy import Policy
from weightaudit.testing import measure, tensor_info
from weightaudit_rules.isolated_value import IsolatedValue

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.rule import Finding

    Kernel = NDArray[np.float32]

PAGE = 1024
"""Elements of float32 in a page."""


def kernel(*shape: int, seed: int = 0) -> Kernel:
    """Make a healthy kernel."""
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def pruned(share: float = 0.8, rows: int = 300, columns: int = 48) -> Kernel:
    """Make a kernel in which that share of all values is zero, at random."""
    values = kernel(rows, columns)
    values[np.random.default_rng(1).random(values.shape) < share] = 0
    return values


def found_in(path: Path, *kernels: Kernel) -> list[Finding]:
    """Write a model with these kernels and return what the rules that are tested here say."""
    with h5py.File(path, "w") as file:
        for number, values in enumerate(kernels):
            file.create_dataset(f"layers/dense{f'_{number}' * bool(number)}/vars/0", data=values)
    policy = Policy(plugins=("weightaudit_rules",), select=("WA120", "WA121", "WA125"))
    return list(weightaudit.audit(path, policy=policy).models[0].findings)


def place_of(path: Path) -> int:
    """Return the first element of the first kernel that begins a page of the file."""
    with h5py.File(path) as file:
        offset: int = file["layers/dense/vars/0"].id.get_offset()
    return -offset % 4096 // 4


def with_largest(values: Kernel, factor: float) -> Kernel:
    """Make one value as many times as large as the largest of the others."""
    values = values.copy()
    values[20, 9] = -np.abs(values).max() * factor
    return values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the model is written."""
    return tmp_path / "model.weights.h5"


def test_a_value_alone_in_its_row_and_column_is_told(path: Path) -> None:
    """A value that is 1.7 times the next one, and more than that of its row and column, was flipped."""
    kernels = [kernel(64, 48, seed=seed) for seed in range(3)]
    assert found_in(path, *kernels) == []
    (finding,) = found_in(path, with_largest(kernels[0], 1.7), *kernels[1:])
    assert (finding.code, finding.tensor) == ("WA120", "dense/kernel")
    assert "at index (20, 9), is alone: 1.7 times the next one" in finding.message
    assert "if bit" in finding.message


def test_such_values_in_several_kernels_are_how_a_model_was_trained(path: Path) -> None:
    """Two kernels with a value of this kind excuse each other."""
    kernels = [with_largest(kernel(64, 48, seed=seed), 1.7) for seed in range(2)]
    assert found_in(path, *kernels, kernel(64, 48, seed=2)) == []


def test_a_row_of_large_values_is_no_fault(path: Path) -> None:
    """Where other values of the row are nearly as large, an input matters more than others."""
    values = kernel(64, 48)
    values[20] *= 4
    values[20, 9] = 1.2 * np.abs(values).max()
    assert found_in(path, values) == []


def test_a_zero_that_became_two_is_told(path: Path) -> None:
    """In a pruned kernel the highest bit of a zero's exponent gives exactly 2, whatever lies around it."""
    values = pruned()
    values *= 1.6 / np.abs(values).max()
    values[17, 3], values[17, 4] = 1.6, 2
    (finding,) = found_in(path, values)
    assert "if bit 7 of its exponent was flipped, it was 0." in finding.message
    values[17, 4] = 2.0001
    assert found_in(path, values) == []


@pytest.mark.parametrize("copies", [1, 8])
def test_copied_channels_are_told(copies: int, path: Path) -> None:
    """One output channel that repeats another one is told, and so is a quarter of them."""
    values = kernel(144, 32)
    values[..., 10 : 10 + copies] = values[..., :copies]
    (finding,) = found_in(path, values, kernel(32, 8))
    assert (finding.code, finding.values["count"], finding.values["source"]) == ("WA125", copies, 0)
    assert "the first, channel 10, is equal to channel 0." in finding.message


def test_channels_made_alike_are_no_fault(path: Path) -> None:
    """More than a quarter of equal channels, dead ones, and ones with few different weights are not told."""
    halves, dead, signs = kernel(64, 32), kernel(64, 32), np.sign(kernel(64, 32))
    halves[:, 16:] = halves[:, :16]
    dead[:, 3:9] = 0
    signs[:, 5] = signs[:, 1]
    assert [one.code for one in found_in(path, halves, dead, signs) if one.code == "WA125"] == []


@pytest.mark.parametrize("share", [0.05, 0.5, 0.8, 0.9])
def test_pages_and_tails_of_zeros_are_told_in_pruned_kernels(share: float, path: Path) -> None:
    """A page that was never written, and a tail that is missing, are longer than pruning makes them."""
    values = pruned(share)
    assert found_in(path, values) == []
    begin = place_of(path) + 4 * PAGE
    for span in (slice(begin, begin + PAGE), slice(13000, None), slice(7000, None)):
        hurt = values.copy()
        hurt.reshape(-1)[span] = 0
        (finding,) = found_in(path, hurt)
        assert (finding.code, finding.tensor) == ("WA121", "dense/kernel")
        assert int(finding.values["length"] or 0) >= np.ptp(np.arange(hurt.size)[span])


def test_structure_among_pruned_weights_is_no_fault(path: Path) -> None:
    """Inputs that carry nothing, one or many, and blocks of zeros are as they were made."""
    one, many, blocks = pruned(), pruned(), pruned(0.5)
    one[40:45] = 0
    many[::10] = 0
    many[200:230] = 0
    blocks.reshape(-1, 4 * 48)[::3] = 0
    assert found_in(path, one, many, blocks) == []


def test_findings_are_the_same_in_stretches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read at once or in stretches, the same is said of channels and of zeros."""
    from weightaudit.engine import scanning

    copied, emptied = kernel(700, 480), pruned(0.5, 700, 480)
    copied[:, 77] = copied[:, 5]
    emptied.reshape(-1)[200_000:] = 0
    at_once: list[Any] = found_in(path, copied, emptied)
    assert [one.code for one in at_once] == ["WA121", "WA125"]
    monkeypatch.setattr(scanning, "RUN_BYTES", 1024)
    monkeypatch.setattr(scanning, "THROUGH_BYTES", 65536)
    assert found_in(path, copied, emptied) == at_once


def _told(*biases: NDArray[np.float32]) -> list[str]:
    """Return the biases of a model that the rule for isolated values names."""
    infos = [tensor_info(one, name=f"c{place}/bias", role="bias") for place, one in enumerate(biases)]
    rule = IsolatedValue()
    stats = {info.name: measure(one, rule.needs(info), info) for info, one in zip(infos, biases, strict=True)}
    return [finding.tensor or "" for finding in rule.check_model(Measured(infos, stats, ()))]


def _bias(place: int, value: float, seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(0, 0.01, 32).astype(np.float32)
    values[place] = value
    return values


def test_a_value_that_several_layers_learned_in_one_place_is_no_fault() -> None:
    """Two biases with one value in one place are how the model was trained; another place or value is not."""
    assert _told(_bias(12, -0.44, 1), _bias(12, -0.443, 2)) == []
    assert _told(_bias(12, -0.44, 1), _bias(13, -0.443, 2)) == ["c0/bias", "c1/bias"]
    assert _told(_bias(12, -0.44, 1), _bias(12, 0.44, 2)) == ["c0/bias", "c1/bias"]


def test_a_small_gap_or_a_small_tensor_is_only_a_note() -> None:
    """Twice the next value is a warning among thousands, a note among hundreds; eight times always is one."""
    rule, rng = IsolatedValue(), np.random.default_rng(3)

    def severity(shape: tuple[int, int], factor: float) -> Severity:
        values = rng.uniform(-1, 1, shape).astype(np.float32)
        values[1, 2] = factor
        info = tensor_info(values, role="kernel")
        (found,) = rule.check_model(
            Measured([info], {info.name: measure(values, rule.needs(info), info)}, ())
        )
        return found.severity

    assert severity((64, 64), 2.5) is Severity.WARNING
    assert severity((16, 16), 2.5) is Severity.NOTE
    assert severity((64, 64), 1.7) is Severity.NOTE
    assert severity((16, 16), 9.0) is Severity.WARNING
