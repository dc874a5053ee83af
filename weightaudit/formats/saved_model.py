"""SavedModel directories: a checkpoint below ``variables/``, and what saved_model.pb says about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from weightaudit.catalog import Catalog, Defect, Flaw, Json, Layout
from weightaudit.errors import UnsupportedFormatError
from weightaudit.formats.checkpoint_v1 import catalog_checkpoint_v1
from weightaudit.formats.graph_constants import read_constants
from weightaudit.formats.graph_operations import Operations
from weightaudit.formats.keras_metadata import from_objects, read_keras_metadata
from weightaudit.formats.meta_graph import MetaGraph, read_meta_graphs
from weightaudit.formats.object_graph import OBJECT_GRAPH_KEY, walk_children
from weightaudit.formats.repeated_constants import merge_repeated
from weightaudit.formats.tensor_bundle import catalog_tensor_bundle
from weightaudit.limits import Limits
from weightaudit.source import Files

CONTAINER = "SavedModel"

_MODEL = "saved_model.pb"
_KERAS = "keras_metadata.pb"
_PREFIX = "variables/variables"
_NOTHING = "The model has no variables, and its graph no constants of a size that weights have."
_V1_SHARD = re.compile(r"variables(-\d{5}-of-\d{5})?")


def catalog_saved_model(files: Files, limits: Limits) -> Catalog:
    """List the variables of a SavedModel, and the constants of its graph.

    Args:
        files: Its root is the SavedModel's directory.
        limits: Bounds on what is read.

    Returns:
        The catalog of its checkpoint, with the documents ``saved_model`` (``tensorflow_version``,
        ``tags``, declared ``variables`` and, of TensorFlow 1, by key which are ``trained``) and, for Keras
        2, ``keras_metadata``. Behind the variables stand the distinct constants (`read_constants`). A model
        with neither has no entries and a note. A variable that loading the model would need and that the
        checkpoint lacks is a defect, and so are operations that reach beyond the model (`graph_operations`).

    Raises:
        ReadError: saved_model.pb or the checkpoint's index is missing or damaged.
        UnsupportedFormatError: The model is stored as text, or in pieces.
    """
    _refuse_other_forms(files)
    number = files.open(_MODEL)
    source = files[number]
    graphs = read_meta_graphs(source, limits)
    objects = next((graph.objects for graph in graphs if graph.objects), ())
    documents: dict[str, Json] = {"saved_model": _summary(graphs)}
    keras = (
        read_keras_metadata(files[files.open(_KERAS)], limits)
        if files.exists(_KERAS)
        else from_objects(objects, source.label, limits)
    )
    if keras:
        documents["keras_metadata"] = keras
    catalog = _checkpoint(files, graphs, limits)
    operations = Operations([(graph.graph, graph.savers) for graph in graphs])
    every = read_constants(source, number, [graph.graph for graph in graphs], limits, operations)
    constants, repeated = merge_repeated(every, source)
    is_empty = not (catalog.entries or constants or catalog.defects)
    return replace(
        catalog,
        container=CONTAINER,
        entries=(*catalog.entries, *constants),
        notes=(*catalog.notes, *repeated, *((_NOTHING,) if is_empty else ())),
        documents={**catalog.documents, **documents},
        defects=(*catalog.defects, *_missing(graphs, catalog), *operations.defects(source.label)),
    )


def _refuse_other_forms(files: Files) -> None:
    if files.exists(_MODEL):
        return
    for name, form in (("saved_model.pbtxt", "as text"), ("saved_model.cpb", "in pieces")):
        if files.exists(name):
            raise UnsupportedFormatError(
                f"{name} holds the model {form}, which is not read; save it again with tf.saved_model.save."
            )


def _summary(graphs: Sequence[MetaGraph]) -> Json:
    return {
        "tensorflow_version": next((graph.version for graph in graphs if graph.version), ""),
        "tags": list(dict.fromkeys(tag for graph in graphs for tag in graph.tags)),
        "variables": [variable for graph in graphs for variable in graph.variables],
        "trained": {key: trained for graph in graphs for key, trained in graph.trained.items()},
    }


def _checkpoint(files: Files, graphs: Sequence[MetaGraph], limits: Limits) -> Catalog:
    """Return the catalog of the checkpoint below ``variables/``, or an empty one that says why."""
    if files.exists(f"{_PREFIX}.index"):
        return catalog_tensor_bundle(files, _PREFIX, limits)
    # SavedModels of 2016 have the table files of a version 1 checkpoint.
    names = files.listing("variables")
    shards = [f"variables/{name}" for name in names if _V1_SHARD.fullmatch(name)]
    if shards:
        return catalog_checkpoint_v1(files, shards, limits)
    wanted = sum(len(graph.restored) or sum(1 for _ in _variables(graph)) for graph in graphs)
    if not wanted:
        return Catalog(CONTAINER, Layout.TENSORFLOW, ())
    message = f"{_PREFIX}.index is missing, so none of the model's {wanted} variables can be read."
    return Catalog(CONTAINER, Layout.TENSORFLOW, (), defects=(Defect(Flaw.MISSING_DATA, message),))


def _missing(graphs: Sequence[MetaGraph], catalog: Catalog) -> Iterator[Defect]:
    """Yield a defect for each variable that loading would need and that the checkpoint does not list."""
    if not catalog.entries:
        return
    keys = {entry.key for entry in catalog.entries} | {OBJECT_GRAPH_KEY}
    for key in sorted(set[str]().union(*(graph.restored for graph in graphs)) - keys):
        message = f"{_PREFIX}.index has no entry {key}, which the model restores when it is loaded."
        yield Defect(Flaw.MISSING_TENSOR, message, key)
    stored = catalog.graph
    held = {variable.node for variable in stored.variables} | stored.others if stored else set[int]()
    for graph in graphs if stored and stored.size else ():
        for number, name in _variables(graph):
            if number not in held:
                message = f"{_PREFIX}.index has no value for the variable {name}, which {_MODEL} declares."
                yield Defect(Flaw.MISSING_TENSOR, message, name)


def _variables(graph: MetaGraph) -> Iterator[tuple[int, str]]:
    """Yield number and name of the variables that the root of a TensorFlow 2 model reaches."""
    for number, path in walk_children([item.children for item in graph.objects]):
        item = graph.objects[number]
        if item.variable and not item.saves_itself:
            yield number, item.variable["name"] or path
