"""The contract of `weightaudit inspect`: exit codes, pipes, terminals, and models however they are named."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import jsonschema
import pytest

from tests.cli.conftest import environment
from tests.cli.sentences import assert_one_sentence
from tests.hostile.documents import CASES
from weightaudit.inspection.choosing import tensor_names
from weightaudit.render.inspect_json import schema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def on_terminal(folder: Path, width: int, *arguments: str, **env: str) -> tuple[int, str]:
    """Run the command at a terminal of a width; return its exit code and what the terminal shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    changed = environment({"TERM": "xterm-256color", **env})
    for name in {"NO_COLOR", "COLUMNS"} - env.keys():
        changed.pop(name, None)
    command = [sys.executable, "-m", "weightaudit", "inspect", *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=changed, cwd=folder) as process:
        os.close(theirs)
        parts: list[bytes] = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:  # on Linux, the end of what a terminal shows
            pass
        _, error = process.communicate(timeout=120)
    os.close(ours)
    assert error == b""
    return process.returncode, b"".join(parts).decode().replace("\r\n", "\n")


def test_a_pipe_gets_one_line_per_tensor(run: CommandLine) -> None:
    """Each tensor is one line of facts, the last line adds them up, and a second run says the same."""
    result = run("inspect", "healthy.keras")
    assert (result.code, result.err) == (0, "")
    *lines, last = result.out.splitlines()
    assert len(lines) == 28
    assert lines[0].startswith("stem/kernel: role=kernel evidence=config layer_class=Conv2D shape=3x3x1x4 ")
    assert last == "total: tensors=28 weights=299 numbers=883 bytes=3536 nonfinite=0 not_read=0"
    assert run("inspect", "healthy.keras").out == result.out


def test_nothing_is_judged(run: CommandLine) -> None:
    """A model with NaN is shown as it is, with exit code 0."""
    result = run("inspect", "nan.keras")
    assert result.code == 0
    assert "dense/hidden/kernel: " in result.out
    assert " nan=1 " in result.out


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["stem*bias", "head/*"], ["stem/bias", "head/kernel", "head/bias"]),
        (["stem_norm", "--role", "norm_scale,norm_offset"], ["stem_norm/gamma", "stem_norm/beta"]),
        (["--layer-class", "Conv*", "--role", "kernel"], ["stem/kernel", "body/kernel"]),
        (["--role", "kernel", "--sort", "rms"], ["head/kernel", "stem/kernel", "body/kernel"]),
        (["--role", "bias", "--sort", "name"], ["body/bias", "head/bias", "stem/bias"]),
    ],
)
def test_tensors_are_chosen_and_sorted(run: CommandLine, arguments: list[str], names: list[str]) -> None:
    """Layers, globs, roles and classes choose tensors, and --sort orders them."""
    result = run("inspect", "healthy.keras", *arguments)
    assert result.code == 0, result
    assert [line.partition(":")[0] for line in result.out.splitlines()][:-1] == names


def test_weights_alone(run: CommandLine) -> None:
    """--weights-only leaves out what inference never reads."""
    lines = run("inspect", "healthy.keras", "--weights-only").out.splitlines()
    assert len(lines) == 11
    assert not any(line.startswith("optimizer") for line in lines)


def test_one_tensor_in_depth(run: CommandLine) -> None:
    """A tensor that is named is told fact by fact, with the rules that judge it and what they find."""
    result = run("inspect", "nan.keras", "dense/hidden/kernel")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert all(line.startswith("dense/hidden/kernel: ") for line in lines)
    told = dict(line.split(": ", 2)[1:] for line in lines)
    assert told["is"] == "kernel of dense/hidden, a Dense, as the model's configuration says"
    assert told["not finite"] == "1 NaN, the first at (5, 2)"
    assert told["fans"] == "64 in, 8 out"
    assert "WA101" in told["judged by"]
    assert told["error WA101 nan-values"].startswith("1 of 512 values is NaN")


