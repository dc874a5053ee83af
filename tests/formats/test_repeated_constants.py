"""Constants that several functions of a graph hold are audited once, and the others are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tests.formats.tensorflow_oracle import tensorflow
from weightaudit.auditor import audit
from weightaudit.catalog import Absent, Entry, Extent, Fill, Inline, Storage
from weightaudit.formats.repeated_constants import merge_repeated
from weightaudit.source import LocalFile

if TYPE_CHECKING:
    from pathlib import Path


def listed(key: str, storage: Storage, shape: tuple[int, ...] = (4,)) -> Entry:
    """Return a constant of four float32."""
    return Entry(key, shape, "float32", storage)


def merged(folder: Path, *entries: Entry) -> tuple[list[str], tuple[str, ...]]:
    """Merge constants that lie in a file of three times the same sixteen bytes, and sixteen others."""
    path = folder / "saved_model.pb"
    path.write_bytes(bytes(range(16)) * 3 + bytes(16))
    file = LocalFile(path)
    try:
        kept, notes = merge_repeated(entries, file)
    finally:
        file.close()
    return [entry.key for entry in kept], notes


def test_the_same_bytes_are_kept_once(tmp_path: Path) -> None:
    """Constants of one type, shape and content are one, wherever their bytes lie; others are kept."""
    kept, notes = merged(
        tmp_path,
        listed("a/x", Extent(0, 0, 16)),
        listed("b/y", Extent(0, 16, 16)),
        listed("c/x", Inline(bytes(range(16)))),
        listed("a/other", Extent(0, 48, 16)),
        listed("a/square", Extent(0, 32, 16), (2, 2)),
    )
    assert kept == ["a/x", "a/other", "a/square"]
    (note,) = notes
    assert note == (
        "2 constants of the graph repeat others, mostly in another function; each is audited once: "
        "a/x is also b/y, c/x."
    )


def test_one_number_and_what_is_absent(tmp_path: Path) -> None:
    """Constants that one number stands for are told apart by it; what cannot be had equals nothing."""
    fills = [listed(f"f{value}{twin}", Fill(bytes([value] * 4))) for value in (1, 2) for twin in "ab"]
    absent = [listed(f"absent{number}", Absent("It is not there.")) for number in range(2)]
    kept, notes = merged(tmp_path, *fills, *absent)
    assert sorted(kept) == ["absent0", "absent1", "f1a", "f2a"]
    assert len(notes) == 1


def test_nothing_is_said_where_nothing_is_repeated(tmp_path: Path) -> None:
    """Constants that differ are all kept, without a note."""
    assert merged(tmp_path, listed("a", Extent(0, 0, 16)), listed("b", Extent(0, 48, 16))) == (
        ["a", "b"],
        (),
    )


def test_long_lists_are_cut_short(tmp_path: Path) -> None:
    """However many constants are repeated, the note stays readable."""
    twins = [
        listed(f"c{number}/{twin}", Fill(number.to_bytes(4, "little")))
        for number in range(1, 200)
        for twin in range(9)
    ]
    _, (note,) = merged(tmp_path, *twins)
    assert "and 5 more" in note
    assert note.endswith("; and 194 more.")
    assert len(note) < 700


def test_a_constant_of_two_functions_is_one_finding(tmp_path: Path) -> None:
    """A NaN in a table that two functions hold is one finding, and a note tells of the other function."""
    tf: Any = tensorflow()
    table = np.arange(1, 65, dtype=np.float32)
    table[5] = np.nan
    root = tf.Module()
    signature = [tf.TensorSpec([64], tf.float32)]

    def plus(x: Any) -> Any:
        return x + tf.constant(table, name="table")

    def times(x: Any) -> Any:
        return x * tf.constant(table, name="table")

    root.plus, root.times = (tf.function(each, input_signature=signature) for each in (plus, times))
    tf.saved_model.save(root, str(tmp_path / "m"))
    report = audit(tmp_path / "m")
    assert [finding.code for finding in report.findings] == ["WA101"]
    (note,) = [note for model in report.models for note in model.notes]
    assert "/table is also saved_model.pb/" in note
