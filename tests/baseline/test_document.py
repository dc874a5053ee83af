"""The file of a baseline: how it reads, and how a damaged one is refused."""

from __future__ import annotations

import json
from math import inf
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from weightaudit.baseline import Baseline, Entry, read_baseline, schema, text_of
from weightaudit.errors import UsageError
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES = (
    Entry("a" * 32, "WA101", "a.keras", "dense/kernel", Severity.ERROR, {"nan": 3, "size": 10}),
    Entry(
        "b" * 32, "WA210", "a.keras", "na\u00efve\n##x", Severity.WARNING, {"largest": inf, "bound": 65520.0}
    ),
    Entry("c" * 32, "WA501", "b.keras", None, Severity.NOTE, {}),
)
BASELINE = Baseline(ENTRIES, "0" * 64, 0.5)


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    """Entries, policy and margin survive the file, infinity and names of any kind included."""
    path = tmp_path / "b.json"
    path.write_text(text_of(BASELINE))
    again = read_baseline(path)
    assert (tuple(again.entries), again.policy, again.margin) == (ENTRIES, "0" * 64, 0.5)
    assert again.source.endswith("b.json")


def test_what_editors_and_merges_leave_is_read(tmp_path: Path) -> None:
    """A byte order mark and Windows line ends are no damage; a line of both sides of a merge counts once."""
    path = tmp_path / "b.json"
    path.write_bytes(b"\xef\xbb\xbf" + repeated().replace("}, {", "},\r\n{").encode())
    assert tuple(read_baseline(path).entries) == ENTRIES


def test_one_finding_is_one_line() -> None:
    """A diff shows a line for each finding that came or went; everything is ASCII, and keeps the schema."""
    text = text_of(BASELINE)
    assert text.isascii()
    lines = text.splitlines()
    assert [sum(entry.fingerprint in line for line in lines) for entry in ENTRIES] == [1, 1, 1]
    assert len(lines) == len(ENTRIES) + 7
    jsonschema.validate(json.loads(text), schema())
    jsonschema.validate(json.loads(text_of(Baseline((), "0" * 64))), schema())


def changed(**changes: Any) -> str:
    """Return a baseline with some fields replaced."""
    return json.dumps(json.loads(text_of(BASELINE)) | changes)


def with_entry(**changes: Any) -> str:
    """Return a baseline whose first entry has some fields replaced."""
    first, *rest = json.loads(text_of(BASELINE))["findings"]
    return changed(findings=[first | changes, *rest])


def repeated(**changes: Any) -> str:
    """Return a baseline that lists its first entry again at the end, with some fields replaced."""
    found = json.loads(text_of(BASELINE))["findings"]
    return changed(findings=[*found, found[0] | changes])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not valid JSON"),
        ("<<<<<<< HEAD\n" + text_of(BASELINE), "holds the marks of a merge that is not finished"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "it is no baseline of weightaudit"),
        ('{"exit_code": 1}', "it is no baseline of weightaudit"),
        (changed(schema_version=2), "has the format 2, and this weightaudit reads 1"),
        (changed(policy=None), "it does not name its policy"),
        (changed(margin=-1), "its margin is not a number of 0 or more"),
        (changed(margin=True), "its margin is not"),
        (changed(findings={}), "it has no list of findings"),
        (changed(findings=[1]), "findings[0] is not a finding"),
        (changed(margin=10**400), "its margin is not"),
        (with_entry(values={"nan": 10**400}), "findings[0] is not a finding"),
        (with_entry(fingerprint="A" * 32), "findings[0] is not a finding"),
        (with_entry(severity="fatal"), "findings[0] is not a finding"),
        (with_entry(severity=[]), "findings[0] is not a finding"),
        (with_entry(values={"nan": "many"}), "findings[0] is not a finding"),
        (with_entry(values={"nan": []}), "findings[0] is not a finding"),
        (with_entry(values=[]), "findings[0] is not a finding"),
        (with_entry(tensor=1), "findings[0] is not a finding"),
        (with_entry(model=None), "findings[0] is not a finding"),
        (repeated(values={"nan": 4, "size": 10}), "findings[3] stands there twice, with other numbers"),
        (changed(schema_version=["x"] * 1000), "has the format ['x', 'x'"),
    ],
)
def test_a_damaged_one_is_refused_in_one_sentence(tmp_path: Path, text: str, expected: str) -> None:
    """Whatever is wrong with it, an audit never goes on with half a baseline."""
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_baseline(path)
    message = str(caught.value)
    assert expected in message
    assert "b.json" in message
    assert len(message) < 400
    assert "\n" not in message


def test_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file, a directory and bytes that are no text are told, too."""
    with pytest.raises(UsageError, match=r"cannot be read: No such file"):
        read_baseline(tmp_path / "absent.json")
    with pytest.raises(UsageError, match=r"cannot be read: Is a directory"):
        read_baseline(tmp_path)
    (tmp_path / "b.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"is not valid JSON"):
        read_baseline(tmp_path / "b.json")
