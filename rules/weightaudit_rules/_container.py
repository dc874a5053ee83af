"""What the rules share that pass on damage of the container, seen before any number was read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from weightaudit.catalog import Defect, Flaw
from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit_rules._examples import trained_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.tensor import TensorInfo

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class ContainerRule(Rule):
    """Reports every defect of one kind; it measures nothing."""

    flaw: ClassVar[Flaw]
    relies_on_role = False

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return False

    def check_model(self, model: Measured) -> Iterator[Finding]:
        for defect in model.defects:
            if defect.flaw is self.flaw:
                # Another sentence is other damage, even of the same tensor: a baseline must not know it.
                subject = _NUMBER.sub("", defect.message)
                yield Finding(
                    self.code, self.severity, defect.tensor or None, defect.message, subject=subject
                )


def container_examples(severity: Severity, flaw: Flaw, *messages: str) -> tuple[Example, ...]:
    """Make the examples of a container rule: one bad per message, a whole file, and other damage."""
    other = Flaw.ALIAS if flaw is not Flaw.ALIAS else Flaw.CHECKSUM
    bad = [
        Example(
            title=message.rstrip("."),
            values=trained_kernel,
            severity=severity,
            defects=(Defect(flaw, message, "layer/kernel"),),
        )
        for message in messages
    ]
    return (
        Example(title="a container without damage", values=trained_kernel, severity=None),
        Example(
            title="damage of another kind, which has a rule of its own",
            values=trained_kernel,
            severity=None,
            defects=(Defect(other, "Another thing is wrong.", "layer/kernel"),),
        ),
        *bad,
    )
