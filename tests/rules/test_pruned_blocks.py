"""Kernels that were pruned in blocks, or masked, are told from kernels with holes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from weightaudit.testing import measure, tensor_info
from weightaudit_rules.zeroed_block import ZeroedBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from weightaudit.rule import Finding

SIZE = 256


def found(values: NDArray[Any]) -> list[Finding]:
    """Return what WA121 says of a kernel."""
    rule, info = ZeroedBlock(), tensor_info(values)
    return list(rule.check(info, measure(values, rule.needs(info), info)))


def kernel() -> NDArray[np.float32]:
    """Return a healthy kernel."""
    return np.random.default_rng(1).normal(0, 0.1, (SIZE, SIZE)).astype(np.float32)


def blocks(height: int, width: int, share: float) -> NDArray[np.float32]:
    """Return a mask that prunes a share of all blocks, the last among them."""
    kept = np.random.default_rng(2).random((SIZE // height, SIZE // width)) >= share
    kept[-1, -1] = False
    return np.repeat(np.repeat(kept, height, axis=0), width, axis=1).astype(np.float32)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("block", [(1, 4), (1, 16), (4, 4), (8, 8), (16, 16), (32, 32)])
def test_blocks_that_were_pruned_are_no_holes(block: tuple[int, int], share: float) -> None:
    """Zeros that end within a row in many places are a pattern, also where the last block is one of them."""
    assert found(kernel() * blocks(*block, share)) == []


@pytest.mark.parametrize(
    "mask",
    [
        lambda: np.triu(np.ones((SIZE, SIZE), np.float32)),
        lambda: np.tril(np.ones((SIZE, SIZE), np.float32), -1),
        lambda: np.kron(np.eye(4, dtype=np.float32), np.ones((SIZE // 4, SIZE // 4), np.float32)),
    ],
)
def test_masks_are_no_holes(mask: Callable[[], NDArray[np.float32]]) -> None:
    """Triangles of autoregressive layers and the diagonal blocks of grouped ones are meant to be zero."""
    assert found(kernel() * mask()) == []


@pytest.mark.parametrize("block", [(1, 1), (1, 2), (2, 2)])
def test_a_hole_in_a_pruned_kernel_is_found(block: tuple[int, int]) -> None:
    """A page of zeros stands out among the zeros that pruning left, in blocks or not."""
    values = kernel() * blocks(*block, 0.7)
    values.reshape(-1)[20 * 1024 : 21 * 1024] = 0
    assert [cast("int", finding.values["length"]) >= 1024 for finding in found(values)] == [True]


@pytest.mark.parametrize("holes", [1, 3])
def test_a_few_holes_are_no_pattern(holes: int) -> None:
    """A transfer that lost several stretches is told of one of them."""
    values = kernel()
    for hole in range(holes):
        values.reshape(-1)[hole * 9000 + 100 : hole * 9000 + 900] = 0
    assert len(found(values)) == 1


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("shape", [(3, 3, 32, 32), (3, 5, 24, 32), (7, 7, 1, 32), (3, 3, 3, 16, 16)])
def test_convolutions_that_must_not_look_ahead_are_whole(shape: tuple[int, ...], kept: int) -> None:
    """Zeros behind the middle tap are the mask of a causal kernel, whether it keeps the middle one or not."""
    values = np.random.default_rng(4).normal(0, 0.1, shape).astype(np.float32)
    taps = values.reshape(-1, shape[-2] * shape[-1])
    taps[len(taps) // 2 + kept :] = 0
    assert found(values) == []


@pytest.mark.parametrize(
    ("shape", "kept"), [((3, 3, 32, 32), 6), ((3, 3, 32, 32), 8), ((3, 32, 32), 2), ((4, 4, 32, 32), 8)]
)
def test_other_taps_at_the_end_are_missing(shape: tuple[int, ...], kept: int) -> None:
    """A kernel has lost its last taps where they begin elsewhere, or where no such mask is made."""
    values = np.random.default_rng(4).normal(0, 0.1, shape).astype(np.float32)
    values.reshape(-1, shape[-2] * shape[-1])[kept:] = 0
    assert [one.code for one in found(values)] == ["WA121"]
