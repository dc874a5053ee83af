"""WA110: bytes that do not match the checksum stored with them."""

from __future__ import annotations

from dataclasses import dataclass

from weightaudit.catalog import Flaw
from weightaudit.rule import Severity
from weightaudit_rules._container import ContainerRule, container_examples


@dataclass(frozen=True)
class ChecksumMismatch(ContainerRule):
    """A checksum in the container does not match the bytes.

    Why it matters: the bytes are not the ones that were saved. One flipped bit in an exponent
    turns 0.01 into 1e36, and no other check sees a flip in a mantissa.

    What is normal: no mismatch, ever. ``.keras`` archives hold a CRC-32 for each member,
    TensorFlow checkpoints a CRC-32C for each tensor; HDF5 files hold none.

    Known false positives: a file that was patched by a tool which did not renew the checksums.

    How to mend: fetch or copy the file again; if the source has the same bytes, save it again.
    """

    code = "WA110"
    name = "checksum-mismatch"
    severity = Severity.ERROR
    flaw = Flaw.CHECKSUM
    examples = container_examples(
        Severity.ERROR,
        Flaw.CHECKSUM,
        "The member model.weights.h5 has another CRC-32 than the archive states.",
        "The bytes in variables.data-00000-of-00001 have another CRC-32C than the index states.",
    )
