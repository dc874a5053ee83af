"""The model along its depth: quantiles, shares and places, against what numpy says of the same numbers."""

from __future__ import annotations

from dataclasses import replace
from math import log2
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.html.pages import measured
from weightaudit.html.depth import QUANTILES, Column, columns
from weightaudit.html.drawing import SCALE, draw
from weightaudit.html.portraits import portraits
from weightaudit.rule import Finding, Severity

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.report import ModelReport


def _model(path: Path, kernels: dict[str, NDArray[np.float32]]) -> ModelReport:
    """Save kernels as the weights of one Dense layer each, and audit them."""
    with h5py.File(path, "w") as file:
        for name, kernel in kernels.items():
            group = file.create_group(f"layers/{name}/vars")
            group["0"], group["1"] = kernel, np.zeros(kernel.shape[-1], np.float32)
    return measured(path).models[0]


def _columns(model: ModelReport) -> list[Column]:
    return columns(model, portraits(model))


def _normal(scale: float, shape: tuple[int, ...] = (64, 32)) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, scale, shape).astype(np.float32)


def test_quantiles_are_those_of_the_weights(tmp_path: Path) -> None:
    """Each lies within the width of a bin, a quarter of a power of two, of what numpy finds; ends, too."""
    kernel = _normal(0.1)
    (column,) = _columns(_model(tmp_path / "one.weights.h5", {"dense": kernel}))
    assert column.quantiles is not None
    wanted = np.log2(np.quantile(np.abs(kernel), QUANTILES))
    assert np.abs(np.array(column.quantiles) - wanted).max() <= 0.26


def test_layers_stay_in_order_and_none_is_lost(tmp_path: Path) -> None:
    """Joined to few columns, each tensor is still in one, in the order of the model, with its findings."""
    model = _model(tmp_path / "ten.weights.h5", {f"dense_{number}": _normal(0.1) for number in range(10)})
    apart, joined = columns(model, portraits(model)), columns(model, portraits(model), most=4)
    assert [one.layers for one in apart] == [1] * 10
    assert [one.layers for one in joined] == [3, 3, 3, 1]
    places = [place for one in joined for place in one.tensors]
    assert places == sorted(places) == [place for one in apart for place in one.tensors]


def test_what_float16_loses_is_counted(tmp_path: Path) -> None:
    """Half of the numbers below its normal range are half, and the largest alone tells of an overflow."""
    kernel = _normal(0.1)
    kernel[:32] = 1e-6
    kernel[40, 3] = 65520
    (column,) = _columns(_model(tmp_path / "one.weights.h5", {"dense": kernel}))
    wanted = np.mean(np.abs(kernel) < 2.0**-14)
    assert column.lossy == pytest.approx(wanted)
    assert column.overflow == 1


def test_65519_does_not_overflow(tmp_path: Path) -> None:
    """What float16 rounds down to its largest number is no overflow."""
    kernel = _normal(0.1)
    kernel[0, 0] = 65519
    (column,) = _columns(_model(tmp_path / "one.weights.h5", {"dense": kernel}))
    assert column.overflow == int(np.isinf(kernel.astype(np.float16)).sum()) == 0


def test_zeros_and_nan_are_counted_apart(tmp_path: Path) -> None:
    """The share of zeros is over all weights, NaN are counted, and neither moves a quantile."""
    kernel = _normal(0.1)
    kernel[:16], kernel[20, 0] = 0, np.nan
    (column,) = _columns(_model(tmp_path / "one.weights.h5", {"dense": kernel}))
    assert column.sparsity == pytest.approx(0.25)
    assert column.nonfinite == 1
    assert column.quantiles is not None
    assert column.quantiles[2] == pytest.approx(log2(np.nanmedian(np.abs(kernel[kernel != 0]))), abs=0.26)
    assert column.severities["error"] == 1


def test_larger_is_higher(tmp_path: Path) -> None:
    """A kernel a thousand times as large is drawn above the other, and both inside of their lane."""
    found = _columns(_model(tmp_path / "two.weights.h5", {"small": _normal(0.1), "large": _normal(100)}))
    lines = draw(found).middle.split("M")[1:]
    heights = {
        one.label: float(line.split(" ")[1].split("h")[0]) for one, line in zip(found, lines, strict=True)
    }
    assert SCALE[0] <= heights["large"] < heights["small"] <= SCALE[1]


def test_findings_mark_their_column(tmp_path: Path) -> None:
    """A column is marked in the lane of each severity it has, and tinted by the worst alone."""
    model = _model(tmp_path / "two.weights.h5", {"dense": _normal(0.1), "dense_1": _normal(0.1)})
    name = model.tensors[0].name
    found = [Finding("X1", severity, name, "x") for severity in (Severity.ERROR, Severity.WARNING)]
    picture = draw(_columns(replace(model, findings=found)))
    assert [label for label, path in picture.marks.items() if path] == ["error", "warning"]
    assert [label for label, path in picture.sick.items() if path] == ["error"]
    assert picture.width == 2


def test_the_median_does_not_cover_its_bar(tmp_path: Path) -> None:
    """A layer of one value, and one far below what is drawn, still have a bar behind the median's line."""
    kernels = {"constant": np.full((64, 32), 0.3, np.float32), "tiny": _normal(1e-30)}
    found = _columns(_model(tmp_path / "flat.weights.h5", kernels))
    heights = [float(bar.split("v")[1].split("h")[0]) for bar in draw(found).bulk.split("M")[1:]]
    assert min(heights) >= 6
