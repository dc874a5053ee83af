"""The text of a learned policy: TOML with what was measured in comments; the same bytes each time."""

from __future__ import annotations

from glob import escape
from typing import TYPE_CHECKING

from weightaudit.learning.bounding import GROWTH
from weightaudit.options import toml_string
from weightaudit.render.escape import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from weightaudit.learning.bounding import Section, Setting
    from weightaudit.report import ModelReport

_REMARKS = 34
"""Columns before a comment, so that those of one table stand below each other."""


def policy_text(
    reports: Sequence[ModelReport],
    slack: float,
    roles: Sequence[Section],
    tensors: Sequence[Section],
) -> str:
    """Return a policy that `weightaudit.policy` reads, and a person edits.

    Args:
        reports: The models that were measured.
        slack: See `weightaudit.learning.bounding.Slack`.
        roles: Bounds of all tensors of a role.
        tensors: Bounds of single tensors.
    """
    lines = [*_introduction(reports, slack), "", 'fail-on = "error"']
    lines += ["", "# ---- All tensors of a role ----"]
    for section in roles:
        lines += ["", *_section(section)]
    if tensors:
        lines += ["", "# ---- Single tensors; of several overrides that match, the last one wins ----"]
    for section in tensors:
        lines += ["", *_section(section)]
    return "\n".join(lines) + "\n"


def _introduction(reports: Sequence[ModelReport], slack: float) -> Iterator[str]:
    count = f"{len(reports)} {'model' if len(reports) == 1 else 'models'}"
    yield f"# Learned by `weightaudit init` from {count}, which it takes for good:"
    yield from (f"#   {printable(one.path)} ({printable(one.container)})" for one in reports)
    yield "#"
    yield f"# Each bound is what was measured and a slack of {slack:g}: an upper bound is {1 + slack:g} times"
    yield "# as large, a lower one divided by that, and values have that share of the largest magnitude more"
    yield "# room on either side; then four digits are kept, rounded outward. Biases, norm offsets and moving"
    yield f"# means start at zero and grow as long as a model is trained: their slack is {slack * GROWTH:g}."
    yield "# Bounds hold for models that are trained about as long. Edit what you know better:"
    yield "# `weightaudit explain value-bound` (or another rule's name) tells what each option means."


def _section(section: Section) -> Iterator[str]:
    yield f"[[overrides]]  # {section.remark}"
    if section.tensor is None:
        yield f'roles = ["{section.role}"]'
    else:
        yield f"tensors = [{toml_string(escape(section.tensor))}]"
    for setting in section.settings:
        yield from _setting(setting, section)


def _setting(setting: Setting, section: Section) -> Iterator[str]:
    yield f"[overrides.rules.{setting.rule}]"
    if setting.selects:
        yield f'roles = ["{section.role}"]'
    for bound in setting.bounds:
        line = f"{bound.option} = {bound.value!r}"
        yield f"{line:<{_REMARKS}}# {bound.measured}" if bound.measured else line
