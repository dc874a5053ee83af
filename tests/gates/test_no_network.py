"""No telemetry, no network, nothing written elsewhere: the whole command line, watched by two guards.

Python's audit hooks (`guard/sitecustomize.py`) refuse sockets and programs in every interpreter of the run;
where strace is there, the kernel's account of the run is read too, which C code cannot get round.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.test_commands import tree
from tests.gates import session

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

CHANGING = (
    "openat creat mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat"
)
_OPENED_TO_WRITE = re.compile(
    r"^(?:open|openat|creat)\(.*O_(?:WRONLY|RDWR|CREAT).*\) = \d+<([^>]+)>", re.MULTILINE
)
_CHANGED = re.compile(r"^(?:mkdir|rmdir|unlink|rename|link|symlink)(?:at2?)?\((.*)\) += 0", re.MULTILINE)
_PLACE = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"')
_NETWORK = re.compile(r"^(socket|connect|bind|listen|accept4?|socketpair)\((.*)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What a guarded run left behind.

    Attributes:
        folder: The folder that is all its own: models in ``work``, and ``home`` and ``temporary``.
        code: Its exit code; 0 if every command ended as it should.
        errors: Its standard error.
        notes: What the audit hooks saw, one a line.
        calls: What strace saw of all its processes; None where there is no strace.
    """

    folder: Path
    code: int
    errors: str
    notes: list[str]
    calls: str | None

    def wrong(self) -> str:
        """Return what each command wrote that ended otherwise than it should."""
        return "".join(re.findall(r"^\$[^\n]*\n(?:[^$][^\n]*\n)*?WRONG[^\n]*\n", self.errors, re.MULTILINE))

    def refused(self) -> list[str]:
        """Return what was refused."""
        return [note for note in self.notes if note.startswith("refused ")]


def guarded(folder: Path, program: list[str], standard_input: Path) -> Run:
    """Run Python with a program, in the folder's ``work``, under both guards.

    Args:
        folder: Has ``work``, and gets everything else.
        program: Arguments of the interpreter.
        standard_input: What it finds there.
    """
    for name in ("home", "temporary", "calls"):
        (folder / name).mkdir()
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "WEIGHTAUDIT_"))
    }
    environment = inherited | {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "temporary"),
        "LOGNAME": "someone",  # otherwise the C library asks the system, on a socket if it uses a daemon
        "PYTHONPATH": os.pathsep.join(map(str, (HERE / "guard", ROOT, ROOT / "rules"))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WEIGHTAUDIT_GUARD": str(folder / "notes"),
    }
    with standard_input.open("rb") as given:
        done = subprocess.run(
            [*_tracer(folder / "calls" / "of"), sys.executable, *program],
            cwd=folder / "work",
            env=environment,
            stdin=given,
            capture_output=True,
            timeout=300,
            check=False,
        )
    calls = [file.read_text(errors="replace") for file in sorted((folder / "calls").iterdir())]
    notes = (folder / "notes").read_text().splitlines()
    return Run(folder, done.returncode, done.stderr.decode(), notes, "".join(calls) if calls else None)


def _tracer(log: Path) -> list[str]:
    """Return the beginning of a command under strace; nothing where it is not there, or not allowed."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-qq", "true"], capture_output=True, check=False).returncode:
        return []
    traced = ",".join(("%network", *(f"?{name}" for name in CHANGING.split())))
    return [strace, "-ff", "-y", "-qq", "--seccomp-bpf", f"--output={log}", f"--trace={traced}"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, fixtures_dir: Path) -> Run:
    """A run of every command."""
    folder = tmp_path_factory.mktemp("whole")
    session.furnish(folder / "work", fixtures_dir)
    return guarded(folder, [str(HERE / "session.py")], folder / "work" / "healthy.keras")


@pytest.fixture(scope="module")
def reaching(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of what must not pass: a connection, a question for an address, a program, a file elsewhere."""
    folder = tmp_path_factory.mktemp("reaching")
    (folder / "work").mkdir()
    (folder / "other").mkdir()
    return guarded(folder, [str(HERE / "reaching.py")], Path(os.devnull))


def kernel(run: Run) -> str:
    """Return what strace saw, and skip the test where it was not there."""
    if run.calls is None:
        pytest.skip("needs strace, and the right to trace a process")
    return run.calls


