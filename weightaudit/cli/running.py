"""Runs the command line: whatever happens, the exit code says the truth about it."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import traceback

import typer

from weightaudit.cli import application
from weightaudit.cli.output import say, settle_stdout
from weightaudit.cli.shells import ABOUT_SHELLS, INSTRUCTION, understood
from weightaudit.errors import WeightauditError
from weightaudit.report import ExitCode
from weightaudit.storage.termination import INTERRUPTED, Terminated, terminable

NAME = "weightaudit"

_UsageError = typer.BadParameter.__bases__[0]
"""What Typer raises for a wrong command line; it names only this subclass, and it may bring its own Click."""

NOT_READ = 141
"""Exit code where nobody read the help: 128 and the number of SIGPIPE."""


def collect_seldom() -> None:
    """Have Python look for cycles of objects less often, in a process that does nothing but audit.

    A large model is a million objects that all live to the end; by default, time and again all of
    them are searched: a third of the time that 100,000 small tensors take.
    """
    gc.set_threshold(500_000, 20, 20)


def run() -> int:
    """Run the command line and return its exit code.

    Raises:
        KeyboardInterrupt: The user interrupted it; what it had begun is cleaned up.
    """
    _reserve_streams()
    collect_seldom()
    # The end of the process frees everything; looking for cycles before it takes 20 ms.
    atexit.register(gc.freeze)
    # A name that the terminal's encoding lacks must not stop a report half-way.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with terminable(), understood(sys.argv[1:], os.environ):
            application(sys.argv[1:])(prog_name=NAME)
    except SystemExit as exit_:
        return int(exit_.code or 0) if _is_completing() else _exit_code(exit_)
    except Terminated as end:
        return end.exit_code
    except WeightauditError as error:
        say(_one_line(str(error)))
        _trace()
        return error.exit_code
    except OSError as error:
        say(_one_line(_failure(error)))
        _trace()
        settle_stdout()
    except Exception as error:  # noqa: BLE001 - an escaping exception would exit 1, which means findings
        say(_unexpected(error))
        _trace()
    return ExitCode.INCOMPLETE


def _reserve_streams() -> None:
    """Take the place of standard streams that whoever started the process has closed.

    Otherwise the next file to be opened, a model or the report, would be taken for one of them.
    What is written to a closed standard output fails, as on a full disk: the report was not delivered.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest number that is free, which is this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, io.TextIOWrapper(io.FileIO(number, "w", closefd=False), write_through=True))


def _is_completing() -> bool:
    """Say whether Typer talks to a shell about completion; it leaves in a way of its own then."""
    return not set(ABOUT_SHELLS).isdisjoint(sys.argv[1:2]) or INSTRUCTION in os.environ


def _exit_code(exit_: SystemExit) -> int:
    """Return the code of an exit that the command line asked for; 3 for one that anybody else did."""
    reason = exit_.__context__
    if isinstance(reason, typer.Exit):
        return reason.exit_code
    if isinstance(reason, typer.Abort):
        return INTERRUPTED
    if isinstance(reason, BrokenPipeError):
        return NOT_READ
    if isinstance(reason, _UsageError):
        return ExitCode.USAGE
    say("a rule ended the program before the audit was complete.")
    return ExitCode.INCOMPLETE


def _failure(error: OSError) -> str:
    """Say what the system refused, in its own words and without its number for them."""
    place = "" if error.filename is None else f"{error.filename}: "
    return f"{place}{error.strerror or error}."


def _unexpected(error: Exception) -> str:
    text = _one_line(f"{type(error).__name__}: {error}")
    return (
        f"this should not have happened ({text}); please report it, with the output "
        "that WEIGHTAUDIT_DEBUG=1 adds."
    )


def _trace() -> None:
    if os.environ.get("WEIGHTAUDIT_DEBUG") == "1":
        traceback.print_exc()


def _one_line(text: str) -> str:
    from weightaudit.render.escape import MESSAGE_LIMIT, printable

    return printable(text, MESSAGE_LIMIT)
