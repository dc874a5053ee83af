"""Strings in TensorFlow checkpoints: TensorFlow's own pass, and no changed byte of one does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.tensorflow_files import bundle_catalog
from tests.formats.tensorflow_oracle import save_bundle, tensorflow
from weightaudit.catalog import Flaw
from weightaudit.formats import string_tensors

LONG = "x" * 200


def _strings(*values: str) -> dict[str, Any]:
    return {"words": tensorflow().constant(values)}


@pytest.mark.parametrize("piece", [16, 1 << 20])
@pytest.mark.parametrize(
    "values", [(), ("",), ("a", "bc", ""), (LONG,), tuple("abcdefgh") * 20, ("a", LONG, "b") * 30]
)
def test_strings_of_tensorflow(
    tmp_path: Path, values: tuple[str, ...], piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short, long, empty and many strings have the checksum that TensorFlow wrote, however they are read."""
    monkeypatch.setattr(string_tensors, "_PIECE", piece)
    save_bundle(
        tmp_path / "ckpt", {"words": tensorflow().constant(values, shape=(len(values),), dtype="string")}
    )
    assert not bundle_catalog(tmp_path).defects


def test_every_changed_byte_of_a_string_tensor(tmp_path: Path) -> None:
    """A flipped bit anywhere in lengths, their checksum or the strings is a defect of that tensor."""
    save_bundle(tmp_path / "ckpt", _strings("alpha", LONG, ""))
    (path,) = tmp_path.glob("*.data-*")
    whole = path.read_bytes()
    assert len(whole) > 200
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 16
        path.write_bytes(damaged)
        assert [(one.flaw, one.tensor) for one in bundle_catalog(tmp_path).defects] == [
            (Flaw.CHECKSUM, "words")
        ]


def test_slices_of_strings(tmp_path: Path) -> None:
    """The strings of a partitioned tensor are verified part by part."""
    tensors = {f"part@{number}": tensorflow().constant([f"{number}a", "b"]) for number in (0, 1)}
    save_bundle(tmp_path / "ckpt", tensors, {"part@0": "4 0,2", "part@1": "4 2,2"})
    assert not bundle_catalog(tmp_path).defects
    (path,) = tmp_path.glob("*.data-*")
    raw = np.fromfile(path, np.uint8)
    raw[-1] ^= 1
    raw.tofile(path)
    assert [one.tensor for one in bundle_catalog(tmp_path).defects] == ["part"]
