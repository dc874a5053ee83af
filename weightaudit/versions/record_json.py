"""Records of versions as JSON, as ``record.schema.json`` describes it.

What is read may have been written by anybody: every type is checked, and no path leads elsewhere.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar, cast

from weightaudit.change import Change, Figures
from weightaudit.errors import ReadError, StoreError
from weightaudit.formats import Kind
from weightaudit.formats.documents import parse_json
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.render.plain import change_json, json_text, safe_text
from weightaudit.versions.layout import RECORD, is_portable
from weightaudit.versions.record import Record, StoredFile, StoredTensor

if TYPE_CHECKING:
    from weightaudit.catalog import Json
    from weightaudit.source import ByteSource

FORMAT = 1
"""Raised when a field is removed or changes its meaning; new fields do not raise it."""

_SPECIAL = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_SEVERITIES = frozenset({"note", "warning", "error"})
_DIRECTORIES = frozenset({Kind.SAVED_MODEL, Kind.KERAS_DIRECTORY})
_LARGEST = 1 << 63
_MOST = sys.float_info.max

_T = TypeVar("_T")


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a record."""
    text = files("weightaudit.versions").joinpath("record.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def record_json(record: Record) -> dict[str, Any]:
    """Return a record as JSON has it."""
    return {
        "format": FORMAT,
        "model": record.model,
        "version": record.version,
        "parent": record.parent,
        "container": record.container.value,
        "main": record.main,
        "created": record.created,
        "author": safe_text(record.author),
        "message": safe_text(record.message),
        "tools": dict(sorted(record.tools.items())),
        "policy": record.policy,
        "files": [{"path": one.path, "size": one.size, "sha256": one.sha256} for one in record.files],
        "tensors": [_tensor_json(one) for one in record.tensors],
        "changes": [change_json(one) for one in record.changes],
        "findings": {"before": list(record.before), "after": list(record.after)},
    }


def _tensor_json(tensor: StoredTensor) -> dict[str, Any]:
    # Not asdict, which copies every value: models have tens of thousands of tensors.
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "role": tensor.role,
        "sha256": tensor.sha256,
    }


def record_bytes(record: Record) -> bytes:
    """Return a record as a JSON document that ends with a line end."""
    return json_text(record_json(record)).encode()


def embedded(record: Record) -> bytes:
    """Return what is written into the model itself: the record without the digests of its files.

    See the argument ``record`` of `weightaudit.writing.write_model`.
    """
    document = record_json(record)
    del document["files"]
    return json_text(document).encode()


def read_record(file: ByteSource, label: str) -> Record:
    """Return the record that a file holds.

    Args:
        file: The file.
        label: What it is called in a message.

    Raises:
        StoreError: It cannot be read, is too large, not JSON, of another format, or has a field that is
            not as it must be.
    """
    if file.size > DEFAULT_LIMITS.max_metadata:
        raise StoreError(f"{label} is larger than {DEFAULT_LIMITS.max_metadata} bytes.")
    try:
        return _record(parse_json(file.read(0, file.size), label, DEFAULT_LIMITS))
    except ReadError as error:
        raise StoreError(str(error)) from error
    except _InvalidError as error:
        raise StoreError(f"{label} is no record of a version: {error}.") from error


class _InvalidError(ValueError):
    """A field is not as it must be; the text says which, and how."""


def _record(node: Json) -> Record:
    if _field(node, "format") != FORMAT:
        raise _InvalidError(f"its format is not {FORMAT}; a newer weightaudit may have written it")
    findings = _object(node, "findings")
    stored = _each(node, "files", _file)
    container, paths = _container(node), {one.path for one in stored}
    if len(paths) != len(stored):
        raise _InvalidError("files has a path twice")
    return Record(
        model=_text(node, "model"),
        version=_whole(node, "version"),
        parent=None if _field(node, "parent") is None else _whole(node, "parent"),
        container=container,
        main=_main(node, container, paths),
        created=_matching(node, "created", _TIME),
        author=_text(node, "author"),
        message=_text(node, "message"),
        tools={name: _string(value, name) for name, value in _object(node, "tools").items()},
        policy=_digest(node, "policy"),
        files=stored,
        tensors=_each(node, "tensors", _tensor),
        changes=_each(node, "changes", _change),
        before=_each(findings, "before", _finding),
        after=_each(findings, "after", _finding),
    )


