"""Write `rules/README.md` from the rules themselves; with ``--check``, only say whether it is current."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from weightaudit.options import options_of  # noqa: E402 - a bare checkout is importable only now
from weightaudit.plugins import load_rules  # noqa: E402
from weightaudit.rule import Rule  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

FAMILIES = {
    "WA1": ("Integrity", "The bytes and the numbers are what was saved."),
    "WA2": ("Scale and precision", "Magnitudes are ones that training produces and formats can hold."),
    "WA3": ("Constraints", "Demands that a policy states; silent until it does."),
    "WA4": ("Structure", "Parts of the model that do nothing."),
    "WA5": ("Training", "What was to be learned was learned, and training can go on."),
    "WA6": ("Against a reference", "What changed since another checkpoint; silent without `--reference`."),
    "WA9": ("The audit itself", "What is wrong with the policy or the baseline itself."),
}

INTRODUCTION = """\
# The built-in rules

<!-- Written by rules/generate_readme.py; edit the rules, then run it again. -->

Each rule is one file in `weightaudit_rules/`; `weightaudit explain CODE` prints its page with examples.
Codes are never reused or renumbered. The severity is that of its gravest findings: a rule may report a
lesser one, and an error is lowered to a warning where the tensor's role is only guessed and the rule
relies on it.

What a rule with a "yes" in the last column finds, `weightaudit repair` can mend by projection.

A new rule is a new file: a frozen dataclass derived from `weightaudit.rule.Rule`, whose fields are its
options and whose examples prove it. `weightaudit.testing.check_rule` checks all that a rule must hold.
"""


def main(arguments: list[str]) -> int:
    """Write the index, or with ``--check`` compare it with the file; return the exit code."""
    target = HERE / "README.md"
    text = readme()
    if arguments == ["--check"]:
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write("rules/README.md is stale; run: python rules/generate_readme.py\n")
        return 1
    if arguments:
        sys.stderr.write("usage: python rules/generate_readme.py [--check]\n")
        return 2
    target.write_text(text, encoding="utf-8")
    return 0


def readme() -> str:
    """Return the index of the built-in rules as Markdown."""
    rules = [
        rule
        for rule in load_rules(("weightaudit_rules",))
        if rule.__module__.startswith("weightaudit_rules.")
    ]
    parts = [INTRODUCTION]
    for prefix, (title, purpose) in FAMILIES.items():
        parts.append(f"## {prefix}: {title}\n\n{purpose}\n")
        members = [rule for rule in rules if rule.code.startswith(prefix)]
        if members:
            rows = [
                "| Code | Name | Severity | Finds | Options | Mended by `repair` |",
                "|---|---|---|---|---|---|",
                *_rows(members),
            ]
            parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _rows(rules: list[type[Rule]]) -> Iterator[str]:
    for rule in rules:
        path = f"weightaudit_rules/{rule.__module__.rpartition('.')[2]}.py"
        summary = inspect.cleandoc(rule.__doc__ or "").partition("\n")[0]
        options = ", ".join(f"`{option.name}`" for option in options_of(rule))
        mended = "yes" if rule.projection is not Rule.projection else ""
        cells = (f"[{rule.code}]({path})", rule.name, rule.severity.label, summary, options, mended)
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
