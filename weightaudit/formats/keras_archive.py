"""The ``.keras`` archive: a zip of the configuration and an HDF5 file with the weights."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Catalog, Checksum, Extent, Region
from weightaudit.errors import UnsupportedFormatError
from weightaudit.formats.documents import parse_json, read_json
from weightaudit.formats.hdf5 import Hdf5Data, catalog_hdf5
from weightaudit.formats.zip_archive import STORED, list_members, read_member, spool_member

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from weightaudit.limits import Limits
    from weightaudit.source import Files

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
METADATA = "metadata.json"
CONTAINER = "Keras archive"


def catalog_keras_archive(files: Files, name: str, limits: Limits) -> Catalog:
    """Catalog a ``.keras`` archive; its weights are read in place where they are stored unpacked.

    Raises:
        ReadError: The archive or the weights in it are damaged or refused.
        UnsupportedFormatError: It is a zip archive of something else, or its weights are in NumPy form.
    """
    number = files.open(name)
    file = files[number]
    members = list_members(file)
    if WEIGHTS not in members:
        raise UnsupportedFormatError(_without_weights(name, members))
    documents: dict[str, Any] = {}
    for document in (CONFIG, METADATA):
        if document in members:
            text = read_member(file, members[document], limits)
            documents[document] = parse_json(text, f"{name}: {document}", limits)
    weights = members[WEIGHTS]
    regions: tuple[Region, ...] = ()
    if weights.method == STORED:
        data = Hdf5Data(file, number, weights.offset, weights.size)
        extent = Extent(number, weights.offset, weights.size)
        regions = (Region(f"{name}: {WEIGHTS}", extent, Checksum("crc32", weights.crc)),)
    else:
        spooled = spool_member(file, weights, limits)
        data = Hdf5Data.whole(spooled, files.adopt(spooled))
    catalog = catalog_hdf5(data, limits, documents.get(CONFIG))
    return _with_documents(catalog, documents, regions)


def catalog_keras_directory(files: Files, limits: Limits) -> Catalog:
    """Catalog an unpacked ``.keras`` archive, as ``model.save(path, zipped=False)`` writes it.

    Raises:
        ReadError: A file is missing, damaged or refused.
        UnsupportedFormatError: The weights file is no Keras weights file, or is in NumPy form.
    """
    if not files.exists(WEIGHTS, even_dangling=True):
        raise UnsupportedFormatError(_without_weights(files.root.name, files.listing()))
    documents: dict[str, Any] = {}
    for document in (CONFIG, METADATA):
        if files.exists(document):
            documents[document] = read_json(files[files.open(document)], document, limits)
    number = files.open(WEIGHTS)
    catalog = catalog_hdf5(Hdf5Data.whole(files[number], number), limits, documents.get(CONFIG))
    return _with_documents(catalog, documents, ())


def _with_documents(catalog: Catalog, documents: Mapping[str, Any], regions: tuple[Region, ...]) -> Catalog:
    more = {"config": documents.get(CONFIG), "metadata": documents.get(METADATA)}
    merged = {**catalog.documents, **{key: value for key, value in more.items() if value is not None}}
    return dataclasses.replace(catalog, container=CONTAINER, regions=regions, documents=merged)


def _without_weights(name: str, members: Collection[str]) -> str:
    if "model.weights.npz" in members:
        return (
            f"{name} keeps its weights in NumPy form (model.weights.npz); save it again with h5py installed."
        )
    if CONFIG in members:
        return f"{name} has a configuration and no {WEIGHTS}: it is not a whole Keras archive."
    return f"{name} is a zip archive, but not of a Keras model."
