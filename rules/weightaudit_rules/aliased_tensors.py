"""WA114: tensors that share bytes."""

from __future__ import annotations

from dataclasses import dataclass

from weightaudit.catalog import Flaw
from weightaudit.rule import Severity
from weightaudit_rules._container import ContainerRule, container_examples


@dataclass(frozen=True)
class AliasedTensors(ContainerRule):
    """Two tensors of the container share bytes.

    Why it matters: no Keras or TensorFlow version writes overlapping tensors, so an offset is
    wrong or the file was crafted; and a repair of one of them would change the other.

    What is normal: the byte ranges of any two tensors are disjoint. Tied weights are stored
    once under one name, or twice as two copies.

    Known false positives: files made by tools that store equal tensors once.

    How to mend: save the model again with the framework.
    """

    code = "WA114"
    name = "aliased-tensors"
    severity = Severity.WARNING
    flaw = Flaw.ALIAS
    examples = container_examples(
        Severity.WARNING,
        Flaw.ALIAS,
        "Its bytes are those of layer_1/kernel too.",
        "Its last 128 bytes are the first of layer_1/bias.",
    )
