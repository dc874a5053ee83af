"""Where the time of an audit went: opening, reading, each statistic, each rule."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar, cast

from weightaudit.upkeep import UpkeepRule

if TYPE_CHECKING:
    from weightaudit.registry import RuleSet
    from weightaudit.rule import Finding, Measured, Rule
    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo

_Entered = TypeVar("_Entered")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one kind of work took.

    Attributes:
        stage: ``audit`` for parts that follow each other, ``reading``, ``statistics`` or ``rules``
            for what went on inside them.
        name: What was done.
        seconds: Time that passed, summed over the threads that did it.
        calls: How often.
    """

    stage: str
    name: str
    seconds: float
    calls: int


class Profile:
    """A clock for the parts of an audit; threads may use it at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._costs: dict[tuple[str, str], tuple[float, int]] = {}

    def add(self, stage: str, name: str, seconds: float, calls: int = 1) -> None:
        """Charge some time to a kind of work."""
        with self._lock:
            before, times = self._costs.get((stage, name), (0.0, 0))
            self._costs[stage, name] = (before + seconds, times + calls)

    @contextmanager
    def clock(self, stage: str, name: str) -> Generator[None]:
        """Charge the time that a block takes, also if it fails."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.add(stage, name, perf_counter() - begin)

    def costs(self, stage: str) -> tuple[Cost, ...]:
        """Return what the kinds of work of a stage took: of an audit in its order, else the largest first."""
        with self._lock:
            found = [Cost(at, name, *cost) for (at, name), cost in self._costs.items() if at == stage]
        return tuple(found if stage == "audit" else sorted(found, key=lambda cost: -cost.seconds))


class TimedRule:
    """A rule whose checks are charged to a profile; in all else it is the rule."""

    def __init__(self, rule: Rule, profile: Profile) -> None:
        self._rule = rule
        self._profile = profile
        self._label = f"{rule.code} {rule.name}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rule, name)

    def __eq__(self, other: object) -> bool:
        # Whoever judges compares rules, to tell whether an override gives one other options.
        return isinstance(other, TimedRule) and self._rule == other._rule

    def __hash__(self) -> int:
        return hash(self._rule)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        """Judge one tensor."""
        with self._profile.clock("rules", self._label):
            return iter(list(self._rule.check(info, stats)))

    def check_model(self, model: Measured) -> Iterator[Finding]:
        """Judge the whole model."""
        with self._profile.clock("rules", self._label):
            return iter(list(self._rule.check_model(model)))


def clocked(profile: Profile | None, name: str) -> AbstractContextManager[None]:
    """Charge a part of the audit to a profile, if there is one."""
    return nullcontext() if profile is None else profile.clock("audit", name)


@contextmanager
def entered(
    profile: Profile | None, name: str, manager: AbstractContextManager[_Entered]
) -> Generator[_Entered]:
    """Enter a context for a block, and charge to a profile, if there is one, what entering takes."""
    with ExitStack() as stack:
        with clocked(profile, name):
            found = stack.enter_context(manager)
        yield found


def timed(rules: RuleSet, profile: Profile) -> RuleSet:
    """Return rules that find the same, and charge the time of their checks to a profile.

    Rules about the audit itself, which are known by their class and see no tensor, stay as they are.
    """

    def timed_rule(rule: Rule) -> Rule:
        return rule if isinstance(rule, UpkeepRule) else cast("Rule", TimedRule(rule, profile))

    return rules.mapped(timed_rule)


def table(profile: Profile, nbytes: int) -> list[str]:
    """Return the lines that tell where the time went.

    Args:
        profile: What was clocked.
        nbytes: Bytes of the tensors that were audited.
    """
    lines: list[str] = []
    for stage, title in TITLES.items():
        costs = profile.costs(stage)
        lines += [title, *map(_line, costs)] if costs else []
    reading = sum(cost.seconds for cost in profile.costs("reading") if cost.name == READING)
    if reading:
        lines.append(
            f"{nbytes / 1e6:.1f} MB of tensors, read at {nbytes / reading / 1e9:.1f} GB/s by each thread"
        )
    return lines


READING = "read, checksum, sum up"
"""What `Profile.costs` calls the calls that bring bytes."""

TITLES = {
    "audit": "The audit, one part after the other (Python's own start comes before):",
    "reading": "Threads, all together:",
    "statistics": "Statistics, in all threads together (what several share is charged to the first):",
    "rules": "Rules:",
}


def _line(cost: Cost) -> str:
    calls = f"{cost.calls:>9} calls" if cost.calls > 1 else ""
    return f"  {cost.name:<44} {cost.seconds * 1e3:>10.1f} ms {calls}".rstrip()
