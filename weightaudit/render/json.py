"""The report as JSON, as ``report.schema.json`` describes it.

The same report gives the same bytes: no clock, no absolute path, everything in a fixed order.
Everything but ASCII is escaped, so the output is harmless in any terminal and any CI log.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from math import isfinite, isnan
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from weightaudit.render.summary import VERDICTS, count, figures, obstacle, ordered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weightaudit.report import Coverage, ModelReport, Report
    from weightaudit.rule import Finding, Value
    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo

SCHEMA_VERSION = 1
"""Raised when a field is removed or changes its meaning; new fields do not raise it."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `render_json` returns."""
    text = files("weightaudit.render").joinpath("report.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def render_json(report: Report, *, verbose: bool = False, names: Mapping[str, str] | None = None) -> str:
    """Return a report as a JSON document that ends with a line end.

    Args:
        report: The report.
        verbose: Add the statistics of every tensor.
        names: Names of the rules by code; without them a finding's ``rule`` is null.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "weightaudit", "version": _tool_version()},
        "exit_code": int(report.exit_code),
        "verdict": VERDICTS[report.exit_code],
        "fail_on": None if report.fail_on is None else report.fail_on.label,
        "summary": _summary(report),
        "models": [_model(model, names or {}, verbose=verbose) for model in report.models],
    }
    text = json.dumps(document, indent=2, allow_nan=False)
    # Azure, TeamCity and GitHub look for commands that start with ## anywhere in a line.
    return text.replace("##", r"#\u0023") + "\n"


def _tool_version() -> str:
    try:
        return version("weightaudit")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def _summary(report: Report) -> dict[str, Any]:
    return {
        "models": len(report.models),
        "complete": sum(model.is_complete for model in report.models),
        "tensors": sum(model.coverage.tensors for model in report.models),
        "audited": sum(model.coverage.audited for model in report.models),
        "skipped": sum(len(model.skipped) for model in report.models),
        "bytes": sum(model.coverage.nbytes for model in report.models),
        "findings": count(report.findings),
    }


def _model(model: ModelReport, names: Mapping[str, str], *, verbose: bool) -> dict[str, Any]:
    failure = obstacle(model)
    return {
        "path": _text(model.path),
        "container": _text(model.container),
        "complete": model.is_complete,
        "failure": None if failure is None else _text(failure),
        "coverage": _coverage(model.coverage),
        "findings": [_finding(finding, names) for finding in ordered(model.findings)],
        "skipped": [{"tensor": _text(one.tensor), "reason": _text(one.reason)} for one in model.skipped],
        "notes": [_text(remark) for remark in model.notes],
        "tensors": [_tensor(info, model.stats.get(info.name), verbose=verbose) for info in model.tensors],
    }


def _coverage(covered: Coverage) -> dict[str, int]:
    return {
        "audited": covered.audited,
        "tensors": covered.tensors,
        "opaque": covered.opaque,
        "bytes": covered.nbytes,
    }


def _finding(finding: Finding, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "code": finding.code,
        "rule": names.get(finding.code),
        "severity": finding.severity.label,
        "tensor": None if finding.tensor is None else _text(finding.tensor),
        "message": _text(finding.message),
        "values": {name: _plain(finding.values[name]) for name in sorted(finding.values)},
    }


def _tensor(info: TensorInfo, stats: Stats | None, *, verbose: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": _text(info.name),
        "key": _text(info.key),
        "shape": list(info.shape),
        "dtype": _text(info.dtype),
        "role": info.role.value,
        "evidence": info.evidence.value,
        "layer": _text(info.layer),
        "layer_class": _text(info.layer_class),
    }
    if verbose and stats is not None:
        document["statistics"] = {name: _plain(value) for name, value in figures(stats).items()}
    return document


def _plain(value: Value) -> Value:
    """Return a value that JSON has: numpy's numbers as Python's, and non-finite ones as strings."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Integral):
        return int(value)
    number = float(value) if isinstance(value, Real) else value
    if isfinite(number):
        return number
    if isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def _text(text: str) -> str:
    r"""Return the text with lone surrogates spelled out as ``\udc80``: JSON readers refuse them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
