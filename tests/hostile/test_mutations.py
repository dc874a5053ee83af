"""Damaged copies of sound models: nothing fails, and no changed byte under a checksum passes in silence."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.hostile.damaging import Patch, damage, undo
from tests.hostile.mutations import mutate, structure
from weightaudit.checkpoint import open_checkpoint


@pytest.mark.parametrize(
    "name", ["healthy.keras", "deflated.keras", "gzip.h5", "legacy.h5", "checkpoint/ckpt-1.index", "exported"]
)
def test_damaged_models(fixtures_dir: Path, name: str) -> None:
    """Forty damages of each model are refused, found, or lie where no checksum is."""
    tally = mutate(fixtures_dir / name, 40, 1)
    assert not tally.faults
    assert sum(tally.counts[word] for word in ("refused", "found", "unnoticed")) == 40
    assert tally.counts["refused"]


def test_damage_is_done_and_undone(tmp_path: Path) -> None:
    """What the harness calls damage is what differs, byte for byte, and undoing it leaves the old file."""
    path = tmp_path / "x"
    whole = bytes(range(1, 256)) * 64
    path.write_bytes(whole)
    kinds = set[str]()
    for number in range(60):
        patches = damage(path, Random(number), [(0, 100), (9000, 9010)])  # noqa: S311 - damage, not secrets
        expected = bytearray(whole)
        for patch in patches:
            expected[patch.start : patch.start + len(patch.before)] = patch.after
        assert path.read_bytes() == expected
        assert all(patch.before != patch.after for patch in patches)
        kinds.add("cut" if len(expected) < len(whole) else f"{len(patches)}")
        undo(path, patches)
        assert path.read_bytes() == whole
    assert {"cut", "1", "2"} < kinds


def test_which_damage_counts() -> None:
    """Damage lies in a range if a byte there differs or is gone, not if the same bytes were written."""
    patch = Patch(10, b"abcd", b"abXd")
    assert patch.is_within([(0, 5), (12, 13)])
    assert not patch.is_within([(0, 12), (13, 99)])
    assert Patch(10, b"abcd", b"").is_within([(13, 20)])


def test_half_of_the_damage_is_in_the_structure(fixtures_dir: Path) -> None:
    """The bytes that no tensor has are found, and they are not the whole file."""
    path = fixtures_dir / "legacy.h5"
    with open_checkpoint(path) as checkpoint:
        (stretches,) = structure(checkpoint).values()
    assert stretches[0][0] == 0
    assert 0 < sum(end - start for start, end in stretches) < path.stat().st_size
