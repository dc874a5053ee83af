"""A mended model becomes the next version: proven to be what was planned, or it never appears."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.versions.conftest import KINDS, Bench, places
from weightaudit import open_checkpoint
from weightaudit.digests import entry_digest, tensor_digests
from weightaudit.errors import StoreError
from weightaudit.versions.layout import RECORD
from weightaudit.versions.record import stored_tensors
from weightaudit.versions.record_json import embedded
from weightaudit.versions.verifying import verify
from weightaudit.writing import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.tensor import TensorInfo
    from weightaudit.versions.version import Version


def first_kernel(checkpoint: Checkpoint) -> TensorInfo:
    """Return a tensor to change."""
    return next(info for info in checkpoint if info.name.endswith("kernel"))


def ones(info: TensorInfo) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the stored bytes of a float32 tensor full of ones."""
    yield 0, np.ones(info.size, np.float32).view(np.uint8)


def mend(bench: Bench, original: Version, source: Path) -> Version:
    """Store a copy of a model in which one kernel is full of ones, as a repair does."""
    with open_checkpoint(source) as checkpoint:
        info = first_kernel(checkpoint)
        with bench.store.new_version(original.name, parent=original.number) as draft:
            record = draft.record(checkpoint, message="ones", author="me")
            staged = write_model(
                checkpoint,
                {info.name: lambda: ones(info)},
                draft.path,
                record=embedded(record),
                reuse=original.files(),
            )
            return draft.publish(record, staged)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mended_model_is_the_next_version(bench: Bench, sources: dict[str, Path], kind: str) -> None:
    """What `write_model` wrote is a version with parent and record, and its tensor is the new one."""
    original = bench.put(sources[kind]).version
    mended = mend(bench, original, sources[kind])
    assert (mended.number, mended.record.parent) == (2, 1)
    assert verify(mended) == ()
    assert verify(original) == ()
    assert bench.store.get(mended.name) == mended
    with open_checkpoint(mended.path) as copy, open_checkpoint(sources[kind]) as source:
        info = first_kernel(copy)
        assert np.all(copy.read(info.name) == 1)
        differ = {one.name for one in mended.record.tensors} - {
            one.name for one in set(mended.record.tensors) & set(original.record.tensors)
        }
        assert differ == {info.name}
        assert tensor_digests(source) == {one.name: one.sha256 for one in original.record.tensors}


def test_unchanged_files_are_shared_with_the_parent(bench: Bench, sources: dict[str, Path]) -> None:
    """Of a mended SavedModel, what did not change is the parent's file; the user's is never shared."""
    original = bench.put(sources["saved_model"]).version
    mended = mend(bench, original, sources["saved_model"])
    links = {
        path: (mended.directory / path).stat().st_ino == (original.directory / path).stat().st_ino
        for path in original.files()
    }
    assert links["saved_model.pb"]
    assert not links["variables/variables.data-00000-of-00001"]
    assert all(path.stat().st_nlink == 1 for path in sources["saved_model"].rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", ["keras", "saved_model"])
def test_the_record_is_in_the_model_too(bench: Bench, sources: dict[str, Path], kind: str) -> None:
    """Where the format has room for it, the model itself says which version it is."""
    import json
    import zipfile

    mended = mend(bench, bench.put(sources[kind]).version, sources[kind])
    if kind == "keras":
        inner = zipfile.ZipFile(mended.path).read(RECORD)
    else:
        inner = (mended.directory / "assets.extra" / RECORD).read_bytes()
    document = json.loads(inner)
    assert (document["version"], document["parent"], document["message"]) == (2, 1, "ones")
    assert "files" not in document


def test_a_version_can_be_mended_itself(bench: Bench, sources: dict[str, Path]) -> None:
    """A model that lies in the store, record and all, becomes a new version with a record of its own."""
    original = bench.put(sources["saved_model"]).version
    with open_checkpoint(original.path) as checkpoint:
        info = first_kernel(checkpoint)
        with bench.store.new_version(original.name) as draft:
            record = draft.record(checkpoint, message="ones", author="me")
            staged = write_model(checkpoint, {info.name: lambda: ones(info)}, draft.path)
            assert RECORD in staged.names
            mended = draft.publish(record, staged)
    assert (mended.number, mended.record.parent) == (2, 1)
    assert verify(mended) == ()
    assert verify(original) == ()


def test_an_abandoned_draft_leaves_nothing(bench: Bench, sources: dict[str, Path]) -> None:
    """A draft that is not published disappears, and its number is free."""
    bench.put(sources["keras"])
    with bench.store.new_version("healthy.keras") as draft:
        assert (draft.number, draft.parent) == (2, 1)
        (draft.path / "half").write_bytes(b"written")
    assert places(bench.root / "store" / "healthy.keras") == [".lock", "1"]
    with pytest.raises(ZeroDivisionError), bench.store.new_version("healthy.keras"):
        raise ZeroDivisionError
    assert places(bench.root / "store" / "healthy.keras") == [".lock", "1"]


def test_what_was_not_written_as_planned_is_no_version(bench: Bench, sources: dict[str, Path]) -> None:
    """A tensor, a file or a name that is not what the record promises stops the publication."""
    with open_checkpoint(sources["keras"]) as checkpoint:
        info = first_kernel(checkpoint)
        digests = tensor_digests(checkpoint)
        assert digests[info.name] == entry_digest(checkpoint.files, checkpoint.entry(info))
        planned = stored_tensors(digests, checkpoint)
        with bench.store.new_version("m") as draft:
            record = draft.record(checkpoint, message="", author="", tensors=planned)
            staged = write_model(checkpoint, {info.name: lambda: ones(info)}, draft.path)
            with pytest.raises(StoreError, match=f"{info.name} was not written as planned"):
                draft.publish(record, staged)
        with bench.store.new_version("m") as draft:
            record = draft.record(checkpoint, message="", author="")
            staged = write_model(checkpoint, {}, draft.path, name="other.keras")
            with pytest.raises(StoreError, match=r"is no Keras archive healthy.keras"):
                draft.publish(record, staged)
        with bench.store.new_version("m") as draft:
            record = draft.record(checkpoint, message="", author="")
            staged = write_model(checkpoint, {}, draft.path)
            (draft.path / "stranger").touch()
            with pytest.raises(StoreError, match="'stranger' cannot be part"):
                draft.publish(record, staged)
        with bench.store.new_version("m") as draft:
            record = replace(draft.record(checkpoint, message="", author=""), version=7)
            staged = write_model(checkpoint, {}, draft.path)
            with pytest.raises(StoreError, match="not that of m@1"):
                draft.publish(record, staged)
    assert bench.store.numbers("m") == []
