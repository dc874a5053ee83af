"""Signals that end a process: raised as an exception, held back for a moment, reported as shells do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scenarios import listing
from weightaudit.storage.termination import Terminated, terminable, uninterrupted

TWO = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """Signals do what they do in a process that was started from a terminal."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in TWO}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    """Send a signal to this process."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", TWO)
def test_a_signal_becomes_an_exception(number: signal.Signals) -> None:
    """The block is left by an exception that knows the exit code, and the handler is put back."""
    with pytest.raises(Terminated, match=number.name) as raised, terminable():
        send(number)
    assert raised.value.exit_code == 128 + number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_an_interrupt_stays_an_interrupt() -> None:
    """Ctrl-C is what it always was, and the handler is put back."""
    with pytest.raises(KeyboardInterrupt), terminable():
        send(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", [*TWO, signal.SIGINT])
def test_a_second_signal_does_not_disturb_the_cleaning(number: signal.Signals) -> None:
    """While the first one is being dealt with, others are ignored."""
    cleaned = []

    def work() -> None:
        with terminable():
            try:
                send(number)
            finally:
                send(signal.SIGTERM)
                send(signal.SIGINT)
                cleaned.append(number)

    with pytest.raises((Terminated, KeyboardInterrupt)):
        work()
    assert cleaned == [number]


@pytest.mark.parametrize("number", [*TWO, signal.SIGINT])
def test_a_signal_is_held_back(number: signal.Signals) -> None:
    """What must not be interrupted is finished first, blocks within blocks as well."""
    steps = []

    def work() -> None:
        with terminable(), uninterrupted():
            with uninterrupted():
                send(number)
                steps.append("inner")
            steps.append("outer")

    with pytest.raises((Terminated, KeyboardInterrupt)):
        work()
    assert steps == ["inner", "outer"]
    with uninterrupted():
        pass  # nothing is held any more


def test_an_ignored_signal_stays_ignored() -> None:
    """Under nohup, the end of the terminal does not end the work."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_have_nothing_to_do_with_signals() -> None:
    """In a thread that is not the main one, the block is an ordinary one."""
    handlers = []

    def run() -> None:
        with terminable():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]


def test_the_command_line_ends_as_shells_report_it(tmp_path: Path) -> None:
    """A command that is told to end cleans up and exits with 143."""
    script = (
        "import os, signal, sys, weightaudit.cli.running as program\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "from pathlib import Path\n"
        "from weightaudit.storage.staging import Staging\n"
        "from weightaudit.storage.termination import terminable\n"
        "def app(prog_name):\n"
        f"    with terminable(), Staging(Path({str(tmp_path / 'm')!r})):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "program.application = lambda arguments: app\n"
        "sys.exit(program.run())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, b"", b"")
    assert listing(tmp_path) == []
