"""Compares two saved models tensor by tensor, whatever containers they are in.

`result` says what can come out, `matching` which tensor is which, `comparing` does the work, and
`reference` keeps the checkpoint open that models are judged against. Functions are imported when they
are first used: rules need the words of a result only, and are loaded by commands that read no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weightaudit.comparison.result import (
    ChannelDrift,
    Comparison,
    Difference,
    Match,
    MovedChannel,
    Status,
    TensorComparison,
)

if TYPE_CHECKING:
    from weightaudit.comparison.comparing import compare as compare
    from weightaudit.comparison.comparing import compare_checkpoints as compare_checkpoints

__all__ = [
    "ChannelDrift",
    "Comparison",
    "Difference",
    "Match",
    "MovedChannel",
    "Status",
    "TensorComparison",
    "compare",
    "compare_checkpoints",
]


def __getattr__(name: str) -> Any:
    if name not in {"compare", "compare_checkpoints"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from weightaudit.comparison import comparing

    value = getattr(comparing, name)
    globals()[name] = value
    return value
