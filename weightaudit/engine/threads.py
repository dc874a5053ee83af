"""How many threads read and measure."""

from __future__ import annotations

import os

MOST = 8
"""Threads at most, unless somebody asks for more: they share one disk and one memory."""


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(wanted: int | None = None) -> int:
    """Return the number of threads that is wanted; without one, one per CPU that may be used, at most 8."""
    return wanted or min(MOST, available_cpus())
