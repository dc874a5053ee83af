"""The `checkpoint` file beside TensorFlow's checkpoints, which names the latest of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "checkpoint"

_FIELD = re.compile(rb"(?<!all_)model_checkpoint_path")
# In protobuf's text format a string goes on in the next literal, and the last of several fields holds.
_WRITTEN = re.compile(rb'\s*model_checkpoint_path:\s*"((?:[^"\\\n]|\\[0-7]{3}|\\[\\\'"])*)"\s*(?=[a-z]|\Z)')
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")

_LONGEST = 1 << 20
"""Bytes of a `checkpoint` file. It lists all checkpoints that are kept, of which there are a few."""


def latest_named(state: Path) -> str | None:
    """Return the path of the latest checkpoint as a `checkpoint` file gives it; None if it is another file.

    Source: ``tf.train.latest_checkpoint``, which reads a ``CheckpointState`` in protobuf's text format.
    Only what TensorFlow writes is taken for one: comments, strings in several parts and repeated
    fields could name one checkpoint here and another one there.

    Raises:
        ReadError: It is not written as TensorFlow writes it.
    """
    with state.open("rb") as stream:
        text = stream.read(_LONGEST + 1)
    fields = len(_FIELD.findall(text))
    if not fields:
        return None
    match = _WRITTEN.match(text)
    if match is None or fields > 1 or len(text) > _LONGEST:
        raise ReadError(
            f"{state} does not name a checkpoint as TensorFlow does; name its .index file instead."
        )
    return _ESCAPE.sub(_plain, match[1]).decode("utf-8", "surrogateescape")


def _plain(escape: re.Match[bytes]) -> bytes:
    return bytes([int(escape[1], 8) & 255]) if len(escape[1]) == 3 else escape[1]
