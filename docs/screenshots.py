"""Makes the pictures of the report that the documentation shows: ``python docs/screenshots.py``.

It audits a model of its own making, whose faults are seeded here, writes the report as anyone would,
and looks at it in Chromium. Without arguments it renews ``docs/images``; with one it writes to that folder.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "rules")]

from tests.html.chromium import Chromium, find_chromium  # noqa: E402 - it is found by the path above

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEED = 7
_LAYERS = 24


def main() -> None:
    """Write all pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "docs" / "images"
    executable = find_chromium()
    if executable is None:
        sys.exit("There is no Chromium; install one, or set CHROMIUM to its path.")
    with tempfile.TemporaryDirectory() as place, Chromium(executable) as browser:
        page = _report(Path(place))
        for scheme in ("light", "dark"):
            _shoot(browser, page, folder / f"report-{scheme}.png", (1280, 1180), scheme=scheme)
        _shoot(browser, page, folder / "report-tensor.png", (1280, 780), fragment="#m0-t12")
        _shoot(browser, page, folder / "report-phone.png", (390, 844))


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


def _report(folder: Path) -> Path:
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
