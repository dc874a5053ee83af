"""What an audit says: findings, what was covered, what could not be, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING

from weightaudit.rule import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.catalog import Defect
    from weightaudit.comparison.result import Comparison
    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo


class ExitCode(IntEnum):
    """What a CI job may rely on."""

    PASSED = 0
    """Every tensor was audited, and nothing is at or above the level that fails."""
    FINDINGS = 1
    """Findings at or above that level, and only ever findings."""
    USAGE = 2
    """The command line or the policy is wrong."""
    INCOMPLETE = 3
    """The audit could not be completed: unreadable, skipped, or nothing to audit."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A tensor that could not be read or judged, and why."""

    tensor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that does not count, because someone decided so.

    Attributes:
        finding: The finding.
        reason: Why it does not count.
        source: Where that was decided: the policy's file and entry, or the baseline's file.
    """

    finding: Finding
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that a search met and did not take for a model.

    Attributes:
        path: Its name in reports, as of a model.
        reason: What it is instead: a phrase, such as ``a TensorFlow Lite model``.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reference:
    """The checkpoint that models were judged against.

    Attributes:
        path: Its path as the user knows it, or the address of a version.
        container: Kind of container.
        digest: SHA-256 of its file, in hexadecimal, where the record of a version tells it; else None.
    """

    path: str
    container: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the model was measured.

    Attributes:
        audited: Tensors that were measured whole.
        tensors: Tensors with numbers in the model.
        opaque: Tensors without numbers (strings, resources), which nobody can measure.
        nbytes: Bytes of the tensors that were measured.
    """

    audited: int
    tensors: int
    opaque: int
    nbytes: int


@dataclass(frozen=True)
class ModelReport:
    """The audit of one model. What it says of single tensors is left out of its `repr`.

    Attributes:
        path: Path as the user knows it, never absolute.
        container: Kind of container, such as ``Keras archive``; empty if it could not be opened.
        findings: Those that count, sorted: worst first, then by code and tensor.
        skipped: Tensors that could not be read or judged.
        failure: Why the model could not be audited at all; None if it could.
        notes: Remarks that are no findings.
        tensors: Every tensor of the model.
        stats: Statistics by tensor name.
        defects: Damage of the container, whichever rules were there to judge it.
        comparison: The model beside the reference; None if there is none.
        suppressed: Findings that do not count, in the same order.
    """

    path: str
    container: str = ""
    findings: Sequence[Finding] = ()
    skipped: Sequence[Skipped] = ()
    failure: str | None = None
    notes: Sequence[str] = ()
    coverage: Coverage = Coverage(0, 0, 0, 0)
    tensors: Sequence[TensorInfo] = field(default=(), repr=False)
    stats: dict[str, Stats] = field(default_factory=dict[str, "Stats"], repr=False)
    defects: Sequence[Defect] = field(default=(), repr=False)
    comparison: Comparison | None = field(default=None, repr=False)
    suppressed: Sequence[Suppressed] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every tensor was audited, and there was at least one."""
        return self.failure is None and not self.skipped and self.coverage.tensors > 0

    @cached_property
    def worst(self) -> Severity | None:
        """Severity of the worst finding, None without findings."""
        return max((finding.severity for finding in self.findings), default=None)


@dataclass(frozen=True)
class Report:
    """The audit of one or more models.

    Attributes:
        models: One report per model, in the order in which they were found.
        fail_on: Findings of this severity or worse fail the gate; None: findings never do.
        left_out: Files that a search of directories and globs met and did not take for models.
        reference: What the models were judged against; None for nothing.
        policy: File of the policy; empty for the default policy.
        policy_findings: What is wrong with the policy or the baseline itself, such as a suppression that
            expired; they count like those of a model.
    """

    models: Sequence[ModelReport]
    fail_on: Severity | None = Severity.ERROR
    left_out: Sequence[LeftOut] = ()
    reference: Reference | None = None
    policy: str = ""
    policy_findings: Sequence[Finding] = ()

    @property
    def findings(self) -> list[Finding]:
        """All findings that count: of all models, and then of the policy."""
        return [
            *(finding for model in self.models for finding in model.findings),
            *self.policy_findings,
        ]

    @property
    def exit_code(self) -> ExitCode:
        """The verdict. An audit that is not complete is never reported as mere findings."""
        if not self.models or not all(model.is_complete for model in self.models):
            return ExitCode.INCOMPLETE
        worst = max((finding.severity for finding in self.findings), default=0)
        if self.fail_on is not None and worst >= self.fail_on:
            return ExitCode.FINDINGS
        return ExitCode.PASSED

    @property
    def ok(self) -> bool:
        """Whether the gate is open."""
        return self.exit_code is ExitCode.PASSED

    def assert_ok(self) -> None:
        """Let a test pass if the gate is open.

        Raises:
            AssertionError: It is not; the message is the report as text, without what does not decide.
        """
        __tracebackhide__ = True  # pytest then points at the line of the test
        if self.ok:
            return
        from weightaudit.render.text import render_text

        raise AssertionError(render_text(self, quiet=True).rstrip())
