"""The presets: what they let pass, and that they say what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

import weightaudit
from weightaudit.policy import Policy, read_policy
from weightaudit.policy.trials import trials
from weightaudit.presets import preset_names, preset_path
from weightaudit.registry import configure, load_registry
from weightaudit.rule import Severity

NOT_FOR_FLOAT16 = {"fink-cats-k2", "fink-cats-k3-tfsm", "genomic-gaps-cae", "mlperf-ad01-h5"}
"""Models with moving variances beyond 65504."""

WITH_DECAYED_CHANNELS = {"fer-emotion", "mlperf-vww-h5", "musicnn-msd", "oarriaga-gender"}
"""Models with channels whose weights have decayed to 1e-31 and less."""

BROKEN = {"nightpy-nan", "t5-bf16-missing-shard"}

FAILING = {
    "default": BROKEN,
    "float16-deploy": BROKEN | NOT_FOR_FLOAT16,
    "int8-deploy": BROKEN,
    "edge": BROKEN | NOT_FOR_FLOAT16 | WITH_DECAYED_CHANNELS,
    "training-checkpoint": BROKEN,
}
"""Models of the collection that a preset fails; `strict` is for models that someone looks at."""


def test_the_names() -> None:
    """The presets are those that the documentation names."""
    assert set(preset_names()) == {*FAILING, "strict"}


def test_the_default_preset_is_the_default() -> None:
    """It judges by the same rules, with the same options, and fails at the same level."""
    preset, registry = read_policy(preset_path("default")), load_registry()
    assert configure(registry, preset).judges == configure(registry, Policy()).judges
    assert preset.fail_on is Policy().fail_on


@pytest.mark.parametrize("name", preset_names())
def test_every_line_has_its_reason(name: str) -> None:
    """A comment stands above each table and each key outside of one; examples have a title instead."""
    for block in preset_path(name).read_text("utf-8").split("\n\n"):
        assert block.startswith("#") or "\ntitle = " in block, block


@pytest.mark.parametrize("name", preset_names())
def test_its_examples_are_as_they_must_be(name: str) -> None:
    """Every preset but the default one proves on tensors what it says."""
    policy = read_policy(preset_path(name))
    tried = trials(policy, load_registry())
    assert [one.problem for one in tried if not one.is_right] == []
    assert bool(tried) is (name != "default")


@pytest.mark.parametrize("name", sorted(FAILING))
def test_real_models(corpus: Path, name: str) -> None:
    """Healthy models pass the preset that fits them, and only what does not fit the format fails."""
    policy = read_policy(preset_path(name))
    failing: set[str] = set()
    for model in weightaudit.audit(corpus, policy=policy).models:
        parts = Path(model.path).parts
        if model.worst is Severity.ERROR:
            failing.add(parts[parts.index(corpus.name) + 1])
    assert failing == FAILING[name]
