"""What scripts are given: short rows, pictures that can be put together again, and bounds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.html.pages import measured, view
from weightaudit import audit
from weightaudit.html.audit import audit_page
from weightaudit.html.limits import limits
from weightaudit.html.portraits import portraits
from weightaudit.html.tables import CHANNELS, Budget, model_data, picture, short
from weightaudit.policy import parse_policy
from weightaudit.portrait import Detail, portrait
from weightaudit.registry import configure, load_registry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def _save(path: Path, kernel: NDArray[np.float32]) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        group["0"] = kernel
        group["1"] = np.zeros(kernel.shape[-1], np.float32)
    return path


def test_a_histogram_comes_back_whole(tmp_path: Path) -> None:
    """The texts of a picture hold every count of the histogram, in order, and nothing for an empty bin."""
    kernel = np.random.default_rng(1).normal(0, 0.1, (64, 32)).astype(np.float32)
    kernel[0, 0] = 1e30
    (model,) = measured(_save(tmp_path / "m.weights.h5", kernel)).models
    info = next(one for one in model.tensors if one.size == kernel.size)
    found = portrait(info, model.stats[info.name]).histogram
    assert found is not None
    lowest, plus, minus, *_ = picture(portrait(info, model.stats[info.name]))
    sides = [[int(count or 0) for count in text.split(",")] for text in (plus, minus)]
    assert lowest == found.lowest
    assert sides[0] == list(found.positive)
    assert sides[1] == list(found.negative)[: len(sides[1])]
    assert sum(map(sum, sides)) == kernel.size
    assert ",,,,,," in plus


@pytest.mark.parametrize("channels", [3, CHANNELS, 3 * CHANNELS + 1])
def test_channels_are_joined_only_where_they_are_many(tmp_path: Path, channels: int) -> None:
    """Up to the limit each channel is drawn; beyond, groups have the least and the largest of theirs."""
    kernel = np.random.default_rng(1).normal(0, 0.1, (8, channels)).astype(np.float32)
    (model,) = measured(_save(tmp_path / "m.weights.h5", kernel)).models
    info = next(one for one in model.tensors if one.size == kernel.size)
    size, step, least, largest, extremes = picture(portrait(info, model.stats[info.name]))[3:]
    norms = np.linalg.norm(kernel.astype(np.float64), axis=0)
    assert size == channels
    assert len(least) <= CHANNELS
    assert (step > 1) == (channels > CHANNELS) == bool(largest)
    assert min(least) == pytest.approx(norms.min(), rel=1e-3)
    assert max(largest or least) == pytest.approx(norms.max(), rel=1e-3)
    assert extremes[0][0] == int(norms.argmax())


def test_rows_are_json_whatever_the_numbers(tmp_path: Path) -> None:
    """NaN, infinities and tensors of them alone become JSON without a loss of rows."""
    kernel = np.full((4, 4), np.nan, np.float32)
    kernel[0] = np.inf
    (model,) = measured(_save(tmp_path / "m.weights.h5", kernel)).models
    data = json.loads(json.dumps(model_data(model, portraits(model), Budget()), allow_nan=False))
    assert len(data["tensors"]) == len(model.tensors)
    assert len(data["findings"]) == len(model.findings)


def test_a_report_of_bare_verdicts_is_a_page_too(fixtures_dir: Path) -> None:
    """Where only what rules need was measured, tensors are listed, without figures, and nothing fails."""
    report = audit(fixtures_dir / "nan.keras")
    page = audit_page(report, view())
    assert "dense/hidden/kernel" in page
    assert "WA101" in page


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (float("nan"), None),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (3.0, 3),
        (0.123456, 0.1235),
        (32768.0, 32768),
        (-12345.678, -12346),
        (1e30, 1e30),
    ],
)
def test_numbers_are_short(value: float, wanted: object) -> None:
    """Four digits, or all before the point; integers without a point, and nothing that JSON lacks."""
    assert short(value) == wanted


def test_a_budget_takes_what_fits() -> None:
    """What does not fit is refused, and leaves its room to what is smaller."""
    budget = Budget(10)
    assert [budget.takes(size) for size in (6, 5, 4, 1)] == [True, False, True, False]


def test_bounds_are_those_that_rules_count_by(fixtures_dir: Path) -> None:
    """The limit of the rule for float16 is among them, and has its code where it found something."""
    (model,) = measured(fixtures_dir / "overflow.keras").models
    found = limits(model)
    values = {(one.value, one.label) for one in found["stem_norm/moving_variance"]}
    assert (65520.0, "WA210") in values
    assert all(one.value > 0 for each in found.values() for one in each)
    assert any(one.label == "rule" for one in found["stem/kernel"])


def test_bounds_have_the_code_of_the_rule_that_counts(fixtures_dir: Path) -> None:
    """Where the rules are known, no bound is told as some rule's: float16's end is that of WA210."""
    (model,) = measured(fixtures_dir / "healthy.keras").models
    found = limits(model, configure(load_registry(), parse_policy({}, "weightaudit.toml")))
    assert (65520.0, "WA210") in {(one.value, one.label) for one in found["stem/kernel"]}
    assert "rule" not in {one.label for each in found.values() for one in each}


def test_bounds_that_nothing_breaks_are_known(fixtures_dir: Path) -> None:
    """A bound of the policy on values is drawn where all values keep it, too."""
    (model,) = measured(fixtures_dir / "healthy.keras").models
    policy = parse_policy({"rules": {"value-bound": {"min": -7.0, "max": 9.0}}}, "weightaudit.toml")
    found = limits(model, configure(load_registry(), policy))["stem/kernel"]
    assert {(7.0, "WA304"), (9.0, "WA304")} <= {(one.value, one.label) for one in found}


def test_a_report_without_pictures_has_rows(fixtures_dir: Path) -> None:
    """Where only figures were measured, the table has them, and no histogram is claimed."""
    (model,) = audit(fixtures_dir / "healthy.keras", detail=Detail.FIGURES).models
    data = model_data(model, portraits(model), Budget())
    assert data["pictures"] == {}
    assert len(data["tensors"][0]) > 12
