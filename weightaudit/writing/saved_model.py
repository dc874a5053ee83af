"""SavedModels: a checkpoint that changes, the fingerprint that follows it, and a record beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import Message, signed
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.writing.bundle import refuse_version_1, write_bundle
from weightaudit.writing.embedding import NAME, is_record
from weightaudit.writing.farmhash import fingerprint64
from weightaudit.writing.messages import VARINT, with_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.writing.edits import Place
    from weightaudit.writing.output import Output

PREFIX = "variables/variables"
FINGERPRINT = "fingerprint.pb"
RECORD = f"assets.extra/{NAME}"
"""Where a SavedModel has room for what others add, which TensorFlow does not read."""

_HASH = 5 << 3 | VARINT
"""FingerprintDef.checkpoint_hash, FarmHash's fingerprint of the index."""

_LONGEST_FINGERPRINT = 1 << 16


def write_saved_model(output: Output, places: Sequence[Place], record: bytes | None) -> None:
    """Write the files of a SavedModel that change.

    The fingerprint's hash of the checkpoint is renewed if it was right. Its UUID, which says from
    which export a model comes, stays, as do the hashes of the graph.

    Args:
        output: Where the copy is made.
        places: What changes.
        record: Content of the file `RECORD`; None leaves that as it is. One of that name that is none of
            our records is left, too: it is the user's.

    Raises:
        ReadError: The model is damaged, or changed meanwhile.
        WriteError: A file cannot be written.
    """
    if output.has(f"{PREFIX}.index"):
        index = write_bundle(output, PREFIX, places)
        if index is not None and output.has(FINGERPRINT):
            _write_fingerprint(output, index)
    else:
        refuse_version_1(PREFIX, places)
    if record is not None and not _is_taken(output):
        output.folder(RECORD.rpartition("/")[0])
        with output.create(RECORD) as destination:
            destination.write(0, record)


def _is_taken(output: Output) -> bool:
    if not output.has(RECORD):
        return False
    with output.files.borrow(RECORD) as source:
        return not is_record(source.read(0, min(source.size, DEFAULT_LIMITS.max_metadata)))


def _write_fingerprint(output: Output, index: bytes) -> None:
    with output.files.borrow(FINGERPRINT) as source:
        held = source.read(0, min(source.size, _LONGEST_FINGERPRINT))
    with output.files.borrow(f"{PREFIX}.index") as source:
        before = fingerprint64(source.read(0, source.size))
    try:
        if Message(held, FINGERPRINT).integer(_HASH >> 3) != signed(before):
            return
    except ReadError:
        return  # what is no fingerprint, TensorFlow ignores as well
    with output.create(FINGERPRINT) as destination:
        destination.write(0, with_field(held, _HASH, fingerprint64(index), FINGERPRINT))
