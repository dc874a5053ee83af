"""How much of the graphs of one saved_model.pb is kept in memory, counted over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.formats.graph_nodes import Ahead
    from weightaudit.limits import Limits

_ITEMS_PER_TENSOR = 10
_VARIABLE = 10  # what is kept of one takes about as much memory as ten empty objects


class GraphBudget:
    """Counts what is kept of graphs: objects and names take many times their bytes in memory.

    Args:
        source: saved_model.pb.
        limits: `max_tensors` bounds how many there are, `max_metadata` the characters of names.
    """

    def __init__(self, source: Ahead, limits: Limits) -> None:
        self._source = source
        self._most_items = _ITEMS_PER_TENSOR * limits.max_tensors
        self._most_characters = limits.max_metadata
        self._items = self._characters = 0

    def keep(self, items: int) -> None:
        """Count objects, and what they refer to.

        Raises:
            ReadError: There are more than the limit.
        """
        self._items += items
        if self._items > self._most_items:
            raise self._source.beyond(f"{self._most_items} objects, inputs and names")

    def keep_variable(self) -> None:
        """Count what is declared of a variable, as `keep` does."""
        self.keep(_VARIABLE)

    def keep_names(self, names: Sequence[str]) -> None:
        """Count names.

        Raises:
            ReadError: There are more than the limit, or they are longer.
        """
        self.keep(len(names))
        self._characters += sum(map(len, names))
        if self._characters > self._most_characters:
            raise ReadError(
                f"{self._source.label} has names of more than {self._most_characters} characters, "
                "which is the limit (--max-metadata)."
            )
