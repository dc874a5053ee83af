"""The one model that a user means by a path or by the address of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from weightaudit.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from weightaudit.versions.version import Version


class Model(NamedTuple):
    """A saved model: what to open, and what it is called in reports.

    Attributes:
        path: What to open.
        label: Its path as the user knows it, or the address of a version.
        digest: SHA-256 of its file, in hexadecimal, where a version's record tells it; else None.
    """

    path: Path
    label: str
    digest: str | None = None


def find_model(text: str) -> Model:
    """Return the one model that a user means by a path, or by the address of a version.

    Raises:
        UsageError: There is none, or there are several.
        StoreError: There is no such version.
        UnsupportedFormatError: A directory holds no saved model.
    """
    from weightaudit.discover import addressed, discover

    version = addressed(text)
    if version is not None:
        return Model(version.path, version.address, _digest(version))
    targets = discover([text])
    if len(targets) != 1:
        raise UsageError(f"{text} stands for {len(targets)} models; name one of them.")
    return Model(targets[0].path, targets[0].label)


def _digest(version: Version) -> str | None:
    """Return the digest of a version that is one file; one of several files has none of its own."""
    files = version.record.files
    return files[0].sha256 if len(files) == 1 else None
