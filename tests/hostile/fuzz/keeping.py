"""Keeps what fuzzing found: ``python -m tests.hostile.fuzz.keeping FOLDER [TARGET...]``.

FOLDER has a folder of inputs for each target, as ``guided`` leaves them. Those that libFuzzer finds enough to
reach all that they reach replace the archive of the target in ``corpus/``, smallest first, as far as `_MOST`
bytes go. Needs atheris; the tests only replay what is kept.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import quote

from tests.hostile.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
_MOST = 80_000
"""Bytes of the inputs of one target, before they are packed."""
_LONGEST = 8192
_DAY = (2020, 1, 1, 0, 0, 0)


def archive(name: str) -> Path:
    """Return where the inputs of a target are kept."""
    return CORPUS / f"{name.replace(' ', '_')}.zip"


def kept(name: str) -> Iterator[bytes]:
    """Yield the inputs that are kept of a target; none if it has no archive."""
    if archive(name).exists():
        with zipfile.ZipFile(archive(name)) as packed:
            yield from map(packed.read, packed.namelist())


def pack(name: str, inputs: Iterable[bytes]) -> int:
    """Write the archive of a target, the same for the same inputs, and return how many are in it."""
    left, count = _MOST, 0
    CORPUS.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive(name), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for data in sorted(set(inputs), key=lambda one: (len(one), one)):
            left -= len(data)
            if left < 0:
                break
            packed.writestr(zipfile.ZipInfo(f"{count:03}", _DAY), data, zipfile.ZIP_DEFLATED, 9)
            count += 1
    return count


def merged(name: str, folder: Path) -> list[bytes]:
    """Return the inputs of a folder that reach all that it reaches."""
    with tempfile.TemporaryDirectory() as scratch:
        again, chosen, found = (Path(scratch, part) for part in ("again", "chosen", "found"))
        # libFuzzer merges in processes of its own, which it starts by the name of the program, and it quotes
        # no name; so the folder, which may have a space in its own, is copied.
        shutil.copytree(folder, found)
        again.write_text(
            f'#!/bin/sh\nexec {quote(sys.executable)} -m tests.hostile.fuzz.guided {quote(name)} "$@"\n'
        )
        again.chmod(0o700)
        chosen.mkdir()
        subprocess.run(
            [again, "-merge=1", f"-max_len={_LONGEST}", chosen, found],
            env={**os.environ, "FUZZ_AGAIN": str(again)},
            capture_output=True,
            check=True,
        )
        return [path.read_bytes() for path in chosen.iterdir()]


def main() -> None:
    """Merge and pack what the arguments name."""
    folder, *names = sys.argv[1:]
    for name in names or TARGETS:
        if Path(folder, name).is_dir():
            found = merged(name, Path(folder, name))
            count = pack(name, found)
            size = archive(name).stat().st_size
            print(f"{name:<14} {count} of {len(found)} inputs in {size} bytes", flush=True)  # noqa: T201 - a table


if __name__ == "__main__":
    main()