def test_several_tensors_in_depth(run: CommandLine) -> None:
    """Every tensor that is named by its own name is shown in depth."""
    result = run("inspect", "healthy.keras", "stem/kernel", "head/bias")
    assert {line.partition(":")[0] for line in result.out.splitlines()} == {"stem/kernel", "head/bias"}
    assert "head/bias: judged by: " in result.out


def test_layers_as_a_tree(run: CommandLine) -> None:
    """--tree tells what each layer holds, and what training alone needs apart."""
    lines = run("inspect", "nan.keras", "--tree").out.splitlines()
    assert lines[0].startswith("dense: layer_class=- tensors=4 numbers=547 bytes=2188 rms=0.18")
    assert lines[0].endswith(" nonfinite=1")
    assert lines[1].startswith("dense/hidden: layer_class=Dense tensors=2 numbers=520 ")
    assert any(line.startswith("(optimizer_slot): ") for line in lines)


@pytest.mark.parametrize("arguments", [[], ["--tree"], ["dense/hidden/kernel", "dense/head/bias"]])
def test_json_follows_its_schema(run: CommandLine, arguments: list[str]) -> None:
    """Tables, trees and depth have one schema."""
    result = run("inspect", "nan.keras", *arguments, "--format", "json")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    jsonschema.validate(document, schema())
    assert ("layers" in document) is (arguments == ["--tree"])
    assert document["total"]["nonfinite"] == 1


def test_formats_go_to_files(run: CommandLine, folder: Path) -> None:
    """As with check, several formats come of one inspection."""
    result = run("inspect", "nan.keras", "-f", "text", "-f", "json=out.json")
    assert result.out.endswith("not_read=0\n")
    assert json.loads((folder / "out.json").read_text())["total"]["tensors"] == 14


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["healthy.keras", "stem/kernal"], "No tensor or layer is called 'stem/kernal' (did you mean"),
        (["nan.keras", "head/kernel"], "(did you mean 'dense/head/kernel'?)"),
        (["healthy.keras", "zzz*"], "No tensor or layer is called 'zzz*'; without a name"),
        (["healthy.keras", "--role", "kernle"], "kernle"),
        (["healthy.keras", "--role", "seed"], "No tensor has the role seed"),
        (["healthy.keras", "stem", "--layer-class", "LSTM"], "is called stem and belongs to a LSTM"),
        (["healthy.keras", "optimizer*", "--weights-only"], "is called optimizer* and is read by inference"),
        (["healthy.keras", ""], "No tensor or layer is called ''"),
        (["healthy.keras", "--tree", "--sort", "rms"], "leave out --sort"),
        (["healthy.keras", "--format", "sarif"], "'sarif' is unknown"),
        (["healthy.keras", "-o", "healthy.keras"], "belongs to one of the models"),
        (["absent.keras"], "absent.keras does not exist"),
        (["."], "models; name one of them"),
    ],
)
def test_2_wrong_usage(run: CommandLine, arguments: list[str], words: str) -> None:
    """What cannot be meant is told in a sentence, with what was probably meant."""
    assert_one_sentence(run("inspect", *arguments), 2, words)


def test_3_no_model(run: CommandLine) -> None:
    """A file that is no model cannot be shown."""
    assert_one_sentence(run("inspect", "notamodel.h5"), 3, "notamodel.h5")


def test_3_what_cannot_be_read(run: CommandLine, folder: Path) -> None:
    """Tensors whose bytes are gone are told with the reason, and the exit code says so."""
    (data,) = (folder / "checkpoint").glob("*.data-*")
    data.unlink()
    result = run("inspect", "checkpoint/ckpt-1")
    assert result.code == 3, result
    name = result.out.partition(": ")[0]
    assert " not read: ckpt-1.data-00000-of-00001 is missing." in result.out.splitlines()[0]
    deeper = run("inspect", "checkpoint/ckpt-1", name)
    assert deeper.code == 3, deeper
    assert f"{name}: not read: ckpt-1.data-00000-of-00001 is missing.\n" in deeper.out


