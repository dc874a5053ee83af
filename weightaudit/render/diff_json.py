"""A comparison as JSON, as ``diff.schema.json`` describes it: the same models give the same bytes."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from weightaudit.comparison.result import Match, Status
from weightaudit.render.diff_text import VERDICTS
from weightaudit.render.json import tool_version
from weightaudit.render.plain import json_text, plain, safe_text

if TYPE_CHECKING:
    from weightaudit.comparison.result import Comparison, Difference, TensorComparison
    from weightaudit.tensor import TensorInfo

SCHEMA_VERSION = 1
"""Raised when a field is removed or changes its meaning; new fields do not raise it."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `render_diff_json` returns."""
    text = files("weightaudit.render").joinpath("diff.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def render_diff_json(comparison: Comparison) -> str:
    """Return a comparison as a JSON document that ends with a line end."""
    pairs = [one.match for one in comparison.tensors if one.match is not None]
    document = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "weightaudit", "version": tool_version()},
        "exit_code": int(comparison.exit_code),
        "verdict": VERDICTS[comparison.exit_code],
        "tolerance": comparison.tolerance,
        "weights_only": comparison.weights_only,
        "first": {"path": safe_text(comparison.first), "container": safe_text(comparison.containers[0])},
        "second": {"path": safe_text(comparison.second), "container": safe_text(comparison.containers[1])},
        "summary": {status.value: comparison.count(status) for status in Status},
        "pairs": {match.value: pairs.count(match) for match in Match},
        "failures": [safe_text(failure) for failure in comparison.failures],
        "notes": [safe_text(note) for note in comparison.notes],
        "tensors": [_tensor(one) for one in comparison.tensors],
    }
    return json_text(document)


def _tensor(one: TensorComparison) -> dict[str, Any]:
    return {
        "status": one.status.value,
        "name": safe_text(one.name),
        "paired_by": None if one.match is None else one.match.value,
        "within_tolerance": one.within,
        "lossless": one.is_lossless if one.status is Status.RETYPED else None,
        "reason": safe_text(one.reason) if one.reason else None,
        "first": None if one.first is None else _side(one.first),
        "second": None if one.second is None else _side(one.second),
        "difference": None if one.difference is None else _difference(one.difference),
    }


def _side(info: TensorInfo) -> dict[str, Any]:
    return {
        "name": safe_text(info.name),
        "key": safe_text(info.key),
        "shape": list(info.shape),
        "dtype": safe_text(info.dtype),
        "quantization": None if info.quantization is None else safe_text(info.quantization.mode),
        "role": info.role.value,
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "size": found.size,
        "elements": found.elements,
        "relative": plain(found.relative),
        "largest": plain(found.largest),
        "place": None if found.place is None else list(found.place),
        "before": plain(found.before),
        "after": plain(found.after),
        "sign_flips": found.sign_flips,
        "zeros_before": found.zeros_before,
        "zeros_after": found.zeros_after,
        "nonfinite_before": found.nonfinite_before,
        "nonfinite_after": found.nonfinite_after,
        "nonfinite_new": found.nonfinite_new,
        "nonfinite_gone": found.nonfinite_gone,
        "nonfinite_other": found.nonfinite_other,
        "cosine": plain(found.cosine),
    }
