"""Versions as text and JSON: one line per version in a list, one line per fact of a single one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weightaudit.numerals import numeral
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.plain import safe_text
from weightaudit.render.summary import plural, size
from weightaudit.versions.record_json import record_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.table import Table

    from weightaudit.change import Change, Figures
    from weightaudit.versions.survey import Entry
    from weightaudit.versions.verifying import Damage
    from weightaudit.versions.version import Version

_TITLES: tuple[str, ...] = ("version", "created", "size", "from", "tags", "signed", "author", "message")
_NARROWEST = {"from": 9, "message": 20}
"""Columns of a table that are folded, and how wide they are at least: words should stay whole."""


def list_text(entries: Sequence[Entry]) -> str:
    """Return one line per version."""
    return "".join(f"{printable(entry.address)}: {_summary(entry)}\n" for entry in entries)


def list_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return the versions without their files, tensors, changes and findings, but the numbers of them."""
    return [_head(entry) for entry in entries]


def version_text(entry: Entry) -> str:
    """Return everything that is known about a version, one line per fact; tensors are only counted."""
    return "".join(f"{printable(entry.address)}: {line}\n" for line in _facts(entry))


def version_json(entry: Entry) -> dict[str, Any]:
    """Return everything that is known about a version; ``record`` is as its schema says."""
    record = None if entry.version is None else record_json(entry.version.record)
    return _head(entry) | {"record": record}


