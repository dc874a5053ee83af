"""The contract kit refuses rules that break the contract; a kit that accepts everything proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from weightaudit.catalog import Defect, Flaw
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import AxisNorm, Moments, NonFinite, Peak, Statistic, Stats
from weightaudit.tensor import Role, TensorInfo
from weightaudit.testing import check_rule, findings_of, measure, rule_problems, tensor_info
from weightaudit_rules.nan_values import NanValues

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Loud(Rule):
    """Reports magnitudes above a limit.

    Attributes:
        limit: The limit.
    """

    limit: float = 1.0

    code = "XY101"
    name = "loud"
    severity = Severity.WARNING
    examples: ClassVar[tuple[Example, ...]] = (
        Example(title="zeros", values=lambda: np.zeros(4), severity=None),
        Example(title="halves", values=lambda: np.full(4, 0.5), severity=None),
        Example(title="twos", values=lambda: np.full(4, 2.0), severity=Severity.WARNING),
        Example(title="minus two", values=lambda: np.full(4, -2.0), severity=Severity.WARNING),
    )

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (Peak(),)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        if stats[Peak()] > self.limit:
            yield self.finding(info, f"The largest magnitude is {stats[Peak()]:g}.", peak=stats[Peak()])


@dataclass(frozen=True)
class Undeclared(Loud):
    """Looks up what it does not need.

    Attributes:
        limit: The limit.
    """

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        if stats[Moments()].rms > self.limit:
            yield self.finding(info, "Loud.")


@dataclass(frozen=True)
class Deaf(Loud):
    """Finds nothing.

    Attributes:
        limit: The limit.
    """

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        return iter(())


@dataclass(frozen=True)
class NumpyValues(Loud):
    """Puts numpy's numbers into findings.

    Attributes:
        limit: The limit.
    """

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        if stats[Peak()] > self.limit:
            peak: Any = np.float32(stats[Peak()])
            yield self.finding(info, "Loud.", peak=peak)


@dataclass(frozen=True)
class Careless(Loud):
    """Its message is no sentence, and its option a secret."""

    secret: int = 0
    examples: ClassVar[tuple[Example, ...]] = Loud.examples[:3]

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        if stats[Peak()] > self.limit:
            yield self.finding(info, "loud")


@dataclass(frozen=True)
class Misnamed(Loud):
    """Has a name that no policy can state."""

    name = "Not Kebab"


@dataclass(frozen=True)
class Curious(Loud):
    """Says that it goes by kind, and looks at names, though none of its examples has one that counts.

    Attributes:
        limit: The limit.
    """

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return info.is_floating and not info.name.startswith("head/")


@dataclass(frozen=True)
class Obedient(Curious):
    """Measures less of what the model constrains.

    Attributes:
        limit: The limit.
    """

    def applies(self, info: TensorInfo) -> bool:
        return True

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (Peak(),) if info.constraint is None else (Peak(), Moments())


@dataclass(frozen=True)
class Political(Curious):
    """Judges layers of one dtype policy only.

    Attributes:
        limit: The limit.
    """

    def applies(self, info: TensorInfo) -> bool:
        return not info.policy.startswith("mixed_")


@dataclass(frozen=True)
class Kindly(Curious):
    """Goes by kind as it says, and looks at everything else.

    Attributes:
        limit: The limit.
    """

    def applies(self, info: TensorInfo) -> bool:
        facts = (info.role, info.evidence, info.layer_class, info.shape, info.dtype, info.fan_in, info.gates)
        return info.is_floating and not info.is_bookkeeping and info.size > 0 and bool(facts)


def test_a_good_rule_passes() -> None:
    """A rule that keeps the contract has no problems."""
    check_rule(Loud)
    check_rule(Kindly)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (Undeclared, "needs() does not declare"),
        (Deaf, "'twos' gives nothing, not warning"),
        (NumpyValues, "values that a report cannot hold"),
        (Misnamed, "needs a name in kebab-case"),
        (Careless, "fewer than two bad examples"),
        (Careless, "its option secret is not in the docstring"),
        (Careless, "not one sentence"),
        (Curious, "goes_by_kind() is True, but example 'zeros' shows that it looks at name"),
        (Obedient, "goes_by_kind() is True, but example 'twos' shows that it looks at constraint"),
        (Political, "goes_by_kind() is True, but example 'zeros' shows that it looks at policy"),
    ],
)
def test_a_bad_rule_is_refused(rule: type[Rule], problem: str) -> None:
    """Each breach is named in a sentence of its own."""
    assert any(problem in found for found in rule_problems(rule))
    with pytest.raises(AssertionError, match=rule.__name__):
        check_rule(rule)


def test_an_inactive_rule_finds_nothing() -> None:
    """A rule that lacks its options is not run, as in an audit."""

    @dataclass(frozen=True)
    class Asleep(Loud):
        def is_active(self) -> bool:
            return False

    assert findings_of(Asleep(), Loud.examples[2]) == []


def test_measure_equals_numpy() -> None:
    """An array is measured through real blocks, whatever their size."""
    values = np.random.default_rng(1).normal(size=(300, 70)).astype(np.float32)
    for size in (1, 999, 1 << 16):
        stats = measure(values, [NonFinite(), AxisNorm((0,))], size=size)
        assert stats[NonFinite()].total == 0
        np.testing.assert_allclose(stats[AxisNorm((0,))], np.linalg.norm(values.astype(np.float64), axis=0))


def test_tensor_info_describes_a_dense_kernel() -> None:
    """Examples state only what differs; fans are those of the shape, and none for other roles."""
    kernel = tensor_info(np.zeros((3, 3, 8, 32), np.float16))
    assert (kernel.dtype, kernel.role, kernel.fan_in, kernel.output_axes) == (
        "float16",
        Role.KERNEL,
        72,
        (3,),
    )
    bias = tensor_info(np.zeros(32), role="bias")
    assert (bias.dtype, bias.role, bias.fan_in, bias.output_axes) == ("float64", Role.BIAS, None, ())


def test_examples_can_hold_damage_of_the_container() -> None:
    """Damage of the container that an example has reaches check_model."""
    example = Example(
        title="damage",
        values=lambda: np.zeros(2),
        severity=None,
        defects=(Defect(Flaw.CHECKSUM, "The checksum differs.", "a"),),
    )
    assert findings_of(NanValues(), example) == []
    from weightaudit_rules.checksum_mismatch import ChecksumMismatch

    assert findings_of(ChecksumMismatch(), example) == [
        Finding("WA110", Severity.ERROR, "a", "The checksum differs.", subject="The checksum differs.")
    ]
