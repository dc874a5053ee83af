"""The report as JSON, as ``report.schema.json`` describes it.

The same report gives the same bytes: no clock, no absolute path, everything in a fixed order.
Everything but ASCII is escaped, so the output is harmless in any terminal and any CI log.
"""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from weightaudit.comparison.result import Status
from weightaudit.fingerprint import fingerprinted
from weightaudit.render.entries import identified, policy_path
from weightaudit.render.plain import json_text, plain, safe_text
from weightaudit.render.summary import VERDICTS, count, figures, obstacle, ordered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weightaudit.comparison.result import Comparison, TensorComparison
    from weightaudit.render.view import View
    from weightaudit.report import Coverage, LeftOut, ModelReport, Reference, Report, Suppressed
    from weightaudit.rule import Finding
    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo

SCHEMA_VERSION = 1
"""Raised when a field is removed or changes its meaning; new fields do not raise it."""

_ALONE = (Status.REMOVED, Status.ADDED)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `render_json` returns."""
    text = files("weightaudit.render").joinpath("report.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def render(report: Report, view: View) -> str:
    """Return a report as the format ``json``; see `render_json`."""
    return render_json(report, verbose=view.verbose, names=view.names)


def render_json(report: Report, *, verbose: bool = False, names: Mapping[str, str] | None = None) -> str:
    """Return a report as a JSON document that ends with a line end.

    Args:
        report: The report.
        verbose: Add the statistics of every tensor.
        names: Names of the rules by code; without them a finding's ``rule`` is null.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "weightaudit", "version": tool_version()},
        **outcome(report),
        "summary": summary_json(report),
        "reference": reference_json(report.reference),
        "policy": {
            "file": safe_text(report.policy) or None,
            "findings": policy_findings_json(report, names or {}),
        },
        "models": [_model(model, names or {}, verbose=verbose) for model in report.models],
        "left_out": [left_out_json(one) for one in report.left_out],
    }
    return json_text(document)


def outcome(report: Report) -> dict[str, Any]:
    """Return the verdict, and what decided it."""
    return {
        "exit_code": int(report.exit_code),
        "verdict": VERDICTS[report.exit_code],
        "fail_on": None if report.fail_on is None else report.fail_on.label,
    }


def left_out_json(one: LeftOut) -> dict[str, str]:
    """Return a file that was not taken for a model."""
    return {"path": safe_text(one.path), "reason": safe_text(one.reason)}


def policy_findings_json(report: Report, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what is wrong with the policy or the baseline."""
    found = fingerprinted(policy_path(report), ordered(report.policy_findings))
    return [marked(finding, mark, names) for finding, mark in found]


def reference_json(reference: Reference | None) -> dict[str, Any] | None:
    """Return what the models were judged against."""
    if reference is None:
        return None
    return {
        "path": safe_text(reference.path),
        "container": safe_text(reference.container),
        "digest": reference.digest,
    }


def tool_version() -> str:
    """Return the version of weightaudit, as reports state it."""
    try:
        return version("weightaudit")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def summary_json(report: Report) -> dict[str, Any]:
    """Return totals over all models."""
    return {
        "models": len(report.models),
        "complete": sum(model.is_complete for model in report.models),
        "tensors": sum(model.coverage.tensors for model in report.models),
        "audited": sum(model.coverage.audited for model in report.models),
        "skipped": sum(len(model.skipped) for model in report.models),
        "bytes": sum(model.coverage.nbytes for model in report.models),
        "findings": count(report.findings),
        "suppressed": sum(len(model.suppressed) for model in report.models),
    }


def _model(model: ModelReport, names: Mapping[str, str], *, verbose: bool) -> dict[str, Any]:
    counted, suppressed = identified(model)
    return {
        **model_json(model),
        "findings": [marked(finding, mark, names) for finding, mark in counted],
        "suppressed": [suppressed_json(one, mark, names) for one, mark in suppressed],
        "skipped": [
            {"tensor": safe_text(one.tensor), "reason": safe_text(one.reason)} for one in model.skipped
        ],
        "tensors": tensors_json(model, verbose=verbose),
    }


def model_json(model: ModelReport) -> dict[str, Any]:
    """Return what is said of a model as a whole."""
    failure = obstacle(model)
    return {
        "path": safe_text(model.path),
        "container": safe_text(model.container),
        "complete": model.is_complete,
        "failure": None if failure is None else safe_text(failure),
        "coverage": _coverage(model.coverage),
        "notes": [safe_text(remark) for remark in model.notes],
        "reference": None if model.comparison is None else _comparison(model.comparison),
    }


def marked(finding: Finding, mark: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a finding of a report, with its fingerprint."""
    return finding_json(finding, names) | {"fingerprint": mark}


def suppressed_json(one: Suppressed, mark: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a finding that does not count, and why."""
    why = {"reason": safe_text(one.reason), "source": safe_text(one.source)}
    return marked(one.finding, mark, names) | why


def _comparison(found: Comparison) -> dict[str, Any]:
    """Return how many tensors became what, and which have no counterpart."""
    alone = {status: [one for one in found.tensors if one.status is status] for status in _ALONE}
    return {
        "summary": {status.value: found.count(status) for status in Status},
        **{status.value: [safe_text(one.name) for one in alone[status]] for status in _ALONE},
    }


def tensors_json(model: ModelReport, *, verbose: bool) -> list[dict[str, Any]]:
    """Return every tensor of a model; `verbose` adds what was measured."""
    pairs = model.comparison.tensors if verbose and model.comparison is not None else ()
    moved = {one.second.name: one for one in pairs if one.second is not None}
    documents: list[dict[str, Any]] = []
    for info in model.tensors:
        document = _tensor(info, model.stats.get(info.name), verbose=verbose)
        if info.name in moved:
            document["reference"] = _beside(moved[info.name])
        documents.append(document)
    return documents


def _beside(one: TensorComparison) -> dict[str, Any]:
    """Return how a tensor differs from its counterpart in the reference."""
    found = one.difference
    document: dict[str, Any] = {
        "status": one.status.value,
        "name": None if one.first is None else safe_text(one.first.name),
        "paired_by": None if one.match is None else one.match.value,
    }
    if found is not None:
        document["difference"] = {
            "relative": plain(found.relative),
            "cosine": plain(found.cosine),
            "gain_ratio": plain(found.gain_ratio),
            "largest": plain(found.largest),
            "sign_flips": found.sign_flips,
            "zeros_before": found.zeros_before,
            "zeros_after": found.zeros_after,
        }
    return document


def _coverage(covered: Coverage) -> dict[str, int]:
    return {
        "audited": covered.audited,
        "tensors": covered.tensors,
        "opaque": covered.opaque,
        "bytes": covered.nbytes,
    }


def finding_json(finding: Finding, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a finding as reports and the records of versions have it; `names` are those of the rules."""
    return {
        "code": finding.code,
        "rule": names.get(finding.code),
        "severity": finding.severity.label,
        "tensor": None if finding.tensor is None else safe_text(finding.tensor),
        "message": safe_text(finding.message),
        "values": {name: plain(finding.values[name]) for name in sorted(finding.values)},
    }


def _tensor(info: TensorInfo, stats: Stats | None, *, verbose: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": safe_text(info.name),
        "key": safe_text(info.key),
        "shape": list(info.shape),
        "dtype": safe_text(info.dtype),
        "role": info.role.value,
        "evidence": info.evidence.value,
        "layer": safe_text(info.layer),
        "layer_class": safe_text(info.layer_class),
    }
    if verbose and stats is not None:
        document["statistics"] = {name: plain(value) for name, value in figures(stats).items()}
    return document