def list_table(entries: Sequence[Entry]) -> Table:
    """Return versions as a table; names are printed as they are, never as markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    titles = [title for title in _TITLES if title != "signed" or any(entry.is_signed for entry in entries)]
    for title in titles:
        whole = title in {"version", "created", "size"}
        table.add_column(title, overflow="fold", no_wrap=whole, min_width=_NARROWEST.get(title))
    for entry in entries:
        told = dict(zip(_TITLES, _cells(entry), strict=True))
        cells = [Text(told[title]) for title in titles]
        cells[0].stylize("bold" if entry.damage is None else "bold magenta")
        table.add_row(*cells)
    return table


def verified_text(results: Mapping[str, Sequence[Damage]], *, signatures: bool = False) -> str:
    """Return what was verified, by address: one line for each damage, or one that says that there is none.

    Args:
        results: What is damaged, by address.
        signatures: Whether signatures were verified, too.
    """
    intact = "intact, and signed by that key" if signatures else "intact"
    lines: list[str] = []
    for address, damage in results.items():
        told = [printable(str(one), MESSAGE_LIMIT) for one in damage] or [intact]
        lines += [f"{printable(address)}: {line}" for line in told]
    return "".join(f"{line}\n" for line in lines)


def verified_json(results: Mapping[str, Sequence[Damage]]) -> list[dict[str, Any]]:
    """Return what was verified, by address."""
    return [
        {
            "address": safe_text(address),
            "intact": not damage,
            "damage": [
                {"what": one.what, "name": safe_text(one.name), "how": safe_text(one.how)} for one in damage
            ],
        }
        for address, damage in results.items()
    ]


def lineage(entry: Entry) -> str:
    """Return where a version comes from and how far it is from there: ``from 1, 3 tensors changed``."""
    if entry.version is None or entry.version.record.parent is None:
        return ""
    record = entry.version.record
    gone = "" if entry.parent_is_there else " (removed)"
    changed = f", {plural(len(record.changes), 'tensor')} changed" if record.changes else ""
    return f"from {record.parent}{gone}{changed}"


def first_line(message: str) -> str:
    """Return the first line of a message, made safe to show."""
    return printable(message.strip().partition("\n")[0], MESSAGE_LIMIT)


def _summary(entry: Entry) -> str:
    if entry.version is None:
        return f"damaged: {printable(entry.damage or '', MESSAGE_LIMIT)}"
    record = entry.version.record
    tags = f"tagged {', '.join(entry.tags)}" if entry.tags else ""
    facts = (
        record.created,
        size(entry.version.size),
        lineage(entry),
        f"by {printable(record.author)}",
        tags,
        "signed" if entry.is_signed else "",
    )
    summary, message = ", ".join(fact for fact in facts if fact), first_line(record.message)
    return f"{summary}: {message}" if message else summary


def _cells(entry: Entry) -> tuple[str, ...]:
    address, tags = printable(entry.address), ", ".join(entry.tags)
    signed = "yes" if entry.is_signed else ""
    if entry.version is None:
        return (address, "", "", "", tags, signed, "", _summary(entry))
    record = entry.version.record
    return (
        address,
        record.created,
        size(entry.version.size),
        lineage(entry).removeprefix("from "),
        tags,
        signed,
        printable(record.author),
        first_line(record.message),
    )


def _head(entry: Entry) -> dict[str, Any]:
    head: dict[str, Any] = {
        "address": safe_text(entry.address),
        "damage": None if entry.damage is None else safe_text(entry.damage),
        "tags": list(entry.tags),
        "signed": entry.is_signed,
    }
    return head if entry.version is None else head | _known(entry.version, entry)


def _known(version: Version, entry: Entry) -> dict[str, Any]:
    record = version.record
    return {
        "model": record.model,
        "version": record.version,
        "path": safe_text(str(version.path)),
        "container": record.container.value,
        "parent": record.parent,
        "parent_is_there": entry.parent_is_there,
        "created": record.created,
        "author": safe_text(record.author),
        "message": safe_text(record.message),
        "bytes": version.size,
        "files": len(record.files),
        "tensors": len(record.tensors),
        "changed": len(record.changes),
    }


def _facts(entry: Entry) -> Iterator[str]:
    if entry.version is None:
        yield _summary(entry)
        return
    record = entry.version.record
    yield f"path: {printable(str(entry.version.path), MESSAGE_LIMIT)}"
    yield f"container: {record.container}"
    yield f"created: {record.created}"
    yield f"author: {printable(record.author)}"
    if record.message:
        yield f"message: {printable(record.message, MESSAGE_LIMIT)}"
    if record.parent is not None:
        yield f"parent: {record.parent}{'' if entry.parent_is_there else ' (removed)'}"
    if entry.tags:
        yield f"tags: {', '.join(entry.tags)}"
    if entry.is_signed:
        yield "signed: yes; `weightaudit versions verify --public-key KEY` says whether by that key"
    tools = (f"{printable(name)} {printable(record.tools[name])}" for name in sorted(record.tools))
    yield f"tools: {', '.join(tools)}"
    if record.policy is not None:
        yield f"policy: sha256 {record.policy}"
    for file in record.files:
        yield f"file {printable(file.path)}: {file.size} bytes, sha256 {file.sha256}"
    yield f"tensors: {len(record.tensors)}, of which {len(record.changes)} were changed"
    yield from (_change(change) for change in record.changes)
    for when, findings in (("parent", record.before), ("version", record.after)):
        yield from (f"finding in the {when}: {_finding(finding)}" for finding in findings)


def _change(change: Change) -> str:
    rules = f" for {', '.join(map(printable, change.rules))}" if change.rules else ""
    how = " then ".join(map(printable, change.projections))
    return (
        f"changed {printable(change.tensor)}: {how}{rules}: {change.elements} of "
        f"{plural(change.size, 'value')} by {change.extent}, each by at most {numeral(change.largest)}; "
        f"before {_figures(change.before)}; after {_figures(change.after)}"
    )


def _figures(figures: Figures) -> str:
    return (
        f"norm {numeral(figures.l2, 6)}, {numeral(figures.minimum, 6)} to {numeral(figures.maximum, 6)}, "
        f"{figures.zeros} zeros, {figures.nonfinite} not finite"
    )


def _finding(finding: Mapping[str, Any]) -> str:
    place = "" if finding["tensor"] is None else f"{printable(finding['tensor'])}: "
    rule = f" {printable(finding['rule'])}" if finding["rule"] is not None else ""
    message = printable(finding["message"], MESSAGE_LIMIT)
    return f"{place}{finding['severity']} {printable(finding['code'])}{rule}: {message}"
