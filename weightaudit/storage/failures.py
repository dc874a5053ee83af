"""Turns the errors of the operating system into one sentence that says what to do."""

from __future__ import annotations

import os
from contextlib import contextmanager
from errno import EACCES, EBUSY, EDQUOT, EMFILE, ENFILE, ENOSPC, EPERM, EROFS, EXDEV
from typing import TYPE_CHECKING

from weightaudit.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Generator

_ELSEWHERE = "; choose another place"
_ADVICE = {
    ENOSPC: f"; free some space, or {_ELSEWHERE[2:]}",
    EDQUOT: f"; free some space, or {_ELSEWHERE[2:]}",
    EROFS: _ELSEWHERE,
    EACCES: _ELSEWHERE,
    EPERM: _ELSEWHERE,
    EXDEV: _ELSEWHERE,  # also what overlay file systems, as of containers, say of a directory of the image
    EBUSY: _ELSEWHERE,
    EMFILE: "; raise the limit on open files (ulimit -n)",
    ENFILE: "; too many files are open on this machine",
}


@contextmanager
def writing(failure: str) -> Generator[None]:
    """Raise a WriteError in place of an OSError.

    Args:
        failure: The sentence up to its reason, such as ``m.keras cannot be replaced``.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(f"{failure}: {reason(error)}.") from error


def reason(error: OSError) -> str:
    """Return what went wrong, and what helps against it."""
    text = os.strerror(error.errno) if error.errno else str(error)
    return f"{text}{_ADVICE.get(error.errno or 0, '')}"
