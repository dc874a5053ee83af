"""Audits in a project's own tests: the fixture ``audit``, and one test per model for ``--weightaudit PATH``.

pytest loads this module in every project where weightaudit is installed, so it imports next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from weightaudit.baseline import Baseline
    from weightaudit.discover import Target
    from weightaudit.policy import Policy
    from weightaudit.registry import RuleSet
    from weightaudit.report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--weightaudit``, ``--weightaudit-policy`` and ``--weightaudit-baseline``."""
    group = parser.getgroup("weightaudit", "weights of saved models")
    group.addoption(
        "--weightaudit",
        action="append",
        default=[],
        metavar="PATH",
        help="audit the saved models there, one test for each; may be given again",
    )
    group.addoption(
        "--weightaudit-policy",
        metavar="FILE",
        help="policy of these tests and of the fixture, not the nearest one upward of the root directory",
    )
    group.addoption(
        "--weightaudit-baseline",
        metavar="FILE",
        help="findings that are known to these tests, which fail them only if they became worse",
    )


@pytest.fixture(scope="session")
def audit(pytestconfig: pytest.Config) -> Callable[..., Report]:
    """Return a function that audits saved models: ``audit("model.keras").assert_ok()``.

    It takes what `weightaudit.audit` takes. Without a policy the project's own one is in force.
    """

    def run(
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        policy: Policy | str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Report:
        __tracebackhide__ = True
        import weightaudit
        from weightaudit.errors import WeightauditError

        try:
            return weightaudit.audit(paths, policy=policy or _policy(pytestconfig), **options)
        except WeightauditError as error:
            # A wrong path or policy is one sentence at the line of the test, without the way through here.
            raise error.with_traceback(None) from None

    return run


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for each model that ``--weightaudit`` names."""
    places: list[str] = config.getoption("--weightaudit") or []
    if places:
        items.extend(_models(session, places))


def _models(session: pytest.Session, places: Sequence[str]) -> Iterator[pytest.Item]:
    from weightaudit.discover import discover
    from weightaudit.errors import WeightauditError
    from weightaudit.registry import configure, load_registry

    try:
        targets = discover([str(session.config.invocation_params.dir / place) for place in places])
        policy = _policy(session.config)
        run = _Run(targets, configure(load_registry(policy.plugins), policy), _baseline(session.config))
    except WeightauditError as error:
        raise pytest.UsageError(f"--weightaudit: {error}") from error
    for target in targets:
        yield _item(session, ModelItem, target.label, run, (target,))
    if run.is_of_several:
        yield _item(session, RunItem, "all models", run, targets)


def _item(
    session: pytest.Session, kind: type[_Item], label: str, run: _Run, targets: Sequence[Target]
) -> pytest.Item:
    from weightaudit.render.escape import printable

    name = f"weightaudit::{printable(label)}"
    # pytest leaves the keywords of this function without types.
    item: _Item = cast("Any", kind).from_parent(session, name=name, nodeid=name)
    item.run, item.targets = run, targets
    return item


@dataclass(frozen=True)
class _Run:
    """What ``--weightaudit`` asks for, and what of it was done in this process.

    Attributes:
        targets: The models.
        rules: What judges them.
        known: The findings that are known; None for none.
        reports: What was found, by model, also of what is known.
    """

    targets: Sequence[Target]
    rules: RuleSet
    known: Baseline | None
    reports: dict[Target, Report] = field(default_factory=dict["Target", "Report"])

    @property
    def is_of_several(self) -> bool:
        """Whether a test of one model is not the whole run."""
        return len(self.targets) > 1

    def decided(self, targets: Sequence[Target]) -> Report:
        """Return the audit of some of the models, each of which is audited once, as `check` decides it."""
        from weightaudit.deciding import decided
        from weightaudit.report import Report

        done = [self._report(target) for target in targets]
        models = tuple(model for one in done for model in one.models)
        left_out = tuple(skipped for one in done for skipped in one.left_out)
        whole = Report(models, self.rules.policy.fail_on, left_out)
        return decided(whole, self.rules, self.known)

    def _report(self, target: Target) -> Report:
        from weightaudit.auditor import audit_targets

        if target not in self.reports:
            fail_on = self.rules.policy.fail_on
            self.reports[target] = audit_targets([target], self.rules, fail_on=fail_on)
        return self.reports[target]


class _Item(pytest.Item):
    """A test that fails as `weightaudit check` does."""

    run: _Run
    targets: Sequence[Target]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show findings and usage errors as they are, without the way through this code."""
        from weightaudit.errors import WeightauditError

        if isinstance(excinfo.value, AssertionError | WeightauditError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return where the model is, and the test's title."""
        place = self.targets[0].path if len(self.targets) == 1 else self.config.rootpath
        return place, None, self.name.replace("::", ": ", 1)


class ModelItem(_Item):
    """The audit of one model."""

    def runtest(self) -> None:
        """Audit the model.

        Raises:
            AssertionError: The audit failed, or could not be completed.
        """
        report = self.run.decided(self.targets)
        if not self.run.is_of_several:
            report.assert_ok()
        elif not report.models:
            pytest.skip("; ".join(one.reason for one in report.left_out))
        else:
            # What no finding of one model uses, one of the others may.
            replace(report, policy_findings=()).assert_ok()


class RunItem(_Item):
    """What is said of several models together: whether there is one, and what is wrong with the policy."""

    def runtest(self) -> None:
        """Judge the run; models that another process has tested are audited again.

        Raises:
            AssertionError: Nothing was a model, or a finding about the policy fails the gate.
        """
        whole = self.run.decided(self.targets)
        # Those that fail have done so in tests of their own.
        passed = tuple(replace(one, findings=()) for one in whole.models if one.is_complete)
        if passed or not whole.models:
            replace(whole, models=passed).assert_ok()


def _baseline(config: pytest.Config) -> Baseline | None:
    from pathlib import Path

    from weightaudit.baseline import read_baseline

    named: str | None = config.getoption("--weightaudit-baseline")
    return None if named is None else read_baseline(Path(config.invocation_params.dir, named))


def _policy(config: pytest.Config) -> Policy:
    from pathlib import Path

    from weightaudit.policy import find_policy, read_policy

    named: str | None = config.getoption("--weightaudit-policy")
    if named is None:
        return find_policy(config.rootpath)
    return read_policy(Path(config.invocation_params.dir, named))
