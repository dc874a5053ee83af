"""Options that make no sense are refused, so that a rule is never silently without effect."""

from __future__ import annotations

from typing import Any

import pytest

from weightaudit.errors import PolicyError
from weightaudit.policy import parse_policy
from weightaudit.registry import configure, load_registry


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("norm-bound", {"max": -1.0}),
        ("norm-bound", {"max": float("inf")}),
        ("norm-bound", {"max": 1.0, "order": 3.0}),
        ("norm-bound", {"max": 1.0, "tolerance": -0.1}),
        ("min-max-norm", {"min": 2.0, "max": 1.0}),
        ("min-max-norm", {"min": -2.0}),
        ("value-bound", {"min": 2.0, "max": 1.0}),
        ("value-bound", {"max": 1.0, "tolerance": -1.0}),
        ("sparsity", {"min": 1.5}),
        ("sparsity", {"min": 0.5, "max": 0.2}),
        ("extreme-value", {"warning": 1e7}),
        ("exploding-scale", {"warning": 0.0}),
        ("vanishing-scale", {"error": 1.0}),
        ("constant-tensor", {"min-size": -5}),
        ("low-precision-overflow", {"margin": 0.0}),
        ("low-precision-underflow", {"max-loss": 2.0}),
        ("dead-channels", {"floor": -1.0}),
        ("dead-normalization-channels", {"relative": -1.0}),
    ],
)
def test_absurd_options_are_refused(rule: str, options: dict[str, Any]) -> None:
    """Each of these policies is an error that names the rule and the option."""
    policy = parse_policy({"rules": {rule: options}}, "weightaudit.toml")
    with pytest.raises(PolicyError, match=rf"weightaudit\.toml: rules\.{rule}.* must"):
        configure(load_registry(), policy)
