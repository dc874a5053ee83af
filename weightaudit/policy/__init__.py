"""The policy of a project: `weightaudit.toml` or `[tool.weightaudit]`, as frozen dataclasses."""

from __future__ import annotations

from weightaudit.policy.files import FILE_NAME, find_policy, locate_policy, read_policy
from weightaudit.policy.model import (
    Override,
    Policy,
    PolicyTest,
    RepairSettings,
    RuleSettings,
    Suppression,
    judging_digest,
    policy_digest,
)
from weightaudit.policy.parsing import parse_policy
from weightaudit.policy.values import brief, describe_type, did_you_mean, parse_fail_on, parse_role

__all__ = [
    "FILE_NAME",
    "Override",
    "Policy",
    "PolicyTest",
    "RepairSettings",
    "RuleSettings",
    "Suppression",
    "brief",
    "describe_type",
    "did_you_mean",
    "find_policy",
    "judging_digest",
    "locate_policy",
    "parse_fail_on",
    "parse_policy",
    "parse_role",
    "policy_digest",
    "read_policy",
]