def network(calls: str) -> list[str]:
    """Return the calls that use a network, or a socket of another process: all but pairs within the run."""
    return [
        f"{name}({rest}"
        for name, rest in _NETWORK.findall(calls)
        if (name, rest[:7]) != ("socketpair", "AF_UNIX")
    ]


def written(run: Run) -> set[Path]:
    """Return every file and directory that a run opened for writing, made, renamed or removed."""
    calls = kernel(run)
    places = [("", name) for name in _OPENED_TO_WRITE.findall(calls)]
    for arguments in _CHANGED.findall(calls):
        places += _PLACE.findall(arguments)
    return {Path(os.path.normpath(run.folder / "work" / base / name)) for base, name in places}


def elsewhere(run: Run, *allowed: str) -> list[Path]:
    """Return what a run wrote outside some places in its folder."""
    ours = [run.folder / name for name in (*allowed, "work", "temporary", "notes", "calls")]
    homes = {Path(os.devnull), run.folder / "home" / ".cache"}
    return sorted(path for path in written(run) - homes if not any(map(path.is_relative_to, ours)))


def test_every_command_is_run() -> None:
    """The run has every command and subcommand that there is, so a new one cannot be forgotten."""
    ran = {" ".join(words) + " " for _, words in session.lines(session.COMMANDS + session.WITH_KEYS)}
    every = [
        words for words in tree() if words and not any(other.startswith(f"{words} ") for other in tree())
    ]
    assert [words for words in every if not any(line.startswith(f"{words} ") for line in ran)] == []


def test_every_command_ends_as_it_should(whole: Run) -> None:
    """Without any network each command has its usual exit code; libhdf5's process was among them."""
    assert whole.code == 0, whole.wrong() or whole.errors
    assert any("hdf5_lister.py" in note for note in whole.notes)


def test_no_command_reaches_out(whole: Run) -> None:
    """No process makes a socket but the pair to its own child, asks for an address, or starts a program."""
    assert whole.refused() == []


def test_the_kernel_saw_no_network(whole: Run) -> None:
    """Nor does compiled code: the kernel was asked for no socket, connection or address."""
    assert network(kernel(whole)) == []


def test_nothing_is_written_elsewhere(whole: Run) -> None:
    """Files are opened for writing, made and removed beside the models, in the cache, and in TMPDIR."""
    assert elsewhere(whole, "home/.cache/weightaudit") == []
    assert list((whole.folder / "temporary").iterdir()) == []
    assert {path.name for path in (whole.folder / "home").iterdir()} <= {".cache"}


def test_the_guards_see(reaching: Run) -> None:
    """Each way out is noted and refused, though the program swallows the errors."""
    seen = " ".join(reaching.refused())
    assert reaching.code == 0, reaching.errors
    assert all(
        event in seen for event in ("socket.__new__", "socket.getaddrinfo", "os.system", "subprocess.Popen")
    )


def test_the_kernel_sees(reaching: Run) -> None:
    """A socket that C code makes, and a file elsewhere, are in the kernel's account."""
    assert any("AF_INET" in call for call in network(kernel(reaching)))
    assert [path.name for path in elsewhere(reaching)] == ["made", "made"]


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_the_tensorflow_engine(tmp_path: Path, fixtures_dir: Path) -> None:
    """TensorFlow, where asked for, connects to nothing; what its own imports try is known by name."""
    session.furnish(tmp_path / "work", fixtures_dir)
    run = guarded(tmp_path, [str(HERE / "session.py"), "tensorflow"], tmp_path / "work" / "healthy.keras")
    assert run.code == 0, run.errors
    known = (session.ASKS_FOR_IPV6, session.LISTS_FONTS)
    assert [note for note in run.refused() if not note.startswith(known)] == []
    assert network(run.calls or "") == []


@pytest.mark.skipif(find_spec("model_signing") is None, reason="the extra that signs is not installed")
def test_signing(tmp_path: Path, fixtures_dir: Path) -> None:
    """A version is signed and verified offline: the package that knows services of keys asks none of them."""
    session.furnish(tmp_path / "work", fixtures_dir)
    session.make_keys(tmp_path / "work")
    run = guarded(tmp_path, [str(HERE / "session.py"), "keys"], tmp_path / "work" / "healthy.keras")
    assert run.code == 0, run.errors
    assert [note for note in run.refused() if not note.startswith(session.ASKS_FOR_IPV6)] == []
    assert network(run.calls or "") == []
