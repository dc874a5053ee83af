"""What Typer and shells misunderstand of each other, made right: words with ``=`` or ``:``, names of shells.

Bash cuts words at these signs and replaces the last part alone; zsh and fish keep them whole and want
offers that begin like the word. Typer expects the first of zsh and fish, and the second of bash.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from itertools import pairwise
from typing import TYPE_CHECKING

from weightaudit.cli.output import write_stdout

if TYPE_CHECKING:
    from collections.abc import Generator, MutableMapping, Sequence

INSTRUCTION = "_WEIGHTAUDIT_COMPLETE"
"""Environment variable in which the scripts of shells say what they want, such as ``complete_bash``."""

ABOUT_SHELLS = ("--install-completion", "--show-completion")

_OPTION = re.compile(r"(?:^|\s)(--[\w-]+=)\S*$")
_LINE = re.compile(r"^(?=.)", re.MULTILINE)


@contextmanager
def understood(arguments: Sequence[str], environment: MutableMapping[str, str]) -> Generator[None]:
    """Translate between a shell and Typer, which runs inside of this.

    Args:
        arguments: The command line's words, without the program's name.
        environment: Of this process; what a shell says of the word being typed is changed in place.
    """
    if arguments[:1] and arguments[0] in ABOUT_SHELLS and arguments[1:]:
        # Only so does Typer take the name of a shell, which it would pass over for the one that it runs in.
        environment.setdefault("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    wanted, _, shell = environment.get(INSTRUCTION, "").partition("_")
    if wanted != "complete":
        yield
        return
    typed = _OPTION.search(environment.get("_TYPER_COMPLETE_ARGS", ""))
    before = _join_words(environment) if shell == "bash" else ""
    offers = StringIO()
    try:
        with redirect_stdout(offers):
            yield
    finally:
        text = offers.getvalue()
        if before:
            text = "\n".join(line.removeprefix(before) for line in text.split("\n"))
        elif typed and shell == "zsh":
            text = f"compset -P {typed[1]}; {text}"
        elif typed and shell == "fish":
            text = _LINE.sub(typed[1], text)
        write_stdout(text)


def _join_words(environment: MutableMapping[str, str]) -> str:
    """Join again what bash cut, and return what stands before the part that it replaces.

    The name of an option does not count: Typer leaves it out of what it offers.
    """
    cut = environment.get("COMP_WORDS", "").split("\n")[: int(environment.get("COMP_CWORD", "0")) + 1]
    words = cut[:1]
    for last, word in pairwise(cut):
        if words[1:] and (_is_sign(word) or _is_sign(last)):
            words[-1] += word
        else:
            words.append(word)
    environment["COMP_WORDS"], environment["COMP_CWORD"] = "\n".join(words), str(len(words) - 1)
    before = words[-1] if _is_sign(cut[-1]) else words[-1].removesuffix(cut[-1])
    option = _OPTION.search(before)
    return before.removeprefix(option[1]) if option else before


def _is_sign(word: str) -> bool:
    return bool(word) and not word.strip("=:")
