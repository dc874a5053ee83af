"""Every built-in rule keeps the contract, and together they are what the index says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from weightaudit.plugins import load_rules
from weightaudit.testing import check_rule

if TYPE_CHECKING:
    from weightaudit.rule import Rule

CHECKOUT = Path(__file__).resolve().parents[2]
RULES = load_rules(("weightaudit_rules",))

CODES = [
    *("WA101", "WA102", "WA103", "WA110", "WA111", "WA112", "WA113", "WA114", "WA115"),
    *("WA120", "WA121", "WA122", "WA123", "WA124", "WA125", "WA126"),
    *("WA201", "WA202", "WA203", "WA204", "WA205", "WA206", "WA207", "WA210", "WA211"),
    *("WA212", "WA213", "WA214", "WA215"),
    *("WA301", "WA302", "WA303", "WA304", "WA305", "WA306", "WA307", "WA310", "WA311", "WA312"),
    *("WA401", "WA402", "WA403"),
    *("WA501", "WA502", "WA503", "WA510"),
    *("WA601", "WA602", "WA603", "WA604", "WA605", "WA606", "WA607"),
    *("WA901", "WA902", "WA903", "WA904"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_rule_keeps_the_contract(rule: type[Rule]) -> None:
    """Code, name, docstring, options and every example hold, and only declared statistics are read."""
    check_rule(rule)


def test_no_code_is_lost() -> None:
    """Codes are promises to policies and baselines: none disappears and none changes its number."""
    assert [rule.code for rule in RULES if rule.__module__.startswith("weightaudit_rules.")] == CODES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_page_says_what_a_user_asks(rule: type[Rule]) -> None:
    """Each page says why it matters, what is normal, when it is wrong, and how to mend it."""
    page = rule.__doc__ or ""
    for part in ("Why it matters:", "What is normal:", "Known false positives:", "How to mend:"):
        assert part in page


def test_rules_that_need_a_number_are_silent() -> None:
    """Without a policy, no constraint and no sparsity is judged, and everything else is."""
    silent = [rule.code for rule in RULES if not rule().is_active()]
    assert silent == [
        "WA212",
        "WA213",
        "WA214",
        "WA301",
        "WA302",
        "WA303",
        "WA304",
        "WA305",
        "WA306",
        "WA307",
        "WA401",
        "WA510",
        "WA606",
    ]


def test_index_is_current() -> None:
    """rules/README.md lists the rules as they are; CI runs the same check."""
    script = CHECKOUT / "rules" / "generate_readme.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
