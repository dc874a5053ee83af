"""Names and messages from a stranger's file, made safe to show to people, terminals and CI logs."""

from __future__ import annotations

import re

NAME_LIMIT = 240
"""Characters of a name that are shown; file systems allow 255 bytes in one."""
MESSAGE_LIMIT = 2000
"""Characters of a message that are shown."""

_HARMLESS = re.compile(r"[\w ./,()<>=+*-]*", re.ASCII)
"""Nearly all names; looking at each character of them takes twenty times as long."""


def printable(text: str, limit: int = NAME_LIMIT) -> str:
    r"""Return the text on one line, with everything that could act on its reader made visible.

    Controls (C0, C1, DEL, so also ESC and line ends), bidirectional overrides, line and paragraph
    separators, zero-width characters and lone surrogates become ``\x1b``, ``\u202e`` and so on; a
    backslash is doubled, so that two different names never look alike. ``::`` and ``##``, which
    start commands in the logs of CI services, lose their meaning in the same way.

    Args:
        text: Any string.
        limit: Characters to keep; a longer text loses its middle, and says how much of it.
    """
    if len(text) > limit:
        head = limit * 2 // 3
        tail = limit - head
        cut = f"...({len(text) - limit} more characters)..."
        return _visible(text[:head]) + cut + _visible(text[-tail:])
    return _visible(text)


def _visible(text: str) -> str:
    if _HARMLESS.fullmatch(text):
        return text
    shown = "".join(_escaped(character) for character in text)
    # A colon at either end would meet the one that a renderer puts between a path and a name.
    return re.sub("#(?=#)", r"\\x23", re.sub("^:|:(?=:|$)", r"\\x3a", shown))


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
