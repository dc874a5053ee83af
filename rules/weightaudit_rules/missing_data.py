"""WA111: tensors that the container lists and whose bytes are not there."""

from __future__ import annotations

from dataclasses import dataclass

from weightaudit.catalog import Flaw
from weightaudit.rule import Severity
from weightaudit_rules._container import ContainerRule, container_examples


@dataclass(frozen=True)
class MissingData(ContainerRule):
    """The container lists a tensor whose bytes are not there.

    Why it matters: a shard that was not copied, or a download that stopped early. Some loaders
    then fill in zeros or leave the initial random values, and say nothing.

    What is normal: every byte that the index or the header promises is in the files.

    Known false positives: none; the bytes cannot be read.

    How to mend: copy all files of the model, or save it again with enough space on the disk.
    """

    code = "WA111"
    name = "missing-data"
    severity = Severity.ERROR
    flaw = Flaw.MISSING_DATA
    examples = container_examples(
        Severity.ERROR,
        Flaw.MISSING_DATA,
        "The shard model.ckpt.data-00001-of-00002 is missing.",
        "The shard variables.data-00000-of-00001 ends 4096 bytes before this tensor does.",
    )
