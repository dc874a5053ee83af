"""The file that holds the tags of one model's versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from weightaudit.errors import ReadError, StoreError, UsageError
from weightaudit.formats.documents import parse_json
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.render.plain import json_text
from weightaudit.source import LocalFile
from weightaudit.storage.publishing import save_bytes
from weightaudit.versions.layout import LATEST, TAGS, is_there, version_number

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST = 1 << 20
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def read_tags(folder: Path) -> dict[str, int]:
    """Return the tags of a model's versions, given their directory.

    Raises:
        StoreError: The file that holds them is damaged.
    """
    path = folder / TAGS
    if not is_there(path):
        return {}
    try:
        file = LocalFile(path, label=str(path))
        try:
            document = parse_json(file.read(0, min(file.size, _LARGEST)), str(path), DEFAULT_LIMITS)
        finally:
            file.close()
    except ReadError as error:
        raise StoreError(str(error)) from error
    if not isinstance(document, dict):
        raise StoreError(f"{path} is damaged: it holds no tags.")
    tags: dict[str, int] = {}
    for name, number in cast("dict[str, object]", document).items():
        if not isinstance(number, int) or isinstance(number, bool) or not _TAG.fullmatch(name):
            raise StoreError(f"{path} is damaged: the tag {name!r} names no version.")
        tags[name] = number
    return tags


def check_tag(name: str) -> None:
    """Raise UsageError if a version cannot have that tag."""
    if not _TAG.fullmatch(name) or name == LATEST or version_number(name) is not None:
        raise UsageError(
            f"{name!r} cannot be a tag; use letters, digits and . _ + -, at most 100, "
            f"but neither a number nor {LATEST}."
        )


def write_tags(folder: Path, tags: dict[str, int]) -> None:
    """Replace the tags of a model's versions, given their directory.

    Raises:
        WriteError: They cannot be written; the old ones are untouched.
    """
    save_bytes(json_text(dict(sorted(tags.items()))).encode(), folder / TAGS, follow_link=False)