def _container(node: Json) -> Kind:
    text = _text(node, "container")
    if text not in set(Kind):
        raise _InvalidError("container is none that is known")
    return Kind(text)


def _main(node: Json, container: Kind, paths: set[str]) -> str:
    main = _text(node, "main")
    if container is Kind.BUNDLE:
        is_right = f"{main}.index" in paths
    else:
        is_right = main == "" if container in _DIRECTORIES else main in paths
    if not is_right:
        raise _InvalidError("main is none of its files")
    return main


def _file(node: Json) -> StoredFile:
    return StoredFile(_path(node, "path"), _whole(node, "size"), _matching(node, "sha256", _SHA256))


def _tensor(node: Json) -> StoredTensor:
    shape = _each(node, "shape", _natural)
    return StoredTensor(
        _text(node, "name"), _text(node, "dtype"), shape, _text(node, "role"), _digest(node, "sha256")
    )


def _change(node: Json) -> Change:
    return Change(
        tensor=_text(node, "tensor"),
        projections=_each(node, "projections", _string),
        rules=_each(node, "rules", _string),
        elements=_whole(node, "elements"),
        size=_whole(node, "size"),
        relative=_number(node, "relative"),
        largest=_number(node, "largest"),
        before=_figures(_object(node, "before")),
        after=_figures(_object(node, "after")),
        digest=_matching(node, "digest", _SHA256),
    )


def _figures(node: Json) -> Figures:
    return Figures(
        _number(node, "l2"),
        _number(node, "minimum"),
        _number(node, "maximum"),
        _whole(node, "zeros"),
        _whole(node, "nonfinite"),
    )


def _finding(node: Json) -> Mapping[str, Any]:
    if _text(node, "severity") not in _SEVERITIES:
        raise _InvalidError("severity is none")
    _text(node, "code")
    _text(node, "message")
    for name in ("rule", "tensor"):
        if _field(node, name) is not None:
            _text(node, name)
    for name, value in _object(node, "values").items():
        if value is not None and not isinstance(value, str | int | float):
            raise _InvalidError(f"values.{name} is no plain value")
    return cast("dict[str, Any]", node)


def _each(node: Json, name: str, parse: Callable[[Json], _T]) -> tuple[_T, ...]:
    """Return the parsed items of a list; an error says which of them it is in."""
    items = _field(node, name)
    if not isinstance(items, list):
        raise _InvalidError(f"{name} is no list")
    parsed: list[_T] = []
    for index, item in enumerate(cast("Sequence[Json]", items)):
        try:
            parsed.append(parse(item))
        except _InvalidError as error:
            raise _InvalidError(f"{name}[{index}]: {error}") from error
    return tuple(parsed)


def _field(node: Json, name: str) -> Json:
    if not isinstance(node, dict):
        raise _InvalidError("an object is expected where there is none")
    fields = cast("dict[str, Json]", node)
    if name not in fields:
        raise _InvalidError(f"{name} is missing")
    return fields[name]


def _object(node: Json, name: str) -> dict[str, Json]:
    value = _field(node, name)
    if not isinstance(value, dict):
        raise _InvalidError(f"{name} is no object")
    return cast("dict[str, Json]", value)


def _text(node: Json, name: str) -> str:
    return _string(_field(node, name), name)


def _string(value: Json, name: str = "it") -> str:
    if not isinstance(value, str):
        raise _InvalidError(f"{name} is no text")
    return value


def _whole(node: Json, name: str) -> int:
    return _natural(_field(node, name), name)


def _natural(value: Json, name: str = "it") -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LARGEST:
        raise _InvalidError(f"{name} is no whole number")
    return value


def _number(node: Json, name: str) -> float:
    value = _field(node, name)
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, int | float) and not isinstance(value, bool) and -_MOST <= value <= _MOST:
        return float(value)
    raise _InvalidError(f"{name} is no number")


def _digest(node: Json, name: str) -> str | None:
    return None if _field(node, name) is None else _matching(node, name, _SHA256)


def _matching(node: Json, name: str, pattern: re.Pattern[str]) -> str:
    text = _text(node, name)
    if not pattern.fullmatch(text):
        raise _InvalidError(f"{name} is not as it must be")
    return text


def _path(node: Json, name: str) -> str:
    """Return a path that stays below the directory it is meant for, and is not the record's own."""
    text = _text(node, name)
    parts = text.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or "\0" in text or text == RECORD or not is_portable(text):
        raise _InvalidError(f"{name} is no path of a model's file")
    return text
