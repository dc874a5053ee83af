"""WA115: models that do more than compute with what is stored in them."""

from __future__ import annotations

from dataclasses import dataclass

from weightaudit.catalog import Flaw
from weightaudit.rule import Severity
from weightaudit_rules._container import ContainerRule, container_examples


@dataclass(frozen=True)
class OutsideReach(ContainerRule):
    """Loading or running the model reads or writes files, runs other code, or reaches the network.

    Reported are operations of a SavedModel's graph and of its functions, and layers of a Keras
    configuration: those that hold Python code or a pickled module, load another model, or read their
    vocabulary from a path.

    Why it matters: whoever loads the model lets its author do that on their machine, and what is read
    from elsewhere was not audited. Nothing of it is run by weightaudit.

    What is normal: models compute. What saves and restores a SavedModel itself, other savers that training
    left in a graph and that neither a signature nor loading runs, and tables that are filled from the
    model's own assets, are left out.

    Known false positives: models that are meant to do it, such as one that decodes the files whose
    names it is given; savers that call a further function to write; caches of a data set that lie in
    memory. Operations that TensorFlow itself does not have, and code behind a class that is registered
    under a name, are not seen.

    How to mend: take models only from someone you trust; put code into a class of your own, and what
    is read from elsewhere into the model, and save it again.
    """

    code = "WA115"
    name = "outside-reach"
    severity = Severity.NOTE
    flaw = Flaw.REACH
    examples = container_examples(
        Severity.NOTE,
        Flaw.REACH,
        "saved_model.pb has operations that, where they are run, read files (2 ReadFile), write files "
        "(1 WriteFile).",
        "The layer twice holds Python code, which runs when the model is loaded or called.",
    )
