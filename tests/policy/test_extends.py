"""What a policy takes over from those that it extends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from weightaudit.errors import PolicyError
from weightaudit.policy import Policy, judging_digest, policy_digest, read_policy
from weightaudit.presets import preset_names
from weightaudit.registry import configure, load_registry
from weightaudit.rule import Rule, Severity

if TYPE_CHECKING:
    from pathlib import Path


def policy_of(folder: Path, **files: str) -> Policy:
    """Write files by their stem, and read the one called `own`."""
    for stem, text in files.items():
        (folder / f"{stem}.toml").write_text(text, encoding="utf-8")
    return read_policy(folder / "own.toml")


def rule_of(policy: Policy, code: str) -> Rule:
    """Return a rule as the policy configures it."""
    return next(one.rule for one in configure(load_registry(), policy).judges if one.rule.code == code)


def test_later_files_win_and_lists_grow(tmp_path: Path) -> None:
    """Single values are the last file's that says them; what is ignored and lists of tables add up."""
    policy = policy_of(
        tmp_path,
        first='fail-on = "note"\nselect = ["WA1", "WA2"]\nignore = ["WA101"]\n'
        'plugins = ["weightaudit_rules"]',
        second='select = ["WA2"]\nignore = ["WA102"]\n[[overrides]]\nroles = ["bias"]\nignore = ["WA203"]',
        own='extends = ["first.toml", "second.toml"]\nignore = ["WA101"]\n'
        '[[overrides]]\nroles = ["kernel"]\nignore = ["WA203"]',
    )
    assert policy.fail_on is Severity.NOTE
    assert policy.select == ("WA2",)
    assert policy.ignore == ("WA101", "WA102")
    assert policy.plugins == ("weightaudit_rules",)
    assert [one.roles[0].value for one in policy.overrides] == ["bias", "kernel"]
    assert policy.overrides[1].where.endswith("own.toml:3: overrides[0]")


def test_options_are_taken_over_one_by_one(tmp_path: Path) -> None:
    """A file that gives one option of a rule keeps the others of its base, under either name of the rule."""
    policy = policy_of(
        tmp_path,
        base='[rules.norm-bound]\nmax = 2.0\norder = 1.0\nroles = ["bias"]\nseverity = "note"',
        own='extends = "base.toml"\n[rules.WA301]\nmax = 3.0\nroles = ["kernel", "embedding"]',
    )
    judge = next(one for one in configure(load_registry(), policy).judges if one.rule.code == "WA301")
    said = {name: getattr(judge.rule, name) for name in ("max", "order", "roles")}
    assert said == {"max": 3.0, "order": 1.0, "roles": ("kernel", "embedding")}
    assert judge.severity is Severity.NOTE


def test_a_mistake_is_told_of_the_file_that_makes_it(tmp_path: Path) -> None:
    """An option that does not exist is refused with the name of the base that gives it."""
    policy = policy_of(tmp_path, base="[rules.WA301]\nmaxi = 2.0", own='extends = "base.toml"')
    with pytest.raises(PolicyError, match=r"base\.toml:1: rules\.WA301: .* no option 'maxi'"):
        configure(load_registry(), policy)
    policy = policy_of(tmp_path, base='ignore = ["WA999"]', own='extends = "base.toml"')
    with pytest.raises(PolicyError, match=r"base\.toml: .*'WA999'"):
        configure(load_registry(), policy)


def test_a_base_lies_beside_the_file_that_names_it(tmp_path: Path) -> None:
    """Paths are relative to the file that extends, not to the working directory or the first file."""
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "root.toml").write_text('fail-on = "never"')
    (tmp_path / "team" / "base.toml").write_text('extends = "root.toml"')
    assert policy_of(tmp_path, own='extends = "team/base.toml"').fail_on is None


def test_a_preset_can_be_extended_twice(tmp_path: Path) -> None:
    """A file that is met on two ways counts once, where it is met first."""
    policy = policy_of(tmp_path, own='extends = ["float16-deploy", "strict", "edge"]')
    sources = [one.source for one in policy.inherited]
    assert sources == [f"preset {name}" for name in ("float16-deploy", "strict", "int8-deploy", "edge")]
    assert policy.fail_on is Severity.WARNING


@pytest.mark.parametrize("preset", [name for name in preset_names() if name not in {"default", "strict"}])
def test_a_preset_does_not_loosen_the_gate(tmp_path: Path, preset: str) -> None:
    """Behind a policy of the team, a preset leaves alone what it does not speak of: level and selection."""
    base = 'fail-on = "warning"\nselect = ["WA1", "WA2", "WA4"]'
    policy = policy_of(tmp_path, own=f'extends = ["base.toml", "{preset}"]', base=base)
    assert (policy.fail_on, policy.select) == (Severity.WARNING, ("WA1", "WA2", "WA4"))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"own": 'extends = "own.toml"'}, "extends itself"),
        ({"own": 'extends = "b.toml"', "b": 'extends = "own.toml"'}, "extends itself"),
        ({"own": 'extends = "absent.toml"'}, "absent.toml cannot be read"),
        ({"own": 'extends = "strickt"'}, "is neither a preset (did you mean 'strict'?)"),
        ({"own": "extends = 1"}, "extends must be a list of strings"),
        ({"own": 'extends = "b.toml"', "b": "selct = []"}, "b.toml: unknown key 'selct'"),
    ],
)
def test_wrong_bases_are_refused_in_one_sentence(
    tmp_path: Path, files: dict[str, str], expected: str
) -> None:
    """Circles, files that are not there and unknown presets are told, not followed."""
    with pytest.raises(PolicyError) as caught:
        policy_of(tmp_path, **files)
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message
    assert message.endswith(".")


def test_digests_tell_what_matters(tmp_path: Path) -> None:
    """A suppression changes what the gate says, not which findings there are; a comment changes neither."""
    plain = policy_of(tmp_path, own="[rules.WA301]\nmax = 2.0")
    same = policy_of(tmp_path, own="# why\n[rules.WA301]\nmax = 2.0\n")
    excused = policy_of(
        tmp_path, own='[rules.WA301]\nmax = 2.0\n[[suppressions]]\nrule = "WA301"\nreason = "known"'
    )
    other = policy_of(tmp_path, own="[rules.WA301]\nmax = 3.0")
    assert policy_digest(plain) == policy_digest(same) != policy_digest(excused)
    assert judging_digest(plain) == judging_digest(excused) != judging_digest(other)
    assert rule_of(plain, "WA301") != rule_of(other, "WA301")
