"""Repair as a library call: `weightaudit.repair_model`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.auditor import detail_of, policy_of
from weightaudit.errors import UsageError
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.policy import Policy, policy_digest
from weightaudit.portrait import Detail
from weightaudit.projections import RestoreFrom, load_projections
from weightaudit.registry import configure, load_registry
from weightaudit.repair.planning import MAX_CHANGE, Orders
from weightaudit.repair.projectors import projector_of
from weightaudit.repair.requests import requests_of_policy
from weightaudit.repair.run import Context, Destination, Repaired, plan_repair, repair
from weightaudit.rule import Severity
from weightaudit.versions.who import current_user
from weightaudit.wholes import label_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from weightaudit.auditor import Progress
    from weightaudit.repair.selection import Request


def repair_model(
    path: str | os.PathLike[str],
    *,
    requests: Sequence[Request] = (),
    policy: Policy | str | os.PathLike[str] | None = None,
    donor: str | os.PathLike[str] | None = None,
    max_change: float = MAX_CHANGE,
    output: str | os.PathLike[str] | None = None,
    in_place: bool = False,
    store: str | os.PathLike[str] | None = None,
    message: str = "",
    author: str | None = None,
    dry_run: bool = False,
    engine: str = "numpy",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    detail: Detail = Detail.VERDICT,
) -> Repaired:
    """Mend a saved model by projection.

    Args:
        path: The model.
        requests: Projections, with the tensors that they are for. Without any, what the audit
            finds is mended by the projections that rules propose, and by those of the policy.
        policy: Which rules judge: a policy, or the path of a policy file; by default the built-in rules as
            they come.
        donor: A saved model from which tensors are taken that no projection mends.
        max_change: Largest share of its norm by which a tensor may change, 0.5 by default.
        output: A path that nothing has yet, for a mended copy, also if there is nothing to mend;
            then no version is made.
        in_place: Whether the original is replaced, after it became a version in the store.
        store: The version store, by default ``.weightaudit`` beside the model. Without `output`
            and `in_place` the mended model becomes a version there.
        message: Why, for the record of the version.
        author: Who; by default the user and the host.
        dry_run: Only plan, and write nothing.
        engine: Who computes projections, ``numpy`` or ``tensorflow``.
        limits: Bounds on what the file may ask for.
        progress: Told how much was read for the audit.
        detail: What is measured of every tensor before and after, and kept in both reports.

    Returns:
        The plan, and what became of it.

    Raises:
        UsageError: A request is for no tensor, the destination or `max_change` makes no sense, or there
            is no such engine or detail.
        PolicyError: The policy file cannot be read, or says something that is not understood.
        RepairError: It would change more than is allowed, is not possible, or did not succeed.
        ReadError: The model cannot be read, or changed meanwhile.
        WriteError: It cannot be written, or was not written as planned.
        StoreError: The version store cannot be used.
    """
    if output is not None and (in_place or store is not None):
        raise UsageError("output is a copy; it goes with neither in_place nor store.")
    if not max_change >= 0:  # NaN, too: no change would be larger
        raise UsageError(
            f"max_change must be 0 or more, not {max_change}; 0.5 allows half of a tensor's norm."
        )
    policy, detail = policy_of(policy), detail_of(detail)
    context = replace(
        _judging(policy), projector=projector_of(engine), limits=limits, progress=progress, detail=detail
    )
    orders = _orders(tuple(requests), policy, donor, max_change)
    model, label = Path(path), label_of(Path(path))
    if dry_run:
        return plan_repair(model, label, orders, context)
    to = Destination(
        None if output is None else Path(output),
        in_place,
        None if store is None else Path(store),
        message,
        author or current_user(),
    )
    return repair(model, label, orders, context, to)


def _judging(policy: Policy) -> Context:
    """Return the rules of a policy, and what records tell of them."""
    registry = load_registry(policy.plugins)
    names = {rule.code: rule.name for rule in registry.rules}
    return Context(configure(registry, policy), names, policy.fail_on, policy=policy_digest(policy))


def _orders(
    asked: tuple[Request, ...], policy: Policy, donor: str | os.PathLike[str] | None, max_change: float
) -> Orders:
    """Return what is to be done: what is asked for, or else what the policy and the rules want."""
    return Orders(
        requests=asked or requests_of_policy(policy, load_projections(policy.plugins)),
        mend=not asked or donor is not None,
        level=policy.fail_on or Severity.NOTE,
        donor=None if donor is None else RestoreFrom(str(donor)),
        max_change=max_change,
    )
