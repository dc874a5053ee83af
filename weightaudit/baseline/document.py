"""The file of a baseline: sorted JSON with one finding to a line, so that a review shows what changed."""

from __future__ import annotations

import json
import os
import re
from importlib.resources import files
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from weightaudit.baseline.model import Baseline, Entry
from weightaudit.errors import UsageError
from weightaudit.policy import brief
from weightaudit.render.plain import plain, safe_text
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 1
"""Raised when a field is removed or changes its meaning."""

_FINGERPRINT = re.compile(r"[0-9a-f]{32}")
_CONFLICT = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
"""How version control marks what it could not merge."""
_NON_FINITE = {"NaN", "Infinity", "-Infinity"}
_WHOLE = 1 << 63
"""Beyond every count; larger integers of JSON are beyond what arithmetic with floats takes."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `text_of` returns."""
    text = files("weightaudit.baseline").joinpath("baseline.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def text_of(baseline: Baseline) -> str:
    """Return a baseline as ASCII that ends with a line end; the same baseline gives the same bytes."""
    head = {"schema_version": SCHEMA_VERSION, "policy": baseline.policy, "margin": baseline.margin}
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    entries = ",\n".join(f"    {json.dumps(_entry_json(one), allow_nan=False)}" for one in baseline.entries)
    found = f"[\n{entries}\n  ]" if entries else "[]"
    return "\n".join(["{", *lines, f'  "findings": {found}', "}", ""])


def read_baseline(path: str | os.PathLike[str]) -> Baseline:
    """Read a baseline.

    Raises:
        UsageError: The file cannot be read, or is no baseline.
    """
    source = os.path.relpath(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        document: object = json.loads(text)
    except OSError as error:
        raise UsageError(f"The baseline {source} cannot be read: {error.strerror or error}.") from error
    except json.JSONDecodeError as error:
        if _CONFLICT.search(error.doc):
            raise _unmerged(source) from error
        raise _damaged(source, f"it is not valid JSON ({error})") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(source, f"it is not valid JSON ({error})") from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise _damaged(source, "it is no baseline of weightaudit")
    fields = cast("dict[str, Any]", document)
    if fields["schema_version"] != SCHEMA_VERSION:
        found = fields["schema_version"]
        raise UsageError(
            f"The baseline {source} has the format {brief(found)}, and this weightaudit reads "
            f"{SCHEMA_VERSION}; use the weightaudit that wrote it, or write another one with "
            "`weightaudit baseline write --output FILE`."
        )
    return _baseline(fields, source)


def _baseline(fields: Mapping[str, Any], source: str) -> Baseline:
    policy, margin, found = (fields.get(key) for key in ("policy", "margin", "findings"))
    if not isinstance(policy, str):
        raise _damaged(source, "it does not name its policy")
    if not _is_number(margin) or not 0 <= margin < inf:
        raise _damaged(source, "its margin is not a number of 0 or more")
    if not isinstance(found, list):
        raise _damaged(source, "it has no list of findings")
    entries: dict[tuple[object, ...], Entry] = {}
    for index, one in enumerate(cast("list[object]", found)):
        entry = _entry(one)
        if entry is None:
            raise _damaged(source, f"findings[{index}] is not a finding")
        # A merge that keeps the lines of both sides repeats what both know, and may contradict itself.
        place = entry.fingerprint, entry.rule, entry.model, entry.tensor
        known = entries.setdefault(place, entry)
        if known is not entry and _entry_json(known) != _entry_json(entry):
            raise _damaged(source, f"findings[{index}] stands there twice, with other numbers")
    return Baseline([*entries.values()], policy, margin, source)


def _entry(found: object) -> Entry | None:
    """Return an entry, None if it is none."""
    if not isinstance(found, dict):
        return None
    one = cast("dict[str, Any]", found)
    rule, model, tensor, mark = (one.get(key) for key in ("rule", "model", "tensor", "fingerprint"))
    severity, values = one.get("severity"), one.get("values")
    if not (isinstance(rule, str) and isinstance(model, str) and isinstance(tensor, str | None)):
        return None
    if not (isinstance(mark, str) and _FINGERPRINT.fullmatch(mark)):
        return None
    if severity not in [one.label for one in Severity] or not isinstance(values, dict):
        return None
    measured = cast("dict[str, Any]", values)
    if not all(_is_number(value) or str(value) in _NON_FINITE for value in measured.values()):
        return None
    numbers = {name: float(value) if isinstance(value, str) else value for name, value in measured.items()}
    return Entry(mark, rule, model, tensor, Severity.parse(str(severity)), numbers)


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "model": safe_text(entry.model),
        "tensor": None if entry.tensor is None else safe_text(entry.tensor),
        "rule": entry.rule,
        "severity": entry.severity.label,
        "values": {name: plain(value) for name, value in entry.values.items()},
        "fingerprint": entry.fingerprint,
    }


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) < _WHOLE
    )


def _damaged(source: str, how: str) -> UsageError:
    return UsageError(
        f"The baseline {source} cannot be used: {how}; take it from version control again, or write another "
        "one with `weightaudit baseline write --output FILE`."
    )


def _unmerged(source: str) -> UsageError:
    return UsageError(
        f"The baseline {source} holds the marks of a merge that is not finished; take the file of either "
        "side, then add what the other one knows with `weightaudit baseline write`."
    )
