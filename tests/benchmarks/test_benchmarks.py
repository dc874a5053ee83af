"""The benchmarks run, and what they write is what they say: no test here looks at a time."""

from __future__ import annotations

import subprocess
import sys
from math import prod
from pathlib import Path

import pytest

import weightaudit
from benchmarks.__main__ import main
from benchmarks.architecture import layers_of, weights_of
from benchmarks.formats import ALL
from benchmarks.models import write_model
from benchmarks.projections import PROJECTIONS, WORK
from benchmarks.statistics import WORK as STATISTICS_WORK
from benchmarks.table import BEGIN, END, markdown, write_results
from weightaudit.tensor import Role

CHECKOUT = Path(__file__).resolve().parents[2]
SIZE = 300_000
HDF5_KINDS = [kind for kind in ALL if kind != "checkpoint"]


def tables(text: str) -> list[list[list[str]]]:
    """Return the cells of all Markdown tables of a text, without the lines under their headers."""
    found: list[list[list[str]]] = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        if lines and lines[0].startswith("|"):
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            found.append([cells[0], *cells[2:]])
    return found


def test_run_prints_ratios(tmp_path: Path) -> None:
    """One run measures a Keras file and a checkpoint, prints a ratio for each, and leaves nothing behind."""
    arguments = "--size-mb 1 --memory-mb 1,2 --rounds 1 --startup-rounds 1 --formats keras,checkpoint --dir"
    command = [sys.executable, "-m", "benchmarks", *arguments.split(), str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"of disk in {tmp_path}" in done.stderr.splitlines()[0]
    speed, process, memory, startup = tables(done.stdout)
    for table in (speed, process, memory):
        assert [row[0] for row in table[1:]] == ["`.keras`", "TensorFlow checkpoint"]
    assert all(float(row[-1]) > 0 for row in (*speed[1:], *process[1:], *startup[1:]))
    assert memory[0][1:3] == ["1 MB model", "2 MB model"]
    assert all(float(row[1].removesuffix(" MB")) > 10 for row in memory[1:])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", HDF5_KINDS)
def test_written_models_are_healthy_and_whole(kind: str, tmp_path: Path) -> None:
    """A model of each HDF5-based format is audited to its last byte, known by role, without a finding."""
    layers = layers_of(SIZE)
    report = weightaudit.audit(write_model(kind, SIZE, tmp_path))
    (model,) = report.models
    assert model.failure is None
    assert not model.findings
    assert model.coverage.nbytes == sum(layer.nbytes for layer in layers)
    assert model.coverage.audited == sum(len(layer.shapes) for layer in layers)
    assert {info.role for info in model.tensors} >= {Role.KERNEL, Role.BIAS, Role.MOVING_VARIANCE}


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_keras_reads_the_values_that_were_written(kind: str, tmp_path: Path) -> None:
    """Keras itself loads the file and holds the weights that were drawn, so the comparison is of equals."""
    keras = pytest.importorskip("keras")
    model = keras.models.load_model(write_model(kind, SIZE, tmp_path), compile=False)
    drawn = [values for _, _, values in weights_of(layers_of(SIZE))]
    loaded = [variable.value.numpy() for variable in model.weights]
    assert len(loaded) == len(drawn)
    assert all((one == other).all() for one, other in zip(loaded, drawn, strict=True))


@pytest.mark.parametrize("nbytes", [10_000, 1_000_000, 100_000_000, 4_000_000_000])
def test_models_have_the_size_that_was_asked_for(nbytes: int) -> None:
    """A model is at least as large as asked for, and larger by at most its last layer."""
    layers = layers_of(nbytes)
    total = sum(layer.nbytes for layer in layers)
    assert total - layers[-1].nbytes < nbytes <= total
    assert len({layer.name for layer in layers}) == len(layers)


def test_large_models_have_kernels_of_realistic_sizes() -> None:
    """A model of 1 GB has kernels of 64 MiB, and most of its tensors are small."""
    sizes = [values for layer in layers_of(1_000_000_000) for values in layer.shapes.values()]
    assert (4096, 4096) in sizes
    assert sum(len(shape) == 1 for shape in sizes) > len(sizes) / 2


def test_results_replace_only_what_is_between_the_marks(tmp_path: Path) -> None:
    """Writing results twice leaves the text around them alone and keeps only the newer ones."""
    document = tmp_path / "README.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_results(document, "first")
    write_results(document, "second")
    assert document.read_text() == f"before\n{BEGIN}\n\nsecond\n\n{END}\nafter\n"


def test_document_without_marks_is_refused(tmp_path: Path) -> None:
    """A document without both marks raises an error and keeps its text."""
    document = tmp_path / "README.md"
    document.write_text(f"text\n{BEGIN}\n")
    with pytest.raises(ValueError, match="lacks the comments"):
        write_results(document, "results")
    assert document.read_text() == f"text\n{BEGIN}\n"


def test_engines_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """Every projection is timed with numpy and with TensorFlow, and its ratios are those of the times."""
    pytest.importorskip("tensorflow")
    assert main(["--projections", "--quick"]) == 0
    (table,) = tables(capsys.readouterr().out)
    assert [row[1] for row in table[1:]] == [f"`{name}`" for name in PROJECTIONS]
    for row in table[1:]:
        own, *others = (float(cell) for cell in row[2:6])
        ratios = [float(cell) for cell in row[6:]]
        for other, ratio in zip(others, ratios, strict=True):
            # Times are printed in thousandths of a second.
            low, high = (own - 5e-4) / (other + 5e-4), (own + 5e-4) / max(other - 5e-4, 1e-9)
            assert low - 0.01 <= ratio <= high + 0.01


def test_engines_of_statistics_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """Plain statistics and spectral norms are timed with both engines, the latter beside an SVD."""
    pytest.importorskip("tensorflow")
    assert main(["--statistics", "--quick"]) == 0
    plain, spectral = tables(capsys.readouterr().out)
    assert [row[0] for row in plain[1:]] == ["8 of 16 x 16"]
    assert [row[0] for row in spectral[1:]] == ["8 of 16 x 16"]
    for table, places in ((plain, ((2, 4, -1),)), (spectral, ((1, 2, 5), (2, 4, 7)))):
        for one, other, place in places:
            times = float(table[1][one]), float(table[1][other])
            # Times are printed in thousandths of a second.
            low, high = (times[0] - 5e-4) / (times[1] + 5e-4), (times[0] + 5e-4) / max(times[1] - 5e-4, 1e-9)
            assert low - 0.01 <= float(table[1][place]) <= high + 0.01


def test_work_is_that_of_its_name() -> None:
    """The mixture has the kernels of ResNet50: 53 convolutions and a dense layer, 25.5 million weights."""
    shapes = WORK["resnet"]
    assert len(shapes) == 54
    assert sum(prod(shape) for shape in shapes) == 25_502_912
    assert len(STATISTICS_WORK["many"].shapes) == 20_000
    assert max(map(prod, STATISTICS_WORK["many"].shapes)) < 2000
    assert STATISTICS_WORK["one"].nbytes == 1 << 28


def test_table_is_aligned() -> None:
    """A table has columns of one width, the first to the left and the others to the right."""
    assert markdown(("a", "b"), [("long", "1")]).splitlines() == [
        "| a    |  b |",
        "| ---- | -: |",
        "| long |  1 |",
    ]


def test_impossible_requests_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there and a model larger than the disk are refused before anything is written."""
    assert main(["--dir", str(tmp_path / "absent")]) == 2
    assert "is not a directory" in capsys.readouterr().err
    assert main(["--dir", str(tmp_path), "--size-mb", str(10**9)]) == 2
    assert "Choose a place with more room" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
