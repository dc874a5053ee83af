"""`weightaudit check --config`: weights with a configuration that was saved elsewhere."""

from __future__ import annotations

import json
import shutil
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def test_weights_are_known_by_the_configuration_beside_them(
    cli: CommandLine, fixtures_dir: Path, tmp_path: Path
) -> None:
    """With the whole model as configuration the report of its weights is certain of every layer."""
    shutil.copy(fixtures_dir / "plain.weights.h5", tmp_path / "w.weights.h5")
    whole = fixtures_dir / "healthy.keras"
    done = cli("check", "w.weights.h5", "--config", whole, "--format", "json", "--verbose")
    assert done.code == 0, done.err
    (model,) = json.loads(done.out)["models"]
    evidence = {tensor["evidence"] for tensor in model["tensors"] if tensor["role"] == "kernel"}
    assert evidence == {"config"}


def test_weights_beside_their_configuration(cli: CommandLine, fixtures_dir: Path, tmp_path: Path) -> None:
    """Two files with the names of an unpacked archive may be given as two: they say the same."""
    with zipfile.ZipFile(fixtures_dir / "healthy.keras") as archive:
        archive.extractall(tmp_path)
    done = cli("check", "model.weights.h5", "--config", "config.json")
    assert (done.code, done.err) == (0, "")
    assert "28 of 28 tensors" in done.out


def test_a_configuration_that_does_not_fit_is_wrong_usage(
    cli: CommandLine, fixtures_dir: Path, tmp_path: Path
) -> None:
    """A file that describes no layers is one sentence on stderr and exit code 2."""
    (tmp_path / "config.json").write_text("{}")
    done = cli("check", fixtures_dir / "plain.weights.h5", "--config", "config.json")
    assert (done.code, done.out) == (2, "")
    assert "describes no layers" in done.err
