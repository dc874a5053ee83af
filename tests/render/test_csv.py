"""CSV: one row for each tensor, that programs read and spreadsheets do not run."""

from __future__ import annotations

import csv
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.render.conftest import HOSTILE, measured
from weightaudit import audit
from weightaudit.portrait import Detail
from weightaudit.render.csv import COLUMNS, cell, render
from weightaudit.render.escape import printable
from weightaudit.render.formats import ReportFormat
from weightaudit.render.view import View
from weightaudit.report import Coverage, ModelReport, Report
from weightaudit.tensor import TensorInfo

if TYPE_CHECKING:
    from pathlib import Path


def parsed(report: Report, view: View) -> list[dict[str, str]]:
    """Render a report, read it strictly, and return its rows."""
    text = render(report, view)
    assert text.endswith("\r\n")
    table = csv.DictReader(StringIO(text, newline=""), strict=True)
    rows = list(table)
    assert tuple(table.fieldnames or ()) == COLUMNS
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


def test_every_tensor_has_its_figures(report: Report, view: View) -> None:
    """What was measured is there as numbers, NaN and Inf apart, beside what was found."""
    kernel, label, bias, failed = parsed(report, view)
    assert (kernel["model"], kernel["tensor"], kernel["shape"]) == ("sick.keras", "head/kernel", "2x3")
    assert (kernel["minimum"], kernel["maximum"], kernel["peak"]) == ("-2.0", "1.0", "2.0")
    assert float(kernel["rms"]) == np.sqrt((1 + 4 + 0.25) / 4)
    assert (kernel["zeros"], kernel["nan"], kernel["positive_inf"]) == ("1", "1", "1")
    assert (kernel["errors"], kernel["warnings"], kernel["notes"]) == ("1", "0", "1")
    assert (label["status"], label["rms"]) == ("without numbers", "")
    assert (bias["status"], bias["tensor"]) == ("skipped", "body/bias")
    assert (failed["status"], failed["reason"]) == ("failed", "notes.txt is not a saved model.")


def test_the_format_asks_for_its_figures(fixtures_dir: Path, view: View) -> None:
    """Every tensor of a real model has every figure, because the format asks for them to be measured."""
    assert ReportFormat.CSV.detail is Detail.FIGURES
    report = audit(fixtures_dir / "healthy.keras", detail=ReportFormat.CSV.detail)
    rows = parsed(report, view)
    assert len(rows) == 28
    assert all(row["rms"] and row["sparsity"] and row["nan"] == "0" for row in rows)


def test_what_was_not_measured_is_empty(fixtures_dir: Path, view: View) -> None:
    """A report of the library that was asked for the verdict alone still gives a table."""
    report = audit(fixtures_dir / "healthy.keras")
    # Zeros are counted in kernels, for a rule, and in nothing else.
    assert {row["zeros"] for row in parsed(report, view) if row["role"] == "bias"} == {""}


def test_no_cell_is_a_formula(hostile: Report, view: View) -> None:
    """No text begins as a formula does, and every name is there whole."""
    rows = [row for row in parsed(hostile, view) if row["key"]]
    assert [row["tensor"].removeprefix("'") for row in rows] == [printable(text, 20_000) for text in HOSTILE]
    for row in rows:
        for name in ("model", "container", "tensor", "key", "layer", "layer_class", "dtype", "reason"):
            assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell("-1+2") == "'-1+2"
    assert cell("\uff1dA1") == "'\uff1dA1"


@pytest.mark.parametrize("quotes", ["", '"', '""', "'"])
def test_no_cell_becomes_a_formula_where_semicolons_separate(quotes: str) -> None:
    """What stands behind a semicolon is told apart, too, and an ordinary semicolon is left alone."""
    assert cell(f"a;{quotes}=1+1") == f"a;{quotes}'=1+1"
    assert cell(f"=a;{quotes}@b;c-d; -e") == f"'=a;{quotes}'@b;c-d; -e"


def test_numbers_stay_numbers(view: View) -> None:
    """A negative number is no text, and a text that looks like one is."""
    info = TensorInfo(name="-1", key="k", shape=(1,), dtype="float32")
    stats = {"-1": measured(info, np.array([-1], np.float32))}
    model = ModelReport("m.h5", "Keras HDF5", coverage=Coverage(1, 1, 0, 4), tensors=(info,), stats=stats)
    (row,) = parsed(Report((model,)), view)
    assert (row["tensor"], row["minimum"]) == ("'-1", "-1.0")


def test_suppressed_findings_are_counted_apart(settled: Report, view: View) -> None:
    """A suppressed finding is in its own column, and in no other."""
    infos = tuple(
        TensorInfo(name=name, key=name, shape=(), dtype="float32") for name in ("a/kernel", "b/kernel")
    )
    rows = parsed(replace(settled, models=[replace(settled.models[0], tensors=infos)]), view)
    assert [(row["errors"], row["warnings"], row["suppressed"]) for row in rows] == [
        ("0", "0", "1"),
        ("0", "1", "0"),
    ]


def test_a_report_without_models_has_a_heading(view: View) -> None:
    """Only the line of headings is left."""
    assert parsed(Report(()), view) == []
