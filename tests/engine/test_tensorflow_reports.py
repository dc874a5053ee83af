"""Whole audits: with TensorFlow's engine, reports say what they say with numpy's."""

from __future__ import annotations

import json
from math import isclose
from typing import TYPE_CHECKING, Any

import pytest

import weightaudit
from weightaudit.policy import Policy, parse_policy
from weightaudit.portrait import Detail
from weightaudit.render.json import render_json

if TYPE_CHECKING:
    from pathlib import Path

    from weightaudit.engine.choice import EngineName

pytest.importorskip("tensorflow")


def report(
    path: Path, engine: EngineName, *, policy: Policy | None = None, detail: Detail = Detail.VERDICT
) -> str:
    """Return the report of an audit as JSON."""
    done = weightaudit.audit(path, engine=engine, policy=policy, detail=detail)
    return render_json(done, verbose=bool(detail))


def is_near(one: Any, other: Any) -> bool:
    """Say whether two documents are equal, up to the rounding of sums in their numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(is_near(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_near, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-9, abs_tol=1e-15)
    return bool(one == other)


def test_reports_of_fixtures_are_equal(fixtures_dir: Path) -> None:
    """Every fixture, broken ones included, has the same report, with the statistics of every tensor."""
    one, other = (report(fixtures_dir, engine, detail=Detail.FIGURES) for engine in ("tensorflow", "numpy"))
    document = json.loads(one)
    assert len(document["models"]) > 10
    assert is_near(document, json.loads(other))


def test_reports_of_real_models_are_equal(corpus: Path) -> None:
    """Real models, with all their oddities, have the same findings to the last byte."""
    one, other = (report(corpus, engine) for engine in ("tensorflow", "numpy"))
    assert sum(len(model["findings"]) for model in json.loads(one)["models"]) > 20
    assert one == other


def test_spectral_norms_are_judged_alike(fixtures_dir: Path) -> None:
    """Findings about singular values do not depend on the engine."""
    settings = {"rules": {"spectral-norm-bound": {"max": 0.5}, "stable-rank": {"min": 3.0}}}
    policy, path = parse_policy(settings, "test"), fixtures_dir / "healthy.keras"
    one, other = (json.loads(report(path, engine, policy=policy)) for engine in ("tensorflow", "numpy"))
    assert {"WA306", "WA307"} <= {finding["code"] for finding in one["models"][0]["findings"]}
    assert is_near(one, other)
