"""`weightaudit check --reference`: exit codes and what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.sentences import assert_one_sentence

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def test_a_model_and_its_export(run: CommandLine) -> None:
    """Against the SavedModel of the same weights nothing is found, and one line says what was compared."""
    result = run("check", "checkpoint/ckpt-1", "--reference", "exported")
    assert result.code == 0, result
    assert "info: Compared with exported (SavedModel): of 4 tensors that are in both, 0 differ" in result.out


def test_a_finding_against_a_version_fails(run: CommandLine) -> None:
    """A policy can make drift from a version an error; without a reference the rule is silent."""
    assert run("commit", "exported", "-m", "good").code == 0
    (run.cwd / "weightaudit.toml").write_text('[rules.WA607]\nseverity = "error"\n')
    result = run("check", "bfloat16.keras", "--reference", "exported@1")
    assert result.code == 1, result
    assert "WA607 structure-changed: 4 of its weights are bfloat16, and float32" in result.out
    assert run("check", "bfloat16.keras").code == 0


def test_a_reference_that_cannot_be_read_is_3(run: CommandLine) -> None:
    """A damaged reference ends the audit with one sentence, and a missing one is wrong usage."""
    (run.cwd / "broken.keras").write_bytes(b"PK\x03\x04 and nothing else")
    assert_one_sentence(run("check", "healthy.keras", "--reference", "broken.keras"), 3, "broken.keras")
    assert_one_sentence(run("check", "healthy.keras", "--reference", "nowhere.keras"), 2, "nowhere.keras")
    assert_one_sentence(run("check", "healthy.keras", "--reference", ""), 2, "--reference is empty")


def test_several_models_share_a_reference(run: CommandLine) -> None:
    """Each of several models is compared with the one reference."""
    result = run("check", "healthy.keras", "legacy.h5", "--reference", "plain.weights.h5")
    assert result.out.count("info: Compared with plain.weights.h5") == 2
