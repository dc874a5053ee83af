"""What is written beside a version: it is as its schema says, comes back as it was, and is not trusted."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from math import isnan
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.versions.conftest import Bench
from weightaudit.change import Change, Figures
from weightaudit.errors import StoreError
from weightaudit.formats import Kind
from weightaudit.render.json import finding_json
from weightaudit.rule import Finding, Severity
from weightaudit.versions.record import Record, StoredFile, StoredTensor
from weightaudit.versions.record_json import embedded, read_record, record_bytes, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHA = "0123456789abcdef" * 4
RECORD = Record(
    model="m.keras",
    version=3,
    parent=2,
    container=Kind.KERAS_ARCHIVE,
    main="m.keras",
    created="2026-11-22T07:11:02Z",
    author="somebody",
    message="why",
    tools={"weightaudit": "0.1.0"},
    policy=SHA,
    files=(StoredFile("m.keras", 10, SHA),),
    tensors=(
        StoredTensor("dense/kernel", "float32", (2, 3), "kernel", SHA),
        StoredTensor("s", "string", (), "state", None),
    ),
    changes=(
        Change(
            tensor="dense/kernel",
            projections=("max_norm(2, axis=0)",),
            rules=("WA301",),
            elements=1,
            size=6,
            relative=float("inf"),
            largest=0.5,
            before=Figures(0.0, float("nan"), float("-inf"), 5, 1),
            after=Figures(1.0, 0.0, 1.0, 5, 0),
            digest=SHA,
        ),
    ),
    before=(
        finding_json(
            Finding("WA301", Severity.ERROR, "dense/kernel", "Too large.", {"norm": float("inf")}), {}
        ),
    ),
    after=(finding_json(Finding("WA302", Severity.NOTE, None, "Fine.", {}), {"WA302": "fine"}),),
)


class Text:
    """A file of bytes that were never on a disk."""

    label = "record"

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return some of the bytes."""
        return self.data[offset : offset + nbytes]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer."""
        buffer[:] = self.read(offset, len(buffer))


def parsed(data: bytes) -> Record:
    """Read a record."""
    return read_record(Text(data), "The record")


def valid(document: Any) -> None:
    """Demand that a document is as the shipped schema says."""
    jsonschema.Draft202012Validator(schema()).validate(document)


def test_a_record_is_as_its_schema_says() -> None:
    """The record, and the copy of it that goes into a model, fit the schema, which is a schema itself."""
    jsonschema.Draft202012Validator.check_schema(schema())
    document, inner = json.loads(record_bytes(RECORD)), json.loads(embedded(RECORD))
    valid(document)
    valid(inner)
    assert document.keys() - inner.keys() == {"files"}
    assert {**document, "files": None} == {**inner, "files": None}
    assert set(schema()["properties"]) == set(document)


def test_a_record_comes_back_as_it_was() -> None:
    """Everything that is written is read again, numbers that JSON does not have included."""
    again = parsed(record_bytes(RECORD))
    assert isnan(again.changes[0].before.minimum)
    assert record_bytes(again) == record_bytes(RECORD)
    plain = replace(RECORD.changes[0], before=RECORD.changes[0].after)
    assert parsed(record_bytes(replace(RECORD, changes=(plain,)))) == replace(RECORD, changes=(plain,))


@given(
    st.text(),
    st.text(),
    st.floats(),
    st.lists(st.tuples(st.text(), st.lists(st.integers(0, 2**62)))),
    st.dictionaries(st.text(), st.text()),
)
def test_any_text_and_number_survives(
    author: str, message: str, number: float, tensors: list[tuple[str, list[int]]], tools: dict[str, str]
) -> None:
    """Whatever people and model files say, the record is valid ASCII, and reads as what was written."""
    record = replace(
        RECORD,
        author=author,
        message=message,
        changes=(replace(RECORD.changes[0], relative=number),),
        tensors=tuple(StoredTensor(name, "float32", tuple(shape), "kernel", SHA) for name, shape in tensors),
        tools=tools,
    )
    data = record_bytes(record)
    assert data.isascii()
    assert b"##" not in data
    valid(json.loads(data))
    assert record_bytes(parsed(data)) == data


def test_every_version_has_a_valid_record(bench: Bench, sources: dict[str, Path]) -> None:
    """Records of all kinds of model fit the schema on the disk."""
    for source in sources.values():
        version = bench.put(source, "##[command]\n\x1b[31m").version
        document = json.loads((version.directory / "weightaudit.json").read_bytes())
        valid(document)
        assert document["tensors"]
        assert document["tools"].keys() >= {"weightaudit", "python", "numpy"}


def at(*keys: str | int) -> Callable[[Any, Any], None]:
    """Return what replaces a value somewhere in a document, or removes it (by Ellipsis)."""

    def put(document: Any, value: Any) -> None:
        for key in keys[:-1]:
            document = document[key]
        if value is ...:
            del document[keys[-1]]
        else:
            document[keys[-1]] = value

    return put


WRONG: list[tuple[tuple[str | int, ...], list[Any]]] = [
    (("format",), [2, "1", None, ...]),
    (("model",), [1, None, ...]),
    (("version",), [-1, 1.5, True, "3", 1 << 63, None, ...]),
    (("parent",), [-1, "2", True, [], ...]),
    (("container",), ["Pickle", 1, None, ...]),
    (("main",), ["../x", "other", 1, ...]),
    (("created",), ["yesterday", "2026-11-22T07:11:02+01:00", "٢٠٢٦-11-22T07:11:02Z", 0, ...]),
    (("author",), [1, None, ...]),
    (("message",), [[], ...]),
    (("tools",), [[], {"a": 1}, ...]),
    (("policy",), ["abc", 1, ...]),
    (("files",), [{}, None, [1], [{}], ...]),
    (
        ("files", 0, "path"),
        [
            "",
            "/etc/passwd",
            "../../x",
            "a/../../x",
            "a//b",
            "./a",
            "a\0b",
            "weightaudit.json",
            "\ud800",
            1,
            ...,
        ],
    ),
    (("files", 0, "size"), [-1, 1.0, "10", False, ...]),
    (("files", 0, "sha256"), ["", SHA.upper(), SHA + "\n", None, ...]),
    (("tensors",), [{}, [[]], ...]),
    (("tensors", 0, "name"), [None, ...]),
    (("tensors", 0, "shape"), [3, [-1], ["2"], [[]], ...]),
    (("tensors", 0, "sha256"), ["x", 0, ...]),
    (("changes", 0, "elements"), [-1, None, ...]),
    (("changes", 0, "relative"), ["nan", None, True, ...]),
    (("changes", 0, "projections"), ["non_neg", [1], ...]),
    (("changes", 0, "before"), [[], None, ...]),
    (("changes", 0, "before", "l2"), ["", ...]),
    (("findings",), [[], ...]),
    (("findings", "before"), [{}, ...]),
    (("findings", "before", 0, "severity"), ["fatal", 1, ...]),
    (("findings", "before", 0, "tensor"), [1, ...]),
    (("findings", "before", 0, "values"), [[], {"a": []}, ...]),
]


@pytest.mark.parametrize(
    ("keys", "value"), [(keys, value) for keys, values in WRONG for value in values], ids=str
)
def test_a_record_that_is_not_as_it_must_be_is_refused(keys: tuple[str | int, ...], value: Any) -> None:
    """Wrong types, wrong ranges, missing fields and paths that lead out of the version are errors."""
    document = json.loads(record_bytes(RECORD))
    at(*keys)(document, value)
    with pytest.raises(StoreError, match=r"^The record is no record of a version: "):
        parsed(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"format": 1, "format": 1}',
        b"[" * 100_000,
        b"\xff\xfe",
        b"9" * 10_000,
        b'{"format": NaN}',
    ],
)
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    """Anything may lie where a record is expected; it is an error with one sentence."""
    with pytest.raises(StoreError, match=r"^The record "):
        parsed(data)


def test_a_path_stands_for_one_file() -> None:
    """A record that lists a file a million times would have it read a million times."""
    twice = replace(RECORD, files=RECORD.files * 2)
    with pytest.raises(StoreError, match="a path twice"):
        parsed(record_bytes(twice))


def test_a_huge_record_is_not_read(tmp_path: Path) -> None:
    """A record of many gigabytes is refused by its size, before a byte of it is read."""
    from weightaudit.source import LocalFile

    path = tmp_path / "weightaudit.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(StoreError, match="is larger than"):
        read_record(LocalFile(path), "The record")


def test_changes_are_written_field_by_field() -> None:
    """A field that is added to `Change` or `Figures` cannot be forgotten in its JSON."""
    from weightaudit.render.plain import change_json

    change = RECORD.changes[0]
    document = change_json(change)
    assert document.keys() == asdict(change).keys()
    assert document["before"].keys() == asdict(change.before).keys()
