"""What a rule plugin implements: what it needs measured, which tensors it judges, what it finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from weightaudit.catalog import Defect
    from weightaudit.comparison.result import Comparison
    from weightaudit.identity.topology import Topology
    from weightaudit.projections.base import Projection
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

Value = float | int | str | bool | None
"""What a finding may carry as measured evidence; floats may be NaN or infinite."""


class Severity(IntEnum):
    """How bad a finding is; the gate fails at or above the level of ``--fail-on``."""

    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def label(self) -> str:
        """Lower-case name, as in policies and reports."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the severity of that name; ValueError if there is none."""
        try:
            return cls[text.upper()]
        except KeyError:
            raise ValueError(f"{text!r} is no severity; use note, warning or error") from None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: Code of the rule, such as ``WA101``.
        severity: How bad it is.
        tensor: Name of the tensor, or None if it is about the model.
        message: One sentence without the tensor's name: what was found, and against which bound.
        values: What was measured, by name.
        subject: What tells it from other findings of the same rule about the same tensor or model, such as
            what is damaged; never a number that was measured. Findings without one are told apart by order.
    """

    code: str
    severity: Severity
    tensor: str | None
    message: str
    values: Mapping[str, Value] = field(default_factory=dict[str, Value])
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """A whole model after measuring, for rules that compare tensors or judge the container.

    Attributes:
        tensors: Every tensor of the model, in order, also those that were not measured.
        stats: Finished statistics by tensor name; tensors without numbers are not in it.
        defects: Damage of the container itself.
        reference: The model beside the checkpoint that it is judged against, which is the first of both;
            None if there is none. Optimizer states, metrics, counters and seeds are left out.
        trace: Gives the topology; rules use `topology`.
    """

    tensors: Sequence[TensorInfo]
    stats: Mapping[str, Stats]
    defects: Sequence[Defect]
    reference: Comparison | None = None
    trace: Callable[[], Topology] | None = None

    @property
    def topology(self) -> Topology:
        """Which layer feeds which, as far as the saved configuration tells; read only where a rule asks."""
        from weightaudit.identity.topology import Topology

        return Topology() if self.trace is None else self.trace()


@dataclass(frozen=True, kw_only=True)
class Example:
    """A tensor on which a rule must find something, or must find nothing.

    It is a test, a piece of documentation and the content of ``weightaudit explain`` at once.

    Attributes:
        title: What the example shows, as a short phrase.
        values: Makes the tensor (a function, so that importing a rule computes nothing).
        severity: Severity of the worst finding expected, or None if there must be none.
        info: What differs from a float32 Dense kernel: ``role``, ``layer_class``, ``fan_in``, ...
        options: Options of the rule.
        defects: Damage of the container around the tensor.
        reference: Makes the tensor as it is in the reference; None for an audit without one.
        beside: Further tensors of the model, for rules that compare tensors; of these examples only
            values and info count, and info needs a name of its own.
        config: The model's configuration, as Keras saves it, for rules that ask for the topology.
    """

    title: str
    values: Callable[[], NDArray[Any]]
    severity: Severity | None
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    defects: tuple[Defect, ...] = ()
    reference: Callable[[], NDArray[Any]] | None = None
    beside: tuple[Example, ...] = ()
    config: Mapping[str, Any] | None = None


class Rule:
    """A rule: a frozen dataclass whose fields are its options, with their defaults.

    The first line of its docstring is its summary; the rest says why it matters, what is
    normal, and how to mend it. A rule sees neither files nor engines.

    Attributes:
        code: ``WA`` and three digits for the rules that come with weightaudit; plugins choose
            letters of their own. Never reused, never renumbered.
        name: Kebab-case name for people, such as ``nan-values``.
        severity: Severity of its findings, unless it states another for one of them.
        examples: Good and bad tensors.
        relies_on_role: Whether a wrong guess of role, layer class or fans could make a finding
            wrong. If so, an error on a tensor whose role is guessed is lowered to a warning.
        supersedes: Codes of rules that say less about the same fault. Of two findings on one tensor the
            worse is kept; this rule's, if they are equally bad.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    examples: ClassVar[tuple[Example, ...]] = ()
    relies_on_role: ClassVar[bool] = True
    supersedes: ClassVar[tuple[str, ...]] = ()

    def is_active(self) -> bool:
        """Say whether the rule has the options that it needs; rules that lack one stay silent."""
        return True

    def goes_by_kind(self) -> bool:
        """Say whether `applies` and `needs` are the same for all tensors of one kind.

        Then they are asked once per kind instead of once per tensor: of tensors that may differ in
        `name`, `key`, `layer`, `trainable`, what the model declares (its policy too) and the keys that
        `quantization` names, and in nothing else. `weightaudit.testing.check_rule` watches that they look
        at none of these.
        """
        return False

    def applies(self, info: TensorInfo) -> bool:
        """Say whether the rule judges this tensor; it is only asked about tensors with numbers."""
        return True

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        """Return the statistics that `check` and `check_model` look up for a tensor it applies to."""
        return ()

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        """Return further statistics that `check_model` looks up, by the name of the tensor.

        They are for what only the model as a whole shows, such as kernels with a normalization behind
        them, and are measured whether the rule applies to the tensor or not.

        Args:
            model: The model before it is measured: it has no statistics.
        """
        return {}

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        """Judge one tensor."""
        return iter(())

    def check_model(self, model: Measured) -> Iterator[Finding]:
        """Judge what only all tensors together, or the container, can show."""
        return iter(())

    def projection(self, info: TensorInfo) -> Projection | None:
        """Return what mends this tensor so that the rule is silent, None if no projection does."""
        return None

    def finding(
        self, info: TensorInfo | None, message: str, severity: Severity | None = None, **values: Value
    ) -> Finding:
        """Make a finding of this rule."""
        return Finding(self.code, severity or self.severity, info.name if info else None, message, values)
