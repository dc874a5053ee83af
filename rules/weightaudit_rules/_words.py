"""Words that agree with a number."""

from __future__ import annotations


def number(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 layer``, ``2,000 layers``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def part(count: int, size: int, noun: str, one: str, many: str) -> str:
    """Return so many of so many, and the verb that agrees: ``1 of 8 values is``, ``2 of 8 values are``.

    Args:
        count: How many are spoken of.
        size: How many there are.
        noun: What they are, of one.
        one: The verb if one is spoken of.
        many: The verb otherwise.
    """
    return f"{count:,} of {number(size, noun)} {one if count == 1 else many}"
