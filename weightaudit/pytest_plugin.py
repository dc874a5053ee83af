"""Audits in a project's own tests: the fixture ``audit``, and one test per model for ``--weightaudit PATH``.

pytest loads this module in every project where weightaudit is installed, so it imports next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from weightaudit.discover import Target
    from weightaudit.policy import Policy
    from weightaudit.report import Report


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--weightaudit`` and ``--weightaudit-policy``."""
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


@pytest.fixture(scope="session")
def audit(pytestconfig: pytest.Config) -> Callable[..., Report]:
    """Return a function that audits saved models: ``audit("model.keras").assert_ok()``.

    It takes what `weightaudit.audit` takes. Without a policy the project's own one is in force.
    """

    def run(
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        policy: Policy | None = None,
        **options: Any,
    ) -> Report:
        import weightaudit

        return weightaudit.audit(paths, policy=policy or _policy(pytestconfig), **options)

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

    try:
        targets = discover([str(session.config.invocation_params.dir / place) for place in places])
    except WeightauditError as error:
        raise pytest.UsageError(f"--weightaudit: {error}") from error
    for target in targets:
        name = f"weightaudit::{target.label}"
        # pytest leaves the keywords of this function without types.
        item: ModelItem = cast("Any", ModelItem).from_parent(session, name=name, nodeid=name)
        item.target = target
        yield item


class ModelItem(pytest.Item):
    """The audit of one model as a test, which fails as `weightaudit check` does."""

    target: Target

    def runtest(self) -> None:
        """Audit the model.

        Raises:
            AssertionError: The audit failed, or could not be completed.
        """
        from weightaudit.auditor import audit_targets
        from weightaudit.registry import configure, load_registry

        policy = _policy(self.config)
        rules = configure(load_registry(policy.plugins), policy)
        audit_targets([self.target], rules, fail_on=policy.fail_on).assert_ok()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show findings and usage errors as they are, without the way through this code."""
        from weightaudit.errors import WeightauditError

        if isinstance(excinfo.value, AssertionError | WeightauditError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return where the model is, and the test's title."""
        return self.target.path, None, f"weightaudit: {self.target.label}"


def _policy(config: pytest.Config) -> Policy:
    from pathlib import Path

    from weightaudit.policy import find_policy, read_policy

    named: str | None = config.getoption("--weightaudit-policy")
    if named is None:
        return find_policy(config.rootpath)
    return read_policy(Path(config.invocation_params.dir, named))
