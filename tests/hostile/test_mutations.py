"""Damaged copies of sound models: nothing fails, and no changed byte under a checksum passes in silence."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.hostile.mutations import Damage, damage, mutate


@pytest.mark.parametrize(
    "name", ["healthy.keras", "deflated.keras", "gzip.h5", "legacy.h5", "checkpoint/ckpt-1.index", "exported"]
)
def test_damaged_models(fixtures_dir: Path, name: str) -> None:
    """Forty damages of each model are refused, found, or lie where no checksum is."""
    counts, faults = mutate(fixtures_dir / name, 40, 1)
    assert not faults
    assert sum(counts[word] for word in ("refused", "found", "unnoticed")) == 40
    assert counts["refused"]


def test_damage_is_done(tmp_path: Path) -> None:
    """What the harness calls damage differs from what was there, at the place that it tells."""
    path = tmp_path / "x"
    whole = bytes(range(1, 256)) * 64
    for number in range(40):
        path.write_bytes(whole)
        told = damage(path, Random(number))  # noqa: S311 - damage, not secrets
        now = path.read_bytes()
        assert (now != whole) == (told != Damage(0, 0))
        assert now[: told.start] == whole[: told.start]
