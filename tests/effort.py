"""How much work something is, counted and not timed, so that a busy machine changes nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called, and generators resumed, while a function runs in this thread."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def grows_in_step(work: Callable[[int], object], size: int) -> bool:
    """Say whether four times the size is about four times the work: all pairs would be sixteen times."""
    work(size)  # what is kept for the next time is made now
    return calls(lambda: work(4 * size)) < 8 * calls(lambda: work(size))
