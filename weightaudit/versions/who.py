"""Who and what makes a version: the user, the host, the process, the libraries."""

from __future__ import annotations

import getpass
import os
import platform
import socket
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

_LIBRARIES = ("weightaudit", "numpy", "h5py", "isal", "google-crc32c")


def current_user() -> str:
    """Return ``user@host``, the author of a version for which nobody named one."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number that no user has
        name = f"uid-{os.getuid()}"
    return f"{name}@{socket.gethostname()}"


def current_time() -> str:
    """Return the time in UTC, to the second, such as ``2026-11-22T07:11:02Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def tool_versions() -> dict[str, str]:
    """Return the versions of Python, of weightaudit and of the libraries it reads and writes with."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # optional, or run from a checkout that was never installed
            continue
    return versions