def test_damage_is_told(run: CommandLine, folder: Path) -> None:
    """What does not match its checksum is shown with a word about it, and so is what a checkpoint lacks."""
    path = folder / "healthy.keras"
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"\x89HDF") + 2048] ^= 1
    path.write_bytes(raw)
    shown = run("inspect", path.name).out
    assert "damaged: healthy.keras: model.weights.h5 does not match its CRC32" in shown
    (data,) = (folder / "checkpoint").glob("*.data-*")
    data.unlink()
    damaged = [line for line in run("inspect", "checkpoint").out.splitlines() if line.startswith("damaged")]
    assert len(damaged) == 1
    assert damaged[0].startswith(
        "damaged: ckpt-1.data-00000-of-00001 is missing: 15 tensors of the checkpoint"
    )


def test_what_reaches_outside_is_no_damage(run: CommandLine, folder: Path) -> None:
    """Code in a configuration is a remark where nothing is judged, and none on a comparison."""
    code = next(case for case in CASES if "a layer of code" in case.name).make(folder)
    shown = run("inspect", code.name).out
    assert "info: The layer Lambda holds Python code, which runs when the model is loaded or called." in shown
    assert "damaged" not in shown
    assert "Python" not in run("diff", code.name, code.name).out


def test_versions_are_models(run: CommandLine) -> None:
    """A version is named by its address."""
    run("commit", "nan.keras", "-m", "kept")
    result = run("inspect", "nan.keras@1", "dense/hidden/kernel")
    assert (result.code, result.err) == (0, "")
    assert "1 NaN" in result.out


def test_engines_agree(run: CommandLine) -> None:
    """TensorFlow's engine shows the same tensor, histogram and channels included."""
    pytest.importorskip("tensorflow")
    one, other = (
        json.loads(run("inspect", "int8.keras", "dense/hidden/kernel", "-f", "json", "--engine", name).out)
        for name in ("numpy", "tensorflow")
    )
    (mine,), (theirs,) = one["tensors"], other["tensors"]
    assert mine["histogram"] == theirs["histogram"]
    assert mine["channels"] == pytest.approx(theirs["channels"], rel=1e-12)


def test_names_for_completion(folder: Path) -> None:
    """The names of tensors come in the model's order."""
    names = tensor_names(str(folder / "healthy.keras"))
    assert names[:2] == ["stem/kernel", "stem/bias"]
    assert len(names) == 28


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("arguments", [[], ["--tree"], ["dense/hidden/kernel"]])
def test_terminals_of_any_width(folder: Path, width: int, arguments: list[str]) -> None:
    """At a terminal bad values are red, there are histograms or bars, and no line is wider than it."""
    code, shown = on_terminal(folder, width, "nan.keras", *arguments)
    assert code == 0
    assert "\x1b[1;31m" in shown
    assert set(shown) & set("▁▂▃▄▅▆▇█") or (width, arguments) == (40, ["--tree"])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert all(len(line) <= width for line in plain.splitlines()), plain


def test_colours_can_be_left_out(folder: Path) -> None:
    """NO_COLOR, --no-color and a dumb terminal get no colours, and the same text."""
    _, usual = on_terminal(folder, 80, "nan.keras")
    for arguments, env in (([], {"NO_COLOR": "1"}), (["--no-color"], {}), ([], {"TERM": "dumb"})):
        code, shown = on_terminal(folder, 80, "nan.keras", *arguments, **env)
        assert code == 0
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]", shown)
        assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == re.sub(r"\x1b\[[0-9;]*m", "", usual)


def test_ascii_terminals(folder: Path) -> None:
    """Where the encoding has no blocks, histograms are of ASCII."""
    for arguments in ([], ["--tree"], ["dense/hidden/kernel"]):
        code, shown = on_terminal(folder, 80, "nan.keras", *arguments, PYTHONIOENCODING="ascii")
        assert code == 0
        assert shown.isascii()
        assert "\\u" not in shown
