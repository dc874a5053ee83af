"""Every element of every tensor gets one place in one block, and what waits is bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightaudit.engine.tensorflow import packing
from weightaudit.engine.tensorflow.layout import WIDEST, Layout, layout_of, room_for
from weightaudit.engine.tensorflow.packing import Batch, Packer, stretches


def seen(batch: Batch) -> list[tuple[int, int, int, float]]:
    """Return tensor, row, column and value of every element in a batch, by what its spans say."""
    blocks = batch.blocks
    flat = blocks.reshape(-1, batch.shape.width)
    found: list[tuple[int, int, int, float]] = []
    for span in batch.spans:
        for line, one in span.stretches:
            part = flat[line : line + one.lines, one.column : one.column + one.size]
            for (row, column), value in np.ndenumerate(part):
                found.append((span.tensor, one.row + row, one.base + one.column + column, float(value)))
    assert len(found) == int((~np.isnan(blocks)).sum())
    return found


@settings(deadline=None, max_examples=60)
@given(
    shapes=st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=3), min_size=1, max_size=4),
    axis=st.integers(0, 2),
    step=st.integers(1, 50),
)
def test_every_element_has_one_place(shapes: list[list[int]], axis: int, step: int) -> None:
    """Whatever the shapes and the pieces that are read, each element lies in its row and column, once."""
    packer, batches = Packer(), list[Batch]()
    layouts = [layout_of(tuple(shape), "float32", [((axis % len(shape),), 2.0)]) for shape in shapes]
    for number, (shape, layout) in enumerate(zip(shapes, layouts, strict=True)):
        values = np.arange(int(np.prod(shape)), dtype=np.float32)
        for start in range(0, values.size, step):
            batches += packer.add(number, layout, start, values[start : start + step])
    batches += packer.rest()
    found = sorted(one for batch in batches for one in seen(batch))
    wanted = [
        (number, *divmod(index, layout.length), float(index))
        for number, (shape, layout) in enumerate(zip(shapes, layouts, strict=True))
        for index in range(int(np.prod(shape)))
    ]
    assert found == sorted(wanted)


@pytest.mark.parametrize("start", [0, 5, WIDEST - 1, WIDEST, 3 * WIDEST + 7])
def test_long_rows_are_cut(start: int) -> None:
    """Stretches of a row that is longer than a line follow each other and stay within their lines."""
    layout = layout_of((4, 2 * WIDEST + 9), "float32", [((0,), 2.0)])
    place = start
    for one in stretches(layout, start, 4 * WIDEST):
        assert one.start == place
        assert one.row * layout.length + one.base + one.column == place
        assert one.column + one.size <= WIDEST
        place += one.lines * one.size
    assert place == start + 4 * WIDEST


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((4096, 4096), (0,), (4096, 64, 4096)),
        ((3, 3, 64, 128), (0, 1, 2), (4096, 4, 4096)),
        ((1_000_000, 2), (0,), (4096, 64, 4096)),
        ((30_000, 64), (1,), (64, 64, 64)),
        ((768, 50_257), (0,), (50_257, 16, 57_344)),
        ((100,), (0,), (100, 1, 112)),
    ],
)
def test_layouts_of_usual_kernels(
    shape: tuple[int, ...], axes: tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    """Kernels and embeddings are cut into blocks of a size that is worth computing, with little padding."""
    layout = layout_of(tuple(shape), "float32", [(axes, 2.0)])
    assert (layout.length, layout.height, layout.width) == expected


@given(st.integers(1, WIDEST))
def test_room_is_not_wasted(length: int) -> None:
    """A line has room for its row and at most a quarter more; there are few such lengths."""
    room = room_for(length)
    assert length <= room <= max(4, 1.25 * length)
    assert room_for(room) == room
    assert bin(room).rstrip("0").count("1") + bin(room).rstrip("0").count("0") - 1 <= 3


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of a hundred widths never leave more than the bound in batches that are not full."""
    monkeypatch.setattr(packing, "OPEN_BYTES", 1 << 16)
    packer, sent = Packer(), 0
    layouts: list[Layout] = [layout_of((1000 + 60 * number,), "float32", []) for number in range(100)]
    for number, layout in enumerate(layouts):
        for batch in packer.add(number, layout, 0, np.ones(layout.length, np.float32)):
            sent += batch.nbytes
        waiting: Any = sum(batch.nbytes for batch in packer._open.values())
        assert packer._waiting == waiting <= 1 << 16
    assert sent > 1 << 17
