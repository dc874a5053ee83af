"""The engine that a command line asks for."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from weightaudit.engine.choice import Engine, sees_gpu

if TYPE_CHECKING:
    from collections.abc import Generator

    from weightaudit.cli.options import EngineName

_VERBOSITY = "TF_CPP_MIN_LOG_LEVEL"
"""TensorFlow's variable for how much it says; it does not reach what is said before its log is set up."""

_STDERR = 2
"""The descriptor that code in C writes to."""


def engine_of(name: EngineName) -> Engine:
    """Return the engine of that name; what TensorFlow says unasked, as it starts, is kept from the user."""
    if _VERBOSITY in os.environ:
        return Engine(name.value, has_gpu=sees_gpu(os.environ))
    return Engine(name.value, has_gpu=sees_gpu(os.environ), around=_held_back)


@contextmanager
def _held_back() -> Generator[None]:
    """Keep what is written to the descriptor of stderr, and show it if the block fails."""
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    try:
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), _STDERR)
            try:
                yield
            except BaseException:
                os.dup2(kept, _STDERR)
                held.seek(0)
                os.write(_STDERR, held.read())
                raise
            finally:
                os.dup2(kept, _STDERR)
    finally:
        os.close(kept)
