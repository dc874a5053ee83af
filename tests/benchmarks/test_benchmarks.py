"""The benchmarks run, and what they write is what they say: no test here looks at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from math import prod
from pathlib import Path
from xml.etree import ElementTree as ET

import h5py
import numpy as np
import pytest

import weightaudit
from benchmarks import architecture
from benchmarks.__main__ import main
from benchmarks.architecture import layers_of, pieces_of, weights_of, with_giant
from benchmarks.formats import ALL, DTYPES, MANY
from benchmarks.many import write_many
from benchmarks.measure import Goal, Usual
from benchmarks.models import write_model
from benchmarks.others import Other, Tool, measure_other
from benchmarks.plot import draw_memory, draw_speed
from benchmarks.projections import PROJECTIONS, WORK
from benchmarks.references import inflating, reading
from benchmarks.results import Peak, Results, setting
from benchmarks.statistics import WORK as STATISTICS_WORK
from benchmarks.table import RESULTS, goal_table, markdown, report, write_results
from weightaudit.tensor import Role

CHECKOUT = Path(__file__).resolve().parents[2]
SIZE = 300_000
HDF5_KINDS = [kind for kind in ALL if kind not in {"checkpoint", "saved-model"}]
BEGIN, END = RESULTS


def tables(text: str) -> list[list[list[str]]]:
    """Return the cells of all Markdown tables of a text, without the lines under their headers."""
    found: list[list[list[str]]] = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        if lines and lines[0].startswith("|"):
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            found.append([cells[0], *cells[2:]])
    return found


def some_results() -> Results:
    """Return results of every kind, with figures that were made up."""
    results = Results(setting())
    detail = "600 / 500 ms"
    results.goals.append(Goal("audit / `pread`", 1.5, "", 1.25, 1.5, detail, "reading", "`.h5`, float32"))
    results.goals.append(Goal("small tensors", 30, "µs", 42.0, 41.0, "4.20 s"))
    results.peaks.extend([Peak("`.h5`", 400, 45_000_000), Peak("`.h5`", 4000, 47_000_000)])
    results.usual.append(Usual("`.h5`", 400, 8.0, 12.0, 2_000_000_000, 0.1, 0.4, 45_000_000, 30.0))
    results.others.append(Other("scan & look 1.0", "ResNet50", "names", 5.0, 700_000_000, 0.4))
    results.others.append(Other("absent", "ResNet50", "names", failure="could not be installed"))
    return results


def run_benchmarks(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the benchmarks on tiny models, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks", "--rounds", "1", *arguments.split(), "--dir", str(folder)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def test_run_prints_goals(tmp_path: Path) -> None:
    """One run compares models of all types, and packed ones, with their bounds, and leaves nothing behind."""
    chosen = "--size-mb 8 --memory-mb 1 --formats keras,keras-deflated --only reading,half,packed,memory"
    done = run_benchmarks(chosen, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"of disk in {tmp_path}" in done.stderr.splitlines()[0]
    goals, memory = tables(done.stdout)
    begins = [" ".join(row[0].split(" ")[:3]) for row in goals[1:]]
    assert begins[0] == "8 MB float32"
    assert begins[2:5] == ["1 MB float16", "1 MB bfloat16", "1 MB `.keras`,"]
    assert goals[2][0].startswith("second audit")
    assert all(float(row[2].split(" ")[0]) > 0 and row[4] in {"yes", "no"} for row in goals[1:])
    assert memory[0][:2] == ["format", "1 MB model"]
    assert len(memory[0]) == 3
    assert all(float(cell.removesuffix(" MB")) > 10 for cell in memory[1][1:])
    assert not list(tmp_path.iterdir())


def test_run_compares_with_the_usual_way(tmp_path: Path) -> None:
    """A checkpoint is looked at by TensorFlow and numpy too, and both processes are compared."""
    pytest.importorskip("tensorflow")
    done = run_benchmarks("--size-mb 8 --formats checkpoint --only usual", tmp_path)
    assert done.returncode == 0, done.stderr
    usual = tables(done.stdout)[1]
    assert [row[0] for row in usual[1:]] == ["TensorFlow checkpoint"]
    assert float(usual[1][6]) > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", HDF5_KINDS)
def test_written_models_are_healthy_and_whole(kind: str, dtype: str, tmp_path: Path) -> None:
    """A model of each HDF5-based format and type is audited to its last byte, by role, without a fault.

    That all of it is in 16 bits, statistics too, is noted (WA215).
    """
    report = weightaudit.audit(write_model(kind, SIZE, tmp_path, dtype))
    (model,) = report.models
    width = 4 if dtype == "float32" else 2
    layers = layers_of(SIZE * 4 // width)
    assert model.failure is None
    assert {finding.code for finding in model.findings} == ({"WA215"} if width == 2 else set())
    assert {info.dtype for info in model.tensors} == {dtype}
    assert model.coverage.nbytes == sum(layer.nbytes for layer in layers) * width // 4
    assert model.coverage.audited == sum(len(layer.shapes) for layer in layers)
    assert {info.role for info in model.tensors} >= {Role.KERNEL, Role.BIAS, Role.MOVING_VARIANCE}


@pytest.mark.parametrize("kind", MANY)
def test_models_of_many_tensors_are_whole(kind: str, tmp_path: Path) -> None:
    """A model of many small tensors has as many as were asked for, and they are what they seem."""
    if kind != "many-h5":
        pytest.importorskip("tensorflow")
    (model,) = weightaudit.audit(write_many(kind, 10, tmp_path)).models
    assert not model.failure
    assert not model.findings
    assert model.coverage.audited == 10
    assert {info.role for info in model.tensors} == {Role.KERNEL, Role.BIAS}


def test_the_small_model_has_100_kilobytes(tmp_path: Path) -> None:
    """The model whose check is compared with an import takes about 100 KB on the disk."""
    path = write_model("small", 0, tmp_path)
    assert 90_000 < path.stat().st_size < 110_000
    assert weightaudit.audit(path).exit_code == 0


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_keras_reads_the_values_that_were_written(kind: str, tmp_path: Path) -> None:
    """Keras itself loads the file and holds the weights that were drawn, so the comparison is of equals."""
    keras = pytest.importorskip("keras")
    model = keras.models.load_model(write_model(kind, SIZE, tmp_path), compile=False)
    drawn = [values for _, _, values in weights_of(layers_of(SIZE))]
    loaded = [variable.value.numpy() for variable in model.weights]
    assert len(loaded) == len(drawn)
    assert all((one == other).all() for one, other in zip(loaded, drawn, strict=True))


def test_pieces_are_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are drawn in pieces are those that are drawn at once, whatever the size of a piece."""
    layers = layers_of(SIZE)
    whole = {(layer.name, name): values for layer, name, values in weights_of(layers)}
    monkeypatch.setattr(architecture, "PIECE_ELEMENTS", 100)
    seen = {key: np.full_like(values, np.nan) for key, values in whole.items()}
    for layer, name, first, rows in pieces_of(layers):
        seen[layer.name, name][first : first + len(rows)] = rows
    assert all((seen[key] == values).all() for key, values in whole.items())


