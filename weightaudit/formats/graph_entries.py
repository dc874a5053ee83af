"""Where a TensorFlow 1 graph is entered: the nodes that its signatures fetch, and that loading it runs.

Source of the format: SignatureDef, TensorInfo and CollectionDef of tensorflow/core/protobuf/meta_graph.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.formats.graph_collections import named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from weightaudit.formats.graph_nodes import Ahead, Field
    from weightaudit.formats.protobuf import Message
    from weightaudit.limits import Limits

_OPERATIONS = frozenset({"saved_model_main_op", "legacy_init_op", "saved_model_train_op"})


def read_entries(
    source: Ahead, signatures: Sequence[Field], collections: Sequence[Field], limits: Limits
) -> Iterator[str]:
    """Yield names of nodes, some of them more than once.

    Args:
        source: The file saved_model.pb.
        signatures: Where the signatures of the graph lie in it; they may also name what is run at loading.
        collections: Where its collections lie, which name it in older files.
        limits: Bounds on what is read.

    Raises:
        ReadError: One of them is damaged, or larger than ``--max-metadata``.
    """
    for field in signatures:
        signature = source.message(field, limits.max_metadata).message(2)
        for output in signature.messages(2) if signature else ():
            yield from (name.partition(":")[0] for name in _tensors(output.message(2)))
    for collection in named(source, collections, _OPERATIONS, limits).values():
        nodes = collection.message(1)
        yield from (name.partition(":")[0] for name in nodes.texts(1)) if nodes else ()


def _tensors(info: Message | None) -> Iterator[str]:
    """Yield the tensors that a TensorInfo names: one, the three of a sparse one, or those of a composite."""
    queue = [info] if info else []
    for one in queue:
        yield one.text(1)
        if sparse := one.message(4):
            yield from (sparse.text(field) for field in (1, 2, 3))
        if composite := one.message(5):
            queue += composite.messages(2)
