"""The record of a version: what it holds, where it comes from, and how it was made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weightaudit.render.plain import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from weightaudit.change import Change
    from weightaudit.formats import Kind
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a version.

    Attributes:
        path: Its path below the version's directory, with ``/``.
        size: Bytes.
        sha256: Hexadecimal digest of its bytes.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor of a version.

    Attributes:
        name: Its name; what is not Unicode in it is spelled out.
        dtype: Storage type.
        shape: Stored shape.
        role: What it does in its layer, as in `weightaudit.Role`.
        sha256: Digest as in `weightaudit.digests`; None if it has no bytes of its own.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    role: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known about a version.

    Attributes:
        model: Name of the model in the store.
        version: Number of the version.
        parent: Number of the version that it was made from; None for the first. It may be gone.
        container: What the model is on disk.
        main: Name of its main file, prefix of a TensorFlow checkpoint, empty for a directory.
        created: Time in UTC, ISO 8601, to the second.
        author: Who made it.
        message: Why.
        tools: Versions of the programs and libraries that made it, by name.
        policy: SHA-256 of the policy that asked for the changes; None without one.
        files: Its files, by path.
        tensors: Its tensors, in the container's order.
        changes: Tensors that differ from the parent, and how.
        before: Findings in the parent, as in a report's JSON (`weightaudit.render.json.finding_json`).
        after: Findings in this version, in the same form.
    """

    model: str
    version: int
    parent: int | None
    container: Kind
    main: str
    created: str
    author: str
    message: str
    tools: Mapping[str, str]
    policy: str | None = None
    files: tuple[StoredFile, ...] = ()
    tensors: tuple[StoredTensor, ...] = ()
    changes: tuple[Change, ...] = ()
    before: tuple[Mapping[str, Any], ...] = field(default=())
    after: tuple[Mapping[str, Any], ...] = field(default=())


def stored_tensors(
    digests: Mapping[str, str | None], tensors: Iterable[TensorInfo]
) -> tuple[StoredTensor, ...]:
    """Return tensors of an open model as a record has them.

    Args:
        digests: Their digests by name, see `weightaudit.digests.tensor_digests`.
        tensors: The tensors, for instance an open `Checkpoint`.
    """
    return tuple(
        StoredTensor(
            safe_text(info.name), safe_text(info.dtype), info.shape, info.role.value, digests[info.name]
        )
        for info in tensors
    )
