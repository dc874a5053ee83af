"""Writes a copy of a model in which some tensors have other bytes, and nothing else is different."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.formats import Kind
from weightaudit.writing.bundle import refuse_version_1, write_bundle
from weightaudit.writing.edits import Edit, Place, places_of
from weightaudit.writing.files import ModelFiles, model_files
from weightaudit.writing.hdf5 import write_hdf5
from weightaudit.writing.keras_archive import write_archive
from weightaudit.writing.naming import names_in_copy, write_index
from weightaudit.writing.output import Output
from weightaudit.writing.saved_model import write_saved_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from weightaudit.checkpoint import Checkpoint

__all__ = ["Edit", "ModelFiles", "model_files", "write_model"]


def write_model(
    checkpoint: Checkpoint,
    edits: Mapping[str, Edit],
    into: Path,
    *,
    name: str | None = None,
    record: bytes | None = None,
    reuse: Mapping[str, Path] | None = None,
) -> ModelFiles:
    """Write a complete copy of an open model, with other bytes for some of its tensors.

    Checksums and what else depends on those bytes are renewed; all else stays byte for byte as it
    is. Files are made exclusively and only in the given directory, from the open descriptors of the
    model. Nothing is synced: that is for whoever publishes the copy.

    Args:
        checkpoint: The model.
        edits: The new bytes of the tensors that change, by name.
        into: An existing, empty directory. A model that is a directory becomes its content.
        name: The main name of the copy: of its file, the prefix of a checkpoint, or the index
            of Keras weight shards. By default that of the model; for a directory it means nothing.
        record: What is embedded where the format has room for it: a member of a ``.keras`` archive,
            a file in ``assets.extra`` of a SavedModel. An earlier one is replaced, a file of the user's
            own that has its name is not; None leaves both.
        reuse: Files known to have the same bytes as a file of the model, by its name below the
            root. A file that does not change becomes a hard link to them where that is possible,
            unless they are the model's own files.

    Returns:
        The files of the copy. After an error, what was begun is left in the directory.

    Raises:
        UsageError: There is no tensor of some name.
        ReadError: The model is damaged, or changed meanwhile.
        WriteError: The copy cannot be written, or a tensor cannot be changed.
    """
    source = model_files(checkpoint)
    places = places_of(checkpoint, edits)
    output = Output(checkpoint.files, into, names_in_copy(source, name), reuse or {})
    for folder in source.folders:
        output.folder(folder)
    _write_changed(output, source, places, record)
    output.finish()
    main = source.main if name is None or source.is_directory else name
    return ModelFiles(source.kind, into, main, output.made, output.folders)


def _write_changed(output: Output, source: ModelFiles, places: Sequence[Place], record: bytes | None) -> None:
    """Write the files that are not the same in the copy."""
    if source.kind is Kind.KERAS_ARCHIVE:
        if places or record is not None:
            write_archive(output, source.main, places, record)
    elif source.kind is Kind.SAVED_MODEL:
        write_saved_model(output, places, record)
    elif source.kind is Kind.BUNDLE:
        write_bundle(output, source.main, places)
    elif source.kind is Kind.TABLE:
        refuse_version_1(source.main, places)
    else:
        write_hdf5(output, places)
        if source.kind is Kind.SHARD_INDEX:
            write_index(output, source.main)
