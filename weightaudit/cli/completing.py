"""What the shell offers for the word that is being typed; nothing, where anything goes wrong."""

# No `from __future__ import annotations` here: Typer reads the annotations of what it calls.

import re
from collections.abc import Iterable
from contextlib import suppress

import typer

from weightaudit.errors import WeightauditError

Offer = tuple[str, str]
"""A word, and what it stands for."""

_HARMLESS = re.compile(r"[\w/][\w./:@%+,=-]*")
"""Names that mean themselves to every shell: a shell puts what is offered on the command line as it is, and
zsh even evaluates it, so that a stranger's ``$(...)`` would run."""

_MOST = 200
"""Words that are offered at most: more than that nobody reads."""


def rules(incomplete: str) -> list[Offer]:
    """Offer codes and names of rules; of several with commas, the last one is completed."""
    from weightaudit.documentation import summary
    from weightaudit.registry import load_registry

    before, comma, last = incomplete.rpartition(",")
    with suppress(WeightauditError):
        known = load_registry().rules
        offers = [(word, summary(rule)) for rule in known for word in (rule.code, rule.name)]
        return [(before + comma + word, what) for word, what in _beginning(offers, last)]
    return []


def pages(incomplete: str) -> list[Offer]:
    """Offer all that can be explained: rules and projections."""
    return rules(incomplete) + projections(incomplete)


def projections(incomplete: str) -> list[Offer]:
    """Offer names of projections."""
    from weightaudit.documentation import summary
    from weightaudit.projections import load_projections

    with suppress(WeightauditError):
        known = load_projections(())
        return _beginning(((name, summary(one)) for name, one in known.items()), incomplete)
    return []


def formats(incomplete: str) -> list[Offer]:
    """Offer formats of reports."""
    from weightaudit.render.formats import ReportFormat

    return _beginning(((str(one), "") for one in ReportFormat), incomplete)


def roles(incomplete: str) -> list[Offer]:
    """Offer roles; of several with commas, the last one is completed."""
    from weightaudit.tensor import Role

    before, comma, last = incomplete.rpartition(",")
    offers = _beginning(((role.value, "") for role in Role), last)
    return [(before + comma + word, what) for word, what in offers]


def tensors(context: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the tensors of the model that the command line names first, unless a name could do harm."""
    from weightaudit.inspection.choosing import tensor_names

    named: object = context.params.get("path")
    if not isinstance(named, str):
        return []
    with suppress(WeightauditError, OSError):
        names = (name for name in tensor_names(named) if _HARMLESS.fullmatch(name))
        return _beginning(((name, "") for name in names), incomplete)
    return []


def _beginning(offers: Iterable[Offer], incomplete: str) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(incomplete)][:_MOST]
