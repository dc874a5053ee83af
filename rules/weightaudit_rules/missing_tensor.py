"""WA112: tensors that the model's configuration promises and the container lacks."""

from __future__ import annotations

from dataclasses import dataclass

from weightaudit.catalog import Flaw
from weightaudit.rule import Severity
from weightaudit_rules._container import ContainerRule, container_examples


@dataclass(frozen=True)
class MissingTensor(ContainerRule):
    """The configuration promises a tensor that the container does not hold.

    Why it matters: whoever loads such a file gets initial random values in its place, often
    without a word. Keras before 3.15 leaves out layers that are held in nested lists, and
    ``tf.train.Checkpoint`` those that a Keras 3 model holds in Python lists.

    What is normal: each weight that the layers of the configuration create is stored.

    Known false positives: custom layers that share the name of one of Keras' own.

    How to mend: hold the layers as attributes, or upgrade Keras, and save the model again from
    the training checkpoint.
    """

    code = "WA112"
    name = "missing-tensor"
    severity = Severity.ERROR
    flaw = Flaw.MISSING_TENSOR
    examples = container_examples(
        Severity.ERROR,
        Flaw.MISSING_TENSOR,
        "The layer dense_1 (Dense) has no bias in the file, although its configuration asks for one.",
        "The layer encoder/conv2d (Conv2D) has no kernel in the file.",
    )
