"""What weightaudit demands of every rule and every projection holds for ours."""

from team_rules.drop_small import DropSmall
from team_rules.peak_bound import PeakBound
from weightaudit.testing import check_projection, check_rule


def test_peak_bound() -> None:
    """The examples are judged as they say, and nothing that a rule must not do is done."""
    check_rule(PeakBound)


def test_drop_small() -> None:
    """The projection keeps what it must on tensors that break careless arithmetic."""
    check_projection(DropSmall(0.1))
