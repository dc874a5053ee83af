"""WA113: a container that contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass

from weightaudit.catalog import Flaw
from weightaudit.rule import Severity
from weightaudit_rules._container import ContainerRule, container_examples


@dataclass(frozen=True)
class InconsistentContainer(ContainerRule):
    """Parts of the container contradict each other.

    Why it matters: two programs may read two different models from the same file, so what was
    audited need not be what is served.

    What is normal: sizes, counts, names and headers agree wherever they are stated twice.

    Known false positives: files that were edited by hand and still load.

    How to mend: load the model with the framework that wrote it, compare its outputs with the
    expected ones, and save it again.
    """

    code = "WA113"
    name = "inconsistent-container"
    severity = Severity.WARNING
    flaw = Flaw.INCONSISTENT
    examples = container_examples(
        Severity.WARNING,
        Flaw.INCONSISTENT,
        "The configuration gives the kernel the shape (64, 32), the file (32, 64).",
        "The archive's central directory and the header of config.json state different sizes.",
    )
