"""Makes the pictures of the report that the documentation shows: ``python docs/screenshots.py``.

It audits a model of its own making, whose faults are seeded here, writes the report as anyone would,
and looks at it in Chromium. Without arguments it renews ``docs/images``; with one it writes to that folder.
Each picture carries the digest of the page that it shows, so that a test can tell when it is stale.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "rules")]

from tests.html.chromium import Chromium, find_chromium  # noqa: E402 - it is found by the path above

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICTURES = ("report-light.png", "report-dark.png", "report-tensor.png", "report-phone.png")
_KEYWORD = b"Page digest"
_SEED = 7
_LAYERS = 24


def main() -> None:
    """Write all pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "docs" / "images"
    executable = find_chromium()
    if executable is None:
        sys.exit("There is no Chromium; install one, or set CHROMIUM to its path.")
    with tempfile.TemporaryDirectory() as place, Chromium(executable) as browser:
        page = report(Path(place))
        light, dark, tensor, phone = (folder / name for name in PICTURES)
        _shoot(browser, page, light, (1280, 1340))
        _shoot(browser, page, dark, (1280, 1340), scheme="dark")
        _shoot(browser, page, tensor, (1280, 780), fragment="#m0-t12")
        _shoot(browser, page, phone, (390, 844))


def _shoot(
    browser: Chromium,
    page: Path,
    picture: Path,
    size: tuple[int, int],
    *,
    scheme: str = "light",
    fragment: str = "",
) -> None:
    browser.size(*size, mobile=size[0] < 500)
    browser.prefer(scheme)
    browser.open(page, fragment)
    if browser.complaints:
        sys.exit(f"The page complains: {browser.complaints}")
    browser.screenshot(picture)
    picture.write_bytes(_stamped(picture.read_bytes(), digest(page)))


def digest(page: Path) -> str:
    """Return the SHA-256 of a page, whatever the version of weightaudit that it names."""
    text = re.sub(r"""((?:content="|Made by )weightaudit )[\w.+]+""", r"\1", page.read_text("utf-8"))
    return hashlib.sha256(text.encode()).hexdigest()


def stamp(picture: bytes) -> str | None:
    """Return the digest of the page that a picture was made of; None if it has none."""
    found = re.search(rb"tEXt" + _KEYWORD + rb"\0([0-9a-f]{64})", picture)
    return found[1].decode() if found else None


def _stamped(picture: bytes, text: str) -> bytes:
    """Return a PNG with a text chunk before its end, laid out as https://www.w3.org/TR/png-3/#11tEXt says."""
    end = picture.rindex(b"IEND") - 4
    chunk = b"tEXt" + _KEYWORD + b"\0" + text.encode("ascii")
    body = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return picture[:end] + body + picture[end:]


def report(folder: Path) -> Path:
    """Save a model with a few faults, audit it on the command line, and return its page."""
    _save(folder / "encoder.h5")
    command = [sys.executable, "-m", "weightaudit", "check", "encoder.h5", "-f", "html=report.html"]
    path = f"{CHECKOUT}:{CHECKOUT / 'rules'}"
    env = {"PYTHONPATH": path, "WEIGHTAUDIT_CACHE": ""}
    done = subprocess.run(command, cwd=folder, env=env, check=False)  # noqa: S603 - our own command
    if done.returncode != 1:
        sys.exit(f"The audit of a faulty model ended with {done.returncode}, not with 1.")
    return folder / "report.html"


def _save(path: Path) -> None:
    """Save an encoder whose kernels grow as trained ones do; four of them have a fault each."""
    chance = np.random.default_rng(_SEED)
    names = [f"encoder_{number:02}" for number in range(_LAYERS)]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in names]
        for number, name in enumerate(names):
            width = 64 << (number // 8)
            kernel = chance.standard_t(6, (width, width)) / np.sqrt(width) * (0.8 + 0.02 * number)
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{each}:0".encode() for each in ("kernel", "bias")]
            group[f"{name}/kernel:0"] = _faulty(number, kernel.astype(np.float32))
            group[f"{name}/bias:0"] = chance.normal(0, 0.05, width).astype(np.float32)


def _faulty(number: int, kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the kernel of a layer, with a fault in a few of them."""
    if number == 6:
        kernel[:, 40:52] *= 1e-12
    elif number == 11:
        kernel *= 400
    elif number == 17:
        kernel[5, 9] = np.nan
    elif number == 20:
        kernel[30, 12] = 1.7e29
    return kernel


if __name__ == "__main__":
    main()
