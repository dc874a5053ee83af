"""Whole audits: with a store or without, the report is the same bytes, and the second reads no weights."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import weightaudit
from tests.cache.models import later, require_disk
from weightaudit.auditor import Means, audit_checkpoint
from weightaudit.cache import Store
from weightaudit.checkpoint import open_checkpoint
from weightaudit.discover import search
from weightaudit.errors import WeightauditError
from weightaudit.policy import Policy, read_policy
from weightaudit.portrait import Detail
from weightaudit.registry import RuleSet, configure, load_registry
from weightaudit.render.json import render_json
from weightaudit.report import Report
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

OTHER = """
[rules.extreme-value]
warning = 5
error = 50
[rules.low-precision-overflow]
margin = 100
[rules.low-precision-underflow]
dtype = "bfloat16"
[rules.dead-channels]
relative = 1e-7
[rules.value-bound]
min = -0.5
max = 0.5
[rules.sparsity]
min = 0.1
[rules.norm-bound]
max = 1.0
"""


@pytest.fixture(scope="module")
def rule_sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[RuleSet, RuleSet]:
    """The rules as they come, and with other thresholds and a few more of them."""
    path = tmp_path_factory.mktemp("policy") / "weightaudit.toml"
    path.write_text(OTHER)
    registry = load_registry()
    return configure(registry, Policy()), configure(registry, read_policy(path))


def _report(path: Path, rules: RuleSet, store: Store | None) -> str:
    """Audit one model, as if its files had been left alone for long."""
    with open_checkpoint(path) as checkpoint:
        model = audit_checkpoint(
            checkpoint, "model", rules, Means(store=store), detail=Detail.FIGURES, since=later()
        )
    return render_json(Report((model,), Severity.ERROR), verbose=True)


def _compare(folder: Path, rule_sets: Sequence[RuleSet], store: Store) -> int:
    """Compare audits with and without a store; return how many models there are."""
    compared = 0
    for target in search([str(folder)]).targets:
        try:
            fresh = [_report(target.path, rules, None) for rules in rule_sets]
        except WeightauditError:
            continue
        for number in (0, 0, 1, 1, 0):
            assert _report(target.path, rule_sets[number], store) == fresh[number], target.label
        compared += 1
    return compared


def test_fixtures(fixtures_dir: Path, rule_sets: Sequence[RuleSet], store: Store) -> None:
    """Reports of our own models are the same with and without a store, by the same and other thresholds."""
    assert _compare(fixtures_dir, rule_sets, store) >= 13


def test_real_models(corpus: Path, rule_sets: Sequence[RuleSet], store: Store) -> None:
    """Reports of real models are the same with and without a store, by the same and other thresholds."""
    assert _compare(corpus, rule_sets, store) >= 50


def _bytes_read() -> int:
    """Return how many bytes this process has read by system calls so far."""
    text = Path("/proc/self/io").read_text()
    return int(text.split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process has read")
@pytest.mark.parametrize("model", ["healthy.keras", "legacy.h5", "exported", "checkpoint/ckpt-1"])
def test_second_audit_reads_no_weights(
    fixtures_dir: Path, store: Store, model: str, rule_sets: Sequence[RuleSet]
) -> None:
    """A second audit, even by other thresholds, reads less by at least the weights than the first one."""
    require_disk(fixtures_dir)
    path = fixtures_dir / model
    _report(path, rule_sets[0], None)  # imports, and starts what is started once
    read: list[int] = []
    for number in (0, 0, 1, 1):
        before = _bytes_read()
        _report(path, rule_sets[number], store)
        read.append(_bytes_read() - before)
    with open_checkpoint(path) as checkpoint:
        weights = sum(info.nbytes for info in checkpoint)
    entry = store.contents().nbytes
    assert read[1] <= read[0] - weights + entry
    assert read[3] <= read[0] - weights + entry


def test_library_keeps_nothing_by_default(fixtures_dir: Path, tmp_path: Path) -> None:
    """Only an audit that names a directory keeps anything, and it is served by it in the same process."""
    require_disk(tmp_path)
    model, cache = tmp_path / "healthy.keras", tmp_path / "cache"
    shutil.copy(fixtures_dir / "healthy.keras", model)
    time.sleep(2.1)  # younger files may change unnoticed, so nothing is kept of them
    plain = weightaudit.audit(model)
    assert not cache.exists()
    first, second = (weightaudit.audit(model, cache=cache) for _ in range(2))
    assert Store(cache).contents().count == 1
    assert render_json(plain) == render_json(first) == render_json(second)


def test_change_between_two_audits(fixtures_dir: Path, tmp_path: Path, rule_sets: Sequence[RuleSet]) -> None:
    """A NaN that is written into a checkpoint between two audits is found by the second."""
    store = Store(tmp_path / "cache")
    shutil.copytree(fixtures_dir / "checkpoint", tmp_path / "checkpoint")
    path = tmp_path / "checkpoint" / "ckpt-1"
    before = _report(path, rule_sets[0], store)
    with open_checkpoint(path) as checkpoint:
        info = next(one for one in checkpoint if one.role == "kernel")
        extent = checkpoint.entry(info).storage
    assert isinstance(extent, weightaudit.catalog.Extent)
    (data,) = path.parent.glob("ckpt-1.data-*")
    with data.open("r+b") as file:
        file.seek(extent.offset)
        file.write(np.float32(np.nan).tobytes())
    after = _report(path, rule_sets[0], store)
    assert "WA101" not in before
    assert "WA101" in after
    assert "WA001" in after or "checksum" in after
    assert _report(path, rule_sets[0], store) == after
