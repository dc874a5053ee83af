"""The report as SARIF 2.1.0, so that GitHub's code scanning takes it, keeps it and shows it.

One run for each model, each in a category of its own: uploading one model's results never closes those
of another. What GitHub demands beyond the standard is said where it is done.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from weightaudit.render.entries import (
    NOT_AUDITED,
    Entry,
    model_codes,
    model_entries,
    nothing_audited,
    policy_codes,
    policy_entries,
    policy_path,
)
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.json import tool_version
from weightaudit.render.plain import json_text, plain, safe_text
from weightaudit.render.sarif_rules import described
from weightaudit.render.summary import plural, verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.render.view import View
    from weightaudit.report import Report

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

RUNS = 20
"""Runs of a file that GitHub takes; with more it refuses the file."""
RESULTS = 25_000
"""Results of a run that GitHub takes; with more it refuses the file."""
SHOWN = 5_000
"""Results of a run that GitHub keeps, worst first."""
COMPRESSED = 10_000_000
"""Bytes of the file under gzip that GitHub takes."""

# GitHub refuses results without a line, and shows those at the first line beside the file.
_REGION = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}


@dataclass(frozen=True, slots=True)
class _Part:
    """What becomes one run.

    Attributes:
        paths: Files that it is about; the first names its category.
        entries: Its results, worst first.
        codes: Rules that judged.
        remarks: Sentences about the run as a whole.
    """

    paths: tuple[str, ...]
    entries: Sequence[Entry]
    codes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def render(report: Report, view: View) -> str:
    """Return a report as a SARIF log that keeps to GitHub's limits; what was cut is said in the log."""
    parts = _parts(report, view)
    limit = min(RESULTS, max(len(part.entries) for part in parts))
    text = _log(report, view, parts, limit)
    while limit > 1 and (size := compressed(text)) > COMPRESSED:
        limit = max(1, int(limit * 0.95 * COMPRESSED / size))
        text = _log(report, view, parts, limit)
    for remark in dict.fromkeys(remark for part in parts for remark in _cut(part, limit).remarks):
        view.tell(remark.removesuffix("."))
    return text


def compressed(text: str) -> int:
    """Return the bytes of a text under gzip, or without compression if they are few enough as they are."""
    data = text.encode()
    return len(data) if len(data) <= COMPRESSED else len(zlib.compress(data)) + 12


def _parts(report: Report, view: View) -> list[_Part]:
    codes = model_codes(view)
    parts = [_Part((model.path,), model_entries(report, model, view), codes) for model in report.models] or [
        _Part((), [nothing_audited()], codes)
    ]
    # Also without a finding: an empty run is what closes the alerts of an earlier one.
    if report.policy or report.policy_findings:
        parts.append(_Part((policy_path(report),), policy_entries(report, view), policy_codes(view)))
    return parts if len(parts) <= RUNS else [_joined(parts, tuple(view.active))]


def _joined(parts: Sequence[_Part], codes: tuple[str, ...]) -> _Part:
    entries = sorted((one for part in parts for one in part.entries), key=lambda one: -one.severity)
    paths = tuple(path for part in parts for path in part.paths)
    why = f"Code scanning takes {RUNS} runs, so these {len(parts)} share one category; audit fewer at a time."
    return _Part(paths, entries, codes, (why,))


def _log(report: Report, view: View, parts: Sequence[_Part], limit: int) -> str:
    runs = [_run(_cut(part, limit), report, view) for part in parts]
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": runs})


def _cut(part: _Part, limit: int) -> _Part:
    there, kept = len(part.entries), part.entries[:limit]
    remarks = part.remarks
    if len(kept) < there:
        told = f"Only the worst {len(kept)} of {plural(there, 'result')} are in the file"
        remarks += (f"{told}: code scanning takes no more.",)
    if len(kept) > SHOWN:
        remarks += (f"Code scanning shows the worst {SHOWN} of these {len(kept)} results.",)
    return replace(part, entries=kept, remarks=remarks)


def _run(part: _Part, report: Report, view: View) -> dict[str, Any]:
    codes = list(dict.fromkeys([*part.codes, *(one.code for one in part.entries)]))
    places = {path: index for index, path in enumerate(part.paths)}
    name = uri(part.paths[0]) + "/" if len(part.paths) == 1 else ""
    return {
        "tool": {
            "driver": {
                "name": "weightaudit",
                "version": tool_version(),
                "rules": [described(code, view.rules.get(code)) for code in codes],
            }
        },
        # What stands before the last slash is the category: results replace those of the same one.
        "automationDetails": {"id": f"{uri(view.category)}/{name}"},
        "invocations": [_invocation(part, report)],
        "artifacts": [{"location": _location(path), "roles": ["analysisTarget"]} for path in part.paths],
        "results": [_result(one, codes.index(one.code), places.get(one.path)) for one in part.entries],
        "columnKind": "unicodeCodePoints",
    }


def _invocation(part: _Part, report: Report) -> dict[str, Any]:
    """Return how the run went.

    It counts as successful also where a tensor could not be read: GitHub refuses a file with a run that
    does not, and with it the findings of all other models. What is missing is a result of its own.
    """
    notifications = [{"level": "warning", "message": {"text": remark}} for remark in part.remarks]
    return {
        "executionSuccessful": True,
        "exitCode": int(report.exit_code),
        "exitCodeDescription": verdict(report),
        "toolExecutionNotifications": notifications,
    }


def _result(entry: Entry, rule: int, place: int | None) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": _location(entry.path, place), "region": _REGION}
    }
    if entry.tensor is not None:
        name = safe_text(entry.tensor)
        location["logicalLocations"] = [
            {"name": name.rpartition("/")[2] or name, "fullyQualifiedName": name, "kind": "variable"}
        ]
    result: dict[str, Any] = {
        "ruleId": entry.code,
        "ruleIndex": rule,
        "level": entry.severity.label,
        "message": {"text": _message(entry)},
        "locations": [location],
        # Without one of ours GitHub makes one of the line's text, the same for all results of a file.
        "partialFingerprints": {"primaryLocationLineHash": f"{entry.fingerprint}:1"},
    }
    if entry.values:
        result["properties"] = {"values": {name: plain(entry.values[name]) for name in sorted(entry.values)}}
    return result


def _message(entry: Entry) -> str:
    """Return the message, in which a name from the file is neither a link nor a placeholder."""
    # Code scanning shows no logical locations, so the tensor is named here too.
    place = "" if entry.tensor is None else f"{printable(entry.tensor)}: "
    head = "Not audited: " if entry.code == NOT_AUDITED else ""
    text = place + head + printable(entry.message, MESSAGE_LIMIT)
    return text.replace("](", "] (").replace("{", "{{").replace("}", "}}")


def _location(path: str, index: int | None = None) -> dict[str, Any]:
    location: dict[str, Any] = {"uri": uri(path), "uriBaseId": "%SRCROOT%"}
    return location if index is None else location | {"index": index}


def uri(path: str) -> str:
    """Return a relative path as a relative URI, whatever characters its name has."""
    return quote(path.removeprefix("./"), safe="/", errors="surrogatepass")
