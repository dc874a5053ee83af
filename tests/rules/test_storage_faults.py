"""Rules on damage that storage and transport leave in the numbers, on files as they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

import weightaudit
from weightaudit.engine import numpy_engine, scanning
from weightaudit.policy import Policy
from weightaudit.testing import tensor_info
from weightaudit_rules._stored import flipped_bit, index_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.rule import Finding

    Damage = Callable[[NDArray[Any], int], None]

PAGE = 1024
"""Elements of float32 in a page."""
ROWS, COLUMNS = 700, 480
CODES = ("WA120", "WA121", "WA122", "WA123", "WA124")


def first_page(path: Path) -> int:
    """Return the first element of the kernel that lies at the beginning of a page."""
    with h5py.File(path) as file:
        offset: int = file["layers/dense/vars/0"].id.get_offset()
    return -offset % 4096 // 4


def healthy(path: Path) -> None:
    """Write a model with two kernels."""
    draw = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        for name in ("dense", "dense_1", "dense_2"):
            kernel = draw.normal(0, 0.05, (ROWS, COLUMNS)).astype(np.float32)
            file.create_dataset(f"layers/{name}/vars/0", data=kernel)
            file.create_dataset(f"layers/{name}/vars/1", data=draw.normal(0, 0.05, COLUMNS).astype("f4"))


def found_in(path: Path) -> list[Finding]:
    """Audit a model by the rules that are tested here."""
    policy = Policy(plugins=("weightaudit_rules",), select=CODES)
    return list(weightaudit.audit(path, policy=policy).models[0].findings)


def _flip(kernel: NDArray[Any], page: int) -> None:
    kernel.view(np.uint32)[page + 77] ^= np.uint32(1 << 30)


def _lose(kernel: NDArray[Any], page: int) -> None:
    kernel[page + 4 * PAGE : page + 5 * PAGE] = 0


def _cut_off(kernel: NDArray[Any], _: int) -> None:
    kernel[-50_000:] = 0


def _repeat(kernel: NDArray[Any], page: int) -> None:
    kernel[page + PAGE : page + 2 * PAGE] = kernel[page : page + PAGE].copy()


def _repeat_late(kernel: NDArray[Any], page: int) -> None:
    last = page + 300 * PAGE
    kernel[last : last + PAGE] = kernel[last - PAGE : last].copy()


def _swap(kernel: NDArray[Any], _: int) -> None:
    kernel[:] = kernel.byteswap()


def _round(kernel: NDArray[Any], _: int) -> None:
    kernel.view(np.uint32)[:] &= np.uint32(0xFFFF0000)


@pytest.mark.parametrize("size", [None, 65536], ids=["read at once", "read in stretches"])
@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_flip, "WA120"),
        (_lose, "WA121"),
        (_cut_off, "WA121"),
        (_repeat, "WA122"),
        (_repeat_late, "WA122"),
        (_swap, "WA123"),
        (_round, "WA124"),
    ],
)
def test_damage_is_told(
    damage: Damage, code: str, size: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of damage in one kernel is told by its rule, of that kernel, and by no other of them."""
    if size:
        monkeypatch.setattr(scanning, "RUN_BYTES", 1024)
        monkeypatch.setattr(scanning, "THROUGH_BYTES", size)
    path = tmp_path / "model.weights.h5"
    healthy(path)
    assert found_in(path) == []
    with h5py.File(path, "r+") as file:
        kernel = file["layers/dense/vars/0"]
        values = kernel[...].reshape(-1)
        damage(values, first_page(path))
        kernel[...] = values.reshape(ROWS, COLUMNS)
    findings = found_in(path)
    assert {(one.code, one.tensor) for one in findings} == {(code, "dense/kernel")}


def test_stretches_give_what_a_look_at_once_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings have the same numbers whether a tensor is read at once, in stretches, or without kernels."""
    path = tmp_path / "model.weights.h5"
    healthy(path)
    with h5py.File(path, "r+") as file:
        for number, damage in enumerate((_flip, _lose, _repeat_late)):
            kernel = file[f"layers/dense{f'_{number}' * bool(number)}/vars/0"]
            values = kernel[...].reshape(-1)
            damage(values, -kernel.id.get_offset() % 4096 // 4)
            kernel[...] = values.reshape(ROWS, COLUMNS)
    at_once = found_in(path)
    assert len(at_once) == 3
    monkeypatch.setattr(scanning, "RUN_BYTES", 1024)
    monkeypatch.setattr(scanning, "THROUGH_BYTES", 65536)
    assert found_in(path) == at_once
    measure = numpy_engine.measure

    def plain(*arguments: Any, **options: Any) -> numpy_engine.Measurement:
        return measure(*arguments, **{**options, "compiled": False})

    monkeypatch.setattr(numpy_engine, "measure", plain)
    assert found_in(path) == at_once


@pytest.mark.parametrize(
    ("dtype", "value", "bit", "before"),
    [
        ("float16", 1.5, 2, 1.5 / 16),
        ("bfloat16", -1.5, 2, -1.5 / 16),
        ("float32", 1.5, 2, 1.5 / 16),
        ("float32", 0.1 * 2.0**128, 7, 0.1),
        ("float64", 1.5, 2, 1.5 / 16),
    ],
)
def test_the_flipped_bit_is_named(dtype: str, value: float, bit: int, before: float) -> None:
    """The bit that was flipped, and the value before, are those that the message tells."""
    assert flipped_bit(dtype, value, 0.4) == (bit, before)


def test_no_bit_explains_every_value() -> None:
    """Nothing is named for a value that no single flip brings among the others, or in other types."""
    assert flipped_bit("float32", 1.5 * 2.0**60, 0.4) is None
    assert flipped_bit("int8", 1.5, 0.4) is None


def test_places_are_indices() -> None:
    """A place in the flattened tensor is the index that numpy gives."""
    values = np.zeros((3, 4, 5), np.float32)
    for place in range(values.size):
        assert index_of(tensor_info(values), place) == np.unravel_index(place, values.shape)
