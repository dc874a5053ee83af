"""What the rules are meant to reach, beside what they did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.detection.table import LOUD
from benchmarks.table import markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.detection.judge import Case, Clean

ALWAYS = ("NaN", "Inf", "endian swap", "negative variance", "float16 overflow", "broken constraint")
"""Classes of which every case is to be found."""


def goal_table(cases: Sequence[Case], clean: Sequence[Clean]) -> str:
    """Return the table of goals; classes without a case are left out."""
    header = ("what", "goal", "measured", "met")
    lines = [_every(kind, cases) for kind in ALWAYS]
    lines += [
        _share("layer scale beyond x10", cases, _is_large_scale),
        *(
            _share(f"a flip of an exponent bit beyond the range of its {what}", cases, _is_flip(grade))
            for what, grade in (
                ("layer", "one, beyond the layer's range"),
                ("tensor", "one, beyond the range"),
            )
        ),
    ]
    for name in ("trained", "fresh"):
        group = [one for one in clean if (one.origin == "fresh") == (name == "fresh")]
        if group:
            lines += [_accused(name, "error", group, 0), _accused(name, "warning", group, len(group) // 10)]
    return markdown(header, [line for line in lines if line])


def _is_large_scale(case: Case) -> bool:
    return case.kind == "layer scale" and case.grade not in {"x1e-1", "x1e1"}


def _is_flip(grade: str) -> Callable[[Case], bool]:
    return lambda case: (case.kind, case.grade) == ("bit flips", grade)


def _every(kind: str, cases: Sequence[Case]) -> tuple[str, ...]:
    chosen = [case for case in cases if case.kind == kind]
    found = sum(case.severity in LOUD for case in chosen)
    if not chosen:
        return ()
    return kind, "all", f"{found} of {len(chosen)}", "yes" if found == len(chosen) else "no"


def _share(what: str, cases: Sequence[Case], chosen: Callable[[Case], bool]) -> tuple[str, ...]:
    group = [case for case in cases if chosen(case)]
    if not group:
        return ()
    found = sum(case.severity in LOUD for case in group)
    measured = f"{found} of {len(group)} ({found / len(group):.0%})"
    return what, "95 %", measured, "yes" if found >= 0.95 * len(group) else "no"


def _accused(name: str, severity: str, group: Sequence[Clean], limit: int) -> tuple[str, ...]:
    accused = sum(any(found[0] == severity for found in one.findings) for one in group)
    what = f"healthy {name} models with {severity}s"
    return what, f"at most {limit}", f"{accused} of {len(group)}", "yes" if accused <= limit else "no"
