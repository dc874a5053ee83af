"""Git LFS pointers in place of a model or of a part of one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import weightaudit

if TYPE_CHECKING:
    from pathlib import Path

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("healthy.keras", ""),
        ("exported", "saved_model.pb"),
        ("exported", "variables/variables.index"),
        ("exported", "variables/variables.data-00000-of-00001"),
    ],
)
def test_a_pointer_in_place_of_any_part_is_named(
    tmp_path: Path, fixtures_dir: Path, model: str, part: str
) -> None:
    """Whichever file is a pointer, the audit is incomplete and says which, and what to do."""
    copy = tmp_path / model
    if part:
        shutil.copytree(fixtures_dir / model, copy)
    (copy / part).write_bytes(POINTER)
    report = weightaudit.audit(copy)
    reasons = [report.models[0].failure or "", *(one.reason for one in report.models[0].skipped)]
    assert report.exit_code is weightaudit.ExitCode.INCOMPLETE
    assert any(f"{part or model} is a Git LFS pointer (`git lfs pull` fetches" in one for one in reasons)
