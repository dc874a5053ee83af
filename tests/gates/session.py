"""Every command of the command line, once at least, on every container: what a guarded run goes through.

As a script it runs the commands in one process, one after the other, in the working directory, and fails
where an exit code is not the one that stands before the command.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import sys
from pathlib import Path
from zipfile import ZipFile

COMMANDS = """
0 --version
0 --help
0 check healthy.keras --profile
0 check healthy.keras
1 check nan.keras -f text -f html=a.html -f sarif=a.sarif -f json=a.json -f jsonl=a.jsonl -f junit=a.xml
1 check nan.keras -f github -f gitlab=a.gitlab -f markdown=a.md -f csv=a.csv --no-cache --jobs 2
0 check legacy.h5 gzip.h5 hdf5.keras int8.keras bfloat16.keras deflated.keras plain.weights.h5
0 check sharded.weights.json exported checkpoint --verbose
0 check unusual.h5
3 check notamodel.h5
0 check - --no-cache
1 check . --quiet
0 check healthy.keras --reference healthy.keras
0 check plain.weights.h5 --config config.json
1 check overflow.keras --policy preset.toml
2 check healthy.keras --select WA999
0 rules
0 rules --format json
0 explain WA101
0 explain max_norm
0 inspect healthy.keras --tree
0 inspect healthy.keras body/kernel -f json=i.json
1 diff healthy.keras nan.keras -f html=d.html
0 diff healthy.keras healthy.keras
0 init healthy.keras -o learned.toml
0 check healthy.keras --policy learned.toml
0 baseline write nan.keras
0 check nan.keras --baseline weightaudit-baseline.json
0 baseline prune nan.keras
0 config show --policy preset.toml
0 config schema
0 policy test --policy tested.toml
0 repair nan.keras --dry-run --project replace_nonfinite
0 repair nan.keras --project replace_nonfinite -o mended.keras -f html=r.html
0 repair nan.keras --donor mended.keras
0 repair legacy.h5 --project 'max_norm(0.5)' --max-change 1
0 repair checkpoint --project 'max_norm(0.5)' --max-change 1
0 repair exported --project 'max_norm(0.5)' --max-change 1 --in-place
0 commit healthy.keras -m first
0 commit healthy.keras -m second --always
0 check healthy.keras@1
0 versions list
0 versions show healthy.keras@1
0 versions diff healthy.keras@2
0 versions verify
0 versions tag healthy.keras@1 kept
0 versions restore healthy.keras@1 restored.keras
0 versions prune healthy.keras --keep 1
0 cache show
0 cache clear
"""
"""An exit code and a command on each line; standard input is a healthy model."""

WITH_TENSORFLOW = """
0 check healthy.keras --engine tensorflow --no-cache
0 repair healthy.keras --project 'max_norm(0.5)' --max-change 1 --engine tensorflow -o mended.keras
"""

WITH_KEYS = """
0 commit healthy.keras -m first
0 versions sign healthy.keras@1 --key key.pem
0 versions verify --public-key public.pem
"""

ASKS_FOR_IPV6 = f"refused socket.__new__ ({int(socket.AF_INET6)}, "
"""What importing urllib3 does, which TensorFlow and model-signing bring: it binds a socket to this machine's
own address, to learn whether IPv6 is there. Nothing is sent."""
LISTS_FONTS = "refused subprocess.Popen ('fc-list', "
"""What importing matplotlib does, which Keras imports where it is installed."""

TESTED = """
[rules.norm-bound]
max = 3.0
roles = ["kernel"]

[[tests]]
tensor = { name = "head/kernel", normal = 0.05, shape = [256, 10] }
must = "pass"
"""


def furnish(folder: Path, models: Path) -> None:
    """Fill a folder with what the commands are run on.

    Args:
        folder: Where to; it is made.
        models: The small models of this repository.
    """
    import h5py

    shutil.copytree(models, folder)
    with ZipFile(folder / "healthy.keras") as archive:
        archive.extract("config.json", folder)
    (folder / "preset.toml").write_text('extends = "float16-deploy"\n')
    (folder / "tested.toml").write_text(TESTED)
    # The newest structures of HDF5, which our own parser leaves to libhdf5 in its process.
    with (
        h5py.File(folder / "legacy.h5") as old,
        h5py.File(folder / "unusual.h5", "w", libver="latest") as new,
    ):
        new.attrs.update(old.attrs)
        for name in old:
            old.copy(name, new)


def make_keys(folder: Path) -> None:
    """Put a private key and its public key into a folder, as PEM files."""
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pem").write_bytes(private)
    (folder / "public.pem").write_bytes(public)


def lines(commands: str) -> list[tuple[int, list[str]]]:
    """Return the exit code and the words of each command."""
    split = (line.split(" ", 1) for line in commands.splitlines() if line)
    return [(int(code), shlex.split(command)) for code, command in split]


def main() -> int:
    """Run the commands on standard output's behalf, and return how many ended otherwise than they should."""
    from weightaudit.__main__ import main as weightaudit

    wrong = 0
    chosen = {"tensorflow": WITH_TENSORFLOW, "keys": WITH_KEYS}.get(" ".join(sys.argv[1:]), COMMANDS)
    for code, words in lines(chosen):
        sys.argv = ["weightaudit", *words]
        print(f"$ {shlex.join(sys.argv)}", file=sys.stderr, flush=True)  # noqa: T201 - for whoever reads a failure
        ended = weightaudit()
        sys.stdout.flush()
        if ended != code:
            wrong += 1
            os.write(2, f"WRONG: exit code {ended}, not {code}\n".encode())
    return wrong


if __name__ == "__main__":
    sys.exit(main())
