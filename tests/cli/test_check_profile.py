"""``check --profile`` says where the time went, and changes nothing else."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine


def test_every_part_is_named(cli: CommandLine, fixtures_dir: Path) -> None:
    """Opening, reading, each statistic and each rule that ran have a line with their time, on stderr."""
    plain = cli("check", fixtures_dir / "overflow.keras", "--no-cache")
    profiled = cli("check", fixtures_dir / "overflow.keras", "--no-cache", "--profile")
    assert (profiled.code, profiled.out) == (plain.code, plain.out)
    names = dict(re.findall(r"^  (\S.*?) +([\d.]+) ms", profiled.err, re.MULTILINE))
    parts = {"open, list and identify", "measure", "judge", "read, checksum, sum up", "WA101 nan-values"}
    assert parts <= names.keys()
    assert float(names["measure"]) > 0
    assert re.search(r"MB of tensors, read at [\d.]+ GB/s", profiled.err)


def test_the_parts_add_up(cli: CommandLine, fixtures_dir: Path) -> None:
    """What comes before and after the audit has lines, too; the reference only where there is one."""
    model = fixtures_dir / "healthy.keras"
    done = cli("check", model, "--no-cache", "--profile", "--reference", model)
    names = re.findall(r"^  (\S.*?) +[\d.]+ ms", done.err.partition("Threads,")[0], re.MULTILINE)
    assert names == [
        "find the models",
        "open the reference",
        "open, list and identify",
        "ask rules what they need",
        "choose and import the engine",
        "look into the cache",
        "measure",
        "keep in the cache",
        "compare with the reference",
        "judge",
        "write the report",
    ]
    assert "open the reference" not in cli("check", model, "--no-cache", "--profile").err


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed")
def test_importing_tensorflow_is_charged(cli: CommandLine, fixtures_dir: Path) -> None:
    """The import of TensorFlow, which takes longer than reading a small model, is part of the profile."""
    done = cli("check", fixtures_dir / "healthy.keras", "--no-cache", "--profile", "--engine", "tensorflow")
    took = dict(re.findall(r"^  (\S.*?) +([\d.]+) ms", done.err, re.MULTILINE))
    assert float(took["choose and import the engine"]) > float(took["read, checksum, sum up"])


def test_statistics_that_looked_at_elements(cli: CommandLine, fixtures_dir: Path) -> None:
    """A statistic that a policy asks for and that needs every element is in the list."""
    (cli.cwd / "weightaudit.toml").write_text("[rules.norm-bound]\nmax = 100\n")
    done = cli("check", fixtures_dir / "healthy.keras", "--no-cache", "--profile")
    assert re.search(r"^  AxisNorm +[\d.]+ ms", done.err, re.MULTILINE)


def test_findings_about_the_policy_stay(cli: CommandLine, fixtures_dir: Path) -> None:
    """What is wrong with the policy itself, and a severity for some tensors, decide with a profile, too."""
    (cli.cwd / "weightaudit.toml").write_text(
        'fail-on = "note"\n'
        '[[suppressions]]\nrule = "WA402"\ntensors = ["*/none"]\nreason = "Pruned."\n'
        '[[overrides]]\ntensors = ["*"]\n[overrides.rules.nan-values]\nseverity = "note"\n'
    )
    plain = cli("check", fixtures_dir / "nan.keras", "--no-cache")
    profiled = cli("check", fixtures_dir / "nan.keras", "--no-cache", "--profile")
    assert "WA904" in plain.out
    assert (profiled.code, profiled.out) == (plain.code, plain.out)