def test_files_are_read_once(tmp_path: Path) -> None:
    """What an audit is compared with reads every byte of all files of a model."""
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "data").write_bytes(bytes(3_000_001))
    (tmp_path / "saved_model.pb").write_bytes(bytes(5))
    reference = reading(tmp_path)
    assert reference.work() == reference.nbytes == 3_000_006


def test_chunks_and_members_are_inflated_once(tmp_path: Path) -> None:
    """What an audit of packed files is compared with inflates every chunk and every member whole."""
    archive = write_model("keras-deflated", 3_000_000, tmp_path)
    with zipfile.ZipFile(archive) as file:
        assert inflating(archive).work() == sum(member.file_size for member in file.infolist())
    chunked = write_model("h5-gzip", 3_000_000, tmp_path)
    reference, sizes = inflating(chunked), []
    with h5py.File(chunked) as file:
        file.visititems(lambda _, item: sizes.append(chunk_bytes(item)))
    assert reference.work() == sum(sizes)
    assert reference.nbytes < chunked.stat().st_size


def chunk_bytes(item: h5py.Dataset | h5py.Group) -> int:
    """Return how many bytes the chunks of a dataset hold; 0 for a group."""
    if not isinstance(item, h5py.Dataset):
        return 0
    return int(item.id.get_num_chunks() * prod(item.chunks) * item.dtype.itemsize)


