"""TensorFlow itself, imported when a projection first runs on it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from weightaudit.errors import UsageError

Tensor = Any
"""A ``tf.Tensor``; TensorFlow has no types for type checkers."""


def _imported() -> Any:
    try:
        return import_module("tensorflow")
    except ImportError as error:
        raise UsageError(
            "TensorFlow cannot be imported; get it with: pip install 'weightaudit[tensorflow]', or compute "
            f"with numpy. Python says: {error}"
        ) from error
    except Exception as error:  # versions that do not fit each other raise whatever they stumble over
        raise UsageError(
            f"TensorFlow is installed and cannot be imported ({type(error).__name__}: {error}); install it "
            "anew with: pip install --force-reinstall tensorflow, or compute with numpy."
        ) from error


tf = _imported()
