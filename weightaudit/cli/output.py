"""Where a command's output goes: standard output, a file that appears whole, standard error."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.errors import UsageError, WeightauditError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.discover import Target


def terminal_width() -> int | None:
    """Return the columns of the terminal that standard output is, None if it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def write_stdout(text: str) -> None:
    """Write to standard output, and see that it arrives.

    A reader that stops reading, as ``head`` does, is no error: the exit code still tells the verdict.

    Raises:
        WeightauditError: It cannot be written, for instance because a disk is full.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
    except OSError as error:
        silence_stdout()
        raise WeightauditError(f"The output cannot be written: {error.strerror or error}.") from error


def silence_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not stumble at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def settle_stdout() -> None:
    """Write what is still buffered, or let it go nowhere where the system refuses it."""
    try:
        sys.stdout.flush()
    except OSError:
        silence_stdout()


def say(sentence: str) -> None:
    """Write one line to standard error."""
    write_stderr(f"weightaudit: {sentence}\n")


def write_stderr(text: str) -> None:
    """Write to standard error; nothing depends on whether it arrives."""
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def destination(output: str | None) -> Path | None:
    """Return the file that ``--output`` names, None for standard output.

    Raises:
        UsageError: It is empty, as a variable is that was not set.
    """
    if output is None or output == "-":
        return None
    if not output:
        raise UsageError("--output is empty; name a file, or - for standard output.")
    return Path(output)


def check_output(
    path: Path,
    targets: Sequence[Target],
    read: Sequence[str | os.PathLike[str]] = (),
    *,
    asked: str | None = None,
) -> None:
    """Refuse, before the work begins, a place where the report could not or must not be written.

    Args:
        path: The place.
        targets: The models.
        read: What else the command reads, such as a policy or a reference.
        asked: The option that names it, for messages; ``--output PATH`` by default.

    Raises:
        UsageError: Its directory is missing, it is a directory, its name is too long, it lies in a version
            store, or it belongs to one of the models or to what else is read.
    """
    from weightaudit.discover import discover
    from weightaudit.versions.layout import enclosing_store

    asked = asked or f"--output {path}"
    try:
        is_directory = path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise UsageError(f"{asked} cannot be written: {error.strerror or error}.") from error
    if is_directory:
        raise UsageError(f"{asked} is a directory; name a file.")
    if not path.parent.is_dir():
        raise UsageError(f"{asked} cannot be written: there is no directory {path.parent}.")
    if not os.access(path if path.exists() and not path.is_file() else path.parent, os.W_OK):
        raise UsageError(f"{asked} cannot be written: permission denied.")
    if enclosing_store(path) is not None:
        raise UsageError(f"{asked} lies in a version store, which is not changed; name another place.")
    if path.is_file():
        # What stands there may be one of a model's many files: a shard, an index, saved_model.pb.
        wholes = [os.path.realpath(one) for one in (path, *(whole.path for whole in discover([str(path)])))]
        if _meets(wholes, [target.path for target in targets]):
            raise UsageError(f"{asked} belongs to one of the models; the report would replace it.")
        if _meets(wholes, read):
            raise UsageError(f"{asked} is what this command reads; the report would replace it.")


def _meets(wholes: Sequence[str], places: Sequence[str | os.PathLike[str]]) -> bool:
    """Say whether one of some real paths is one of the places."""
    known = {os.path.realpath(place) for place in places}
    return not known.isdisjoint(wholes)


def write_file(path: Path, text: str) -> None:
    """Write a file so that, at every instant, the old one or the whole new one is there.

    Raises:
        WeightauditError: It cannot be written; the old one is untouched.
    """
    from weightaudit.storage.publishing import save_bytes

    data = text.encode("utf-8", "backslashreplace")
    try:
        if path.exists() and not path.is_file():
            # A device or a pipe, such as /dev/stdout: nothing there could be replaced.
            path.write_bytes(data)
            return
    except OSError as error:
        raise WeightauditError(f"{path} cannot be written: {error.strerror or error}.") from error
    save_bytes(data, path)