@pytest.mark.parametrize("nbytes", [10_000, 1_000_000, 100_000_000, 4_000_000_000])
def test_models_have_the_size_that_was_asked_for(nbytes: int) -> None:
    """A model is at least as large as asked for, and larger by at most its last layer."""
    layers = layers_of(nbytes)
    total = sum(layer.nbytes for layer in layers)
    assert total - layers[-1].nbytes < nbytes <= total
    assert len({layer.name for layer in layers}) == len(layers)


def test_large_models_have_kernels_of_realistic_sizes() -> None:
    """A model of 1 GB has kernels of 64 MiB, and most of its tensors are small; a giant has 4 GiB."""
    sizes = [values for layer in layers_of(1_000_000_000) for values in layer.shapes.values()]
    assert (4096, 4096) in sizes
    assert sum(len(shape) == 1 for shape in sizes) > len(sizes) / 2
    assert with_giant(layers_of(SIZE))[0].nbytes == 4 << 30


def test_goals_are_judged() -> None:
    """A measurement beside its goal says whether it was met, with its unit, and by processor time."""
    met, missed = (row[1:5] for row in tables(goal_table(some_results().goals))[0][1:])
    assert met == ["1.5", "1.25", "1.50", "yes"]
    assert missed == ["30 µs", "42 µs", "41 µs", "no"]


def test_report_has_a_table_for_each_kind_of_result() -> None:
    """Goals, usual ways, memory and other tools have a table each, and a tool that failed says why."""
    goals, usual, memory, others = tables(report(some_results()))
    assert [len(table) - 1 for table in (goals, usual, memory, others)] == [2, 1, 1, 2]
    assert memory[1] == ["`.h5`", "45 MB", "47 MB"]
    assert others[1][-1] == "12"
    assert others[2][2] == "failed here: could not be installed"
    assert not tables(report(Results(setting())))


def test_pictures_show_the_numbers() -> None:
    """Both pictures are well-formed, have a title and a description, show the numbers, and do not vary."""
    pytest.importorskip("matplotlib")
    results = json.loads(some_results().json())
    assert [goal["is_met"] for goal in results["goals"]] == [True, False]
    for draw, told in ((draw_speed, ".h5, float32: 1.25 (goal 1.5)"), (draw_memory, ".h5, 400 MB: 45 MB")):
        text = draw(results)
        root = ET.fromstring(text)  # noqa: S314 - it was written here
        title, description = (root.find(f"{{http://www.w3.org/2000/svg}}{tag}") for tag in ("title", "desc"))
        assert title is not None
        assert title.text
        assert description is not None
        assert told in (description.text or "")
        assert draw(results) == text
    assert "scan &amp; look 1.0" in draw_speed(results)


def test_other_tools_are_measured_or_say_why_not() -> None:
    """A tool that runs has a time and a version; one that is not there has a reason instead."""
    programs, model = Path(sys.executable).parent, CHECKOUT / "fixtures" / "models" / "healthy.keras"
    version = ("-c", "import weightaudit")
    sound = Tool("weightaudit", "keras", ("-c", "pass"), "nothing")
    done = measure_other(sound, programs, model, "", version)
    assert done.wall > 0
    assert done.check > 0
    assert done.tool.startswith("weightaudit 0")
    absent = measure_other(Tool("no-such-package", "keras", ("scan",), ""), programs, model, "", version)
    assert absent.failure == "could not be installed"
    broken = Tool("weightaudit", "keras", ("-c", "raise SystemExit('it cannot')"), "")
    assert "it cannot" in measure_other(broken, programs, model, "", version).failure


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
