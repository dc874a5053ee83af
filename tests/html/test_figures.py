"""The numbers of a page are those that `check -f json` and `inspect -f json` tell of the same model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import CommandLine
from tests.html.pages import audited, data_of, measured
from weightaudit.html.depth import columns
from weightaudit.html.portraits import portraits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.html.chromium import Chromium

_MODELS = ("nan.keras", "overflow.keras", "int8.keras", "legacy.h5", "bfloat16.keras")
_FIGURES = ("rms", "mean", "std", "l2", "minimum", "maximum")
_AFTER = 11
"""Place of the first figure in a row of the page's data: the size, before `_FIGURES`."""
_CELLS = """[...document.querySelectorAll('.data tr.row')].map(row =>
    [...row.cells].map(cell => cell.textContent))"""


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line, in an empty directory."""
    return CommandLine(tmp_path)


@pytest.mark.parametrize("name", _MODELS)
def test_rows_have_the_numbers_of_json(name: str, cli: CommandLine, fixtures_dir: Path) -> None:
    """Figures agree to the four digits that a page has, counts and findings agree entirely."""
    path = str(fixtures_dir / name)
    done = cli("check", path, "--verbose", "-f", "json=report.json", "-f", "html=report.html")
    assert done.code in {0, 1}
    (model,) = json.loads((cli.cwd / "report.json").read_text("utf-8"))["models"]
    (shown,) = data_of((cli.cwd / "report.html").read_text("utf-8"))["models"]
    seen = {one["name"]: one for one in json.loads(cli("inspect", path, "-f", "json").out)["tensors"]}
    assert [row[0] for row in shown["tensors"]] == [one["name"] for one in model["tensors"]]
    for row, tensor in zip(shown["tensors"], model["tensors"], strict=True):
        told, looked = tensor["statistics"], seen[row[0]]["statistics"]
        names = {"minimum": "min", "maximum": "max"}
        figures = dict(zip(_FIGURES, row[_AFTER + 1 : _AFTER + 7], strict=True))
        for each, value in figures.items():
            assert value == pytest.approx(looked[each], rel=6e-4), (row[0], each)
            assert value == pytest.approx(told[names.get(each, each)], rel=6e-4), (row[0], each)
        assert row[_AFTER] == looked["size"]
        counts = [looked["zeros"], looked["nan"], looked["positive_inf"] + looked["negative_inf"]]
        assert row[_AFTER + 7 : _AFTER + 10] == counts
    found = [[one["code"], one["severity"], one["message"]] for one in model["findings"]]
    assert [one[1:] for one in shown["findings"]] == found


@pytest.mark.parametrize("name", ["nan.keras", "overflow.keras"])
def test_what_is_painted_are_these_numbers(
    browser: Chromium, pages: Path, cli: CommandLine, fixtures_dir: Path, name: str
) -> None:
    """Read back from the table as a person would, each number is the measured one to three digits."""
    browser.open(audited(pages / "figures.html", fixtures_dir / name))
    seen = json.loads(cli("inspect", str(fixtures_dir / name), "-f", "json").out)["tensors"]
    figures = {one["name"]: one["statistics"] for one in seen}
    rows: list[list[str]] = browser.run(_CELLS)
    assert len(rows) == len(figures)
    for row in rows:
        known = figures[row[0]]
        largest = max(abs(known["minimum"]), abs(known["maximum"]))
        assert _read(row[5]) == known["size"]
        assert _read(row[6]) == pytest.approx(known["rms"], rel=5.1e-3)
        assert _read(row[7]) == pytest.approx(largest, rel=5.1e-3)
        assert _read(row[8].removesuffix(" %")) == pytest.approx(
            100 * known["zeros"] / known["size"], abs=0.05
        )


@pytest.mark.parametrize("name", ["healthy.keras", "overflow.keras"])
def test_the_largest_weight_of_a_layer_is_exact(fixtures_dir: Path, name: str) -> None:
    """The picture of the model and its table tell the largest weight itself, not the end of its bin."""
    (model,) = measured(fixtures_dir / name).models
    seen = portraits(model)
    for column in columns(model, seen):
        if column.quantiles is not None:
            largest = max(
                seen[place].peak for place in column.tensors if model.tensors[place].role.value == "kernel"
            )
            assert 2 ** column.quantiles[-1] == pytest.approx(largest, rel=1e-12)
            assert list(column.quantiles) == sorted(column.quantiles)


def test_the_tiles_are_the_summary_of_json(cli: CommandLine, fixtures_dir: Path) -> None:
    """What stands at the head, also with findings of the policy itself, is the summary of ``json``."""
    (cli.cwd / "p.toml").write_text('[[suppressions]]\nrule = "WA402"\ntensors = ["no"]\nreason = "none"\n')
    names = [str(fixtures_dir / name) for name in ("nan.keras", "overflow.keras")]
    cli("check", *names, "--policy", "p.toml", "-f", "json=r.json", "-f", "html=r.html")
    summary: dict[str, Any] = json.loads((cli.cwd / "r.json").read_text("utf-8"))["summary"]
    page = (cli.cwd / "r.html").read_text("utf-8")
    for label, number in summary["findings"].items():
        assert f"{number}</dd>" in page.split(f"<dt>{label}s</dt>")[1][:160]
    assert f"<b>{summary['audited']}</b> of {summary['tensors']} tensors audited" in page


def test_a_page_does_not_depend_on_the_order_of_sets(cli: CommandLine, fixtures_dir: Path) -> None:
    """Two processes that hash differently write the same bytes."""
    names = [str(fixtures_dir / name) for name in ("overflow.keras", "nan.keras")]
    for seed in ("1", "2"):
        cli("check", *names, "-f", f"html={seed}.html", env={"PYTHONHASHSEED": seed})
    assert (cli.cwd / "1.html").read_bytes() == (cli.cwd / "2.html").read_bytes()


def _read(text: str) -> float:
    return float(text.replace(",", "").replace("\N{MINUS SIGN}", "-"))
