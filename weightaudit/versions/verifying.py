"""Reads a version again, and says what is not as its record says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from weightaudit.checkpoint import open_checkpoint
from weightaudit.digests import tensor_digests
from weightaudit.errors import StoreError, WeightauditError
from weightaudit.render.plain import safe_text
from weightaudit.versions.contents import contents
from weightaudit.versions.layout import RECORD
from weightaudit.versions.record import StoredTensor, stored_tensors
from weightaudit.versions.version import is_file_intact, refuse_links

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.versions.store import Store
    from weightaudit.versions.version import Version


class Damage(NamedTuple):
    """One thing in a version that is not as its record says.

    Attributes:
        what: ``file``, ``tensor``, ``record``, ``signature``, or ``model`` where it cannot be opened
            any more.
        name: Path of the file, record or signature, or name of the tensor; empty for the model.
        how: What is wrong with it: a phrase, such as ``is missing``.
    """

    what: str
    name: str
    how: str

    def __str__(self) -> str:
        return " ".join(part for part in self if part)


def verify(version: Version) -> tuple[Damage, ...]:
    """Read every byte of a version again, and compare files and tensors with its record.

    Returns:
        What is damaged: files first, then tensors, each sorted by name; nothing if it is intact.

    Who can write to the store can change both alike; `weightaudit.versions.signing` helps against that.
    """
    return (*_files(version), *_tensors(version))


def verify_number(store: Store, name: str, number: int) -> tuple[Damage, ...]:
    """Do the same for a version whose record may be damaged, too."""
    try:
        return verify(store.get(name, number))
    except StoreError as error:
        return (Damage("record", RECORD, f"cannot be used: {_phrase(error)}"),)


def _files(version: Version) -> Iterator[Damage]:
    found = contents(version.directory).files
    stored = {one.path: one for one in version.record.files}
    for path in sorted(stored.keys() | found.keys() - {RECORD}):
        if path not in found:
            yield Damage("file", path, "is missing")
        elif path not in stored:
            yield Damage("file", path, "is not in the record")
        elif not found[path]:
            yield Damage("file", path, "is no regular file")
        elif not is_file_intact(version.directory, stored[path]):
            yield Damage("file", path, "differs")


def _tensors(version: Version) -> Iterator[Damage]:
    try:
        refuse_links(version)
        with open_checkpoint(version.path) as model:
            found = dict(_read(model))
    except WeightauditError as error:
        yield Damage("model", "", f"cannot be opened: {_phrase(error)}")
        return
    stored = {one.name: one for one in version.record.tensors}
    for name in sorted(stored.keys() | found.keys()):
        tensor = found.get(name)
        if tensor is None:
            yield Damage("tensor", name, "is missing")
        elif name not in stored:
            yield Damage("tensor", name, "is not in the record")
        elif isinstance(tensor, WeightauditError):
            yield Damage("tensor", name, f"cannot be read: {_phrase(tensor)}")
        elif _content(tensor) != _content(stored[name]):
            yield Damage("tensor", name, "differs")


def _read(model: Checkpoint) -> Iterator[tuple[str, StoredTensor | WeightauditError]]:
    """Yield every tensor by name, or why it cannot be read."""
    try:
        digests = tensor_digests(model)
    except WeightauditError:
        # One of them: only now it pays to learn which.
        for info in model:
            try:
                yield from ((one.name, one) for one in stored_tensors(tensor_digests(model, [info]), [info]))
            except WeightauditError as error:
                yield safe_text(info.name), error
    else:
        yield from ((one.name, one) for one in stored_tensors(digests, model))


def _phrase(error: WeightauditError) -> str:
    return str(error).removesuffix(".")


def _content(tensor: StoredTensor) -> tuple[object, ...]:
    """Return what makes a tensor; its role is only what this weightaudit takes it for."""
    return tensor.dtype, tensor.shape, tensor.sha256
