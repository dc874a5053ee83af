"""How many threads read and measure."""

from __future__ import annotations

import os

from weightaudit.errors import UsageError

MOST = 8
"""Threads at most, unless somebody asks for more: they share one disk and one memory."""


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(wanted: int | None = None) -> int:
    """Return the number of threads that is wanted; without one, one per CPU that may be used, at most 8.

    Raises:
        UsageError: Fewer than one is wanted.
    """
    if wanted is None:
        return min(MOST, available_cpus())
    if wanted < 1:
        raise UsageError(f"{wanted} workers cannot do anything; give 1 or more, or None for one per CPU.")
    return wanted
