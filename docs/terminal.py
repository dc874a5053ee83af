"""Makes the picture of the terminal that README shows: ``python docs/terminal.py``.

The commands run as anyone would run them, in a terminal of their own, on the small models under
``fixtures/``; Rich draws what they printed.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

CHECKOUT = Path(__file__).resolve().parents[1]
COMMANDS = ("check nan.keras overflow.keras", "inspect healthy.keras --weights-only")
WIDTH = 118


def main() -> None:
    """Write the picture."""
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "docs/images/terminal.svg"
    with tempfile.TemporaryFile("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        for number, command in enumerate(COMMANDS):
            if number:
                console.print()
            console.print(Text(f"$ weightaudit {command}", "bold"))
            console.print(Text.from_ansi(_printed(command).rstrip()), soft_wrap=True)
        svg = console.export_svg(title="weightaudit", font_aspect_ratio=0.6, unique_id="terminal")
    # A picture that fetched its font would tell a server who reads this.
    lines = [line for line in svg.splitlines() if "url(" not in line or "clip-path" in line]
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _printed(command: str) -> str:
    """Return what a command prints on a terminal, with its colours."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
    paths = [str(CHECKOUT), str(CHECKOUT / "rules"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.Popen(  # noqa: S603 - a command of this file
        [sys.executable, "-m", "weightaudit", *command.split(), "--no-progress"],
        cwd=CHECKOUT / "fixtures/models",
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "TERM": "xterm-256color"},
    )
    os.close(follower)
    parts: list[bytes] = []
    try:
        while part := os.read(leader, 65536):
            parts.append(part)
    except OSError:
        pass  # so Linux says that nobody is at the other end any more
    done.wait()
    os.close(leader)
    return b"".join(parts).decode().replace("\r\n", "\n")


main()
