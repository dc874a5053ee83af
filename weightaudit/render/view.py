"""How a report is to be shown: what every format is told beside the report itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from weightaudit.registry import Registry, RuleSet
    from weightaudit.rule import Rule


@dataclass(frozen=True)
class View:
    """What a reader wants to see.

    Attributes:
        verbose: Add the statistics of every tensor, where the format leaves that open.
        quiet: Leave out what does not decide the verdict, where the format leaves that open.
        suppressed: Show what the policy or a baseline suppressed, too.
        rules: The rules that are known, by code.
        active: Codes of the rules that judged, in order.
        rule_set: Those rules with their options, for pictures of what they allow; None where nobody knows.
        category: First part of the categories by which code scanning tells audits apart.
        tell: Is given a sentence, without its full stop, for everything that a format has no room for.
    """

    verbose: bool = False
    quiet: bool = False
    suppressed: bool = False
    rules: Mapping[str, type[Rule]] = field(default_factory=dict[str, "type[Rule]"])
    active: Sequence[str] = ()
    rule_set: RuleSet | None = None
    category: str = "weightaudit"
    tell: Callable[[str], None] = lambda _: None

    @cached_property
    def names(self) -> dict[str, str]:
        """Names of the rules by code."""
        return {code: rule.name for code, rule in self.rules.items()}


def view_of(
    registry: Registry,
    rule_set: RuleSet,
    *,
    verbose: bool = False,
    quiet: bool = False,
    suppressed: bool = False,
    category: str = View.category,
) -> View:
    """Return the view on an audit by these rules; see `View`."""
    active = {one.rule.code for judges in rule_set.variants() for one in judges}
    return View(
        verbose=verbose,
        quiet=quiet,
        suppressed=suppressed,
        rules={rule.code: rule for rule in registry.rules},
        active=tuple(sorted(active)),
        rule_set=rule_set,
        category=category,
    )
