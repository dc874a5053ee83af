"""Memory that threads share: who needs more than is left waits."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class Room:
    """Memory that threads share: who needs more than is left waits until others are done.

    Args:
        nbytes: All there is.
    """

    def __init__(self, nbytes: int) -> None:
        self._whole = self._left = nbytes
        self._holders: list[int] = []
        self._moved = threading.Condition()

    @contextmanager
    def taken(self, nbytes: int) -> Generator[None]:
        """Hold some of it for a block; who asks for more than there is gets it once nobody else has any.

        A thread asks once, for all that it will use side by side: what it asks for while it holds some is a
        part of that. Two threads that asked for a second share would wait for each other.
        """
        me = threading.get_ident()
        with self._moved:
            nbytes = 0 if me in self._holders else min(nbytes, self._whole)
            self._moved.wait_for(lambda: nbytes <= self._left)
            self._left -= nbytes
            self._holders.append(me)
        try:
            yield
        finally:
            with self._moved:
                self._left += nbytes
                self._holders.remove(me)
                self._moved.notify_all()
