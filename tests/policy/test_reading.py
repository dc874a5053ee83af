"""What a policy file may say, and how it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from weightaudit.errors import PolicyError
from weightaudit.policy import Override, Policy, RuleSettings, find_policy, read_policy
from weightaudit.registry import configure, load_registry
from weightaudit.rule import Severity
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
select = ["WA1", "norm-bound"]
ignore = ["WA402"]
fail-on = "warning"
plugins = ["my_rules"]

[rules.WA301]
max-norm = 3.0
axis = 0
severity = "error"

[[overrides]]
tensors = ["conv*/kernel"]
roles = ["norm-scale", "kernel"]
layer-classes = ["Conv2D"]
ignore = ["WA2"]

[overrides.rules.WA203]
limit = 10.0
"""


def write(path: Path, text: str) -> Path:
    """Write a file, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> str:
    """Return the sentence with which a policy is refused."""
    with pytest.raises(PolicyError) as caught:
        read_policy(write(folder / "weightaudit.toml", text))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert "weightaudit.toml" in message
    return message


def test_everything_a_policy_can_say(tmp_path: Path) -> None:
    """Every key arrives as typed data, with option names in snake_case."""
    policy = read_policy(write(tmp_path / "weightaudit.toml", WHOLE))
    assert policy.select == ("WA1", "norm-bound")
    assert policy.ignore == ("WA402",)
    assert policy.fail_on is Severity.WARNING
    assert policy.plugins == ("my_rules",)
    assert policy.rules == {"WA301": RuleSettings({"max_norm": 3.0, "axis": 0}, Severity.ERROR)}
    assert policy.overrides == (
        Override(
            tensors=("conv*/kernel",),
            roles=(Role.NORM_SCALE, Role.KERNEL),
            layer_classes=("Conv2D",),
            ignore=("WA2",),
            rules={"WA203": RuleSettings({"limit": 10.0})},
        ),
    )


def test_an_empty_policy_is_the_default_one(tmp_path: Path) -> None:
    """A file that says nothing changes nothing but the source that messages name."""
    policy = read_policy(write(tmp_path / "weightaudit.toml", ""))
    assert policy == Policy(source=policy.source)


def test_fail_on_never(tmp_path: Path) -> None:
    """`never` means that findings do not fail the gate at all."""
    assert read_policy(write(tmp_path / "weightaudit.toml", 'fail_on = "never"')).fail_on is None


def test_the_nearest_policy_upward_holds(tmp_path: Path) -> None:
    """A policy holds below its directory, until a nearer one takes over."""
    write(tmp_path / "weightaudit.toml", 'select = ["WA1"]')
    write(tmp_path / "inner" / "pyproject.toml", '[tool.weightaudit]\nselect = ["WA2"]')
    deep = tmp_path / "inner" / "deep"
    deep.mkdir()
    assert find_policy(deep).select == ("WA2",)
    assert find_policy(tmp_path).select == ("WA1",)


def test_a_project_without_the_table_is_passed_over(tmp_path: Path) -> None:
    """A pyproject.toml of someone else does not hide the policy above it."""
    write(tmp_path / "weightaudit.toml", 'select = ["WA1"]')
    write(tmp_path / "inner" / "pyproject.toml", "[tool.other]\nselect = 1")
    assert find_policy(tmp_path / "inner").select == ("WA1",)


def test_own_file_wins_over_the_project_beside_it(tmp_path: Path) -> None:
    """Where both files lie side by side, weightaudit.toml is the policy."""
    write(tmp_path / "weightaudit.toml", 'select = ["WA1"]')
    write(tmp_path / "pyproject.toml", '[tool.weightaudit]\nselect = ["WA2"]')
    assert find_policy(tmp_path).select == ("WA1",)


def test_a_link_that_leads_nowhere_is_no_missing_policy(tmp_path: Path) -> None:
    """A weightaudit.toml that links to nothing, or to itself, is refused; the policy above does not hold."""
    write(tmp_path / "weightaudit.toml", 'select = ["WA1"]')
    for name, target in (("lost", "absent.toml"), ("loop", "weightaudit.toml")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "weightaudit.toml").symlink_to(target)
        with pytest.raises(PolicyError, match=r"weightaudit\.toml cannot be read: "):
            find_policy(folder)


@pytest.mark.parametrize("text", ['[tool]\nweightaudit = "strict"', '[[tool.weightaudit]]\nselect = ["WA1"]'])
def test_a_project_that_names_us_otherwise_is_refused(tmp_path: Path, text: str) -> None:
    """What stands under our name and is no table was meant as a policy, and is not passed over."""
    path = write(tmp_path / "pyproject.toml", text)
    expected = r"tool\.weightaudit must be a table, written \[tool\.weightaudit\] once\."
    with pytest.raises(PolicyError, match=expected):
        find_policy(tmp_path)
    with pytest.raises(PolicyError, match=expected):
        read_policy(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[rules.WA301]\nmax = 2.0\n[rules.WA203]\nlimt = 1.0", "3: rules.WA203: WA203 "),
        ("\nrules.WA203.severity = 'grave'", "2: rules.WA203.severity must be"),
        ("fail-on = 'eror'", "1: fail-on must be"),
        ("[[repair]]\nproject = 'non_neg'\n[[repair]]\nproject = 'max_nrm(2)'", "3: repair[1].project: "),
        ("[[overrides]]\nroles = ['kernel']\nrules.WA203.limt = 1", "1: overrides[0].rules.WA203: "),
        ("[[suppressions]]\nrule = 'WA203'", "1: suppressions[0] must say why"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    """Whoever finds a mistake, the reader, a rule or a projection, names file and line of the table."""
    path = write(tmp_path / "weightaudit.toml", text)
    with pytest.raises(PolicyError) as caught:
        configure(load_registry(), read_policy(path))
    assert f"weightaudit.toml:{expected}" in str(caught.value)


def test_a_mistake_in_a_project_is_told_with_its_line(tmp_path: Path) -> None:
    """Lines are those of the whole pyproject.toml."""
    path = write(tmp_path / "pyproject.toml", "[project]\n[tool.weightaudit.rules.WA203]\nlimt = 1")
    with pytest.raises(PolicyError, match=r"pyproject\.toml:2: rules\.WA203: "):
        configure(load_registry(), read_policy(path))


def test_a_named_project_needs_the_table(tmp_path: Path) -> None:
    """--policy pyproject.toml without the table is a mistake, not an empty policy."""
    path = write(tmp_path / "pyproject.toml", "[tool.other]\n")
    with pytest.raises(PolicyError, match=r"has no table \[tool\.weightaudit\]"):
        read_policy(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('selct = ["WA1"]', "unknown key 'selct' (did you mean 'select'?)"),
        ('fail_onn = "error"', "unknown key 'fail_onn' (did you mean 'fail-on'?)"),
        ('select = "WA1"', "select must be a list of strings, not a string"),
        ("select = [1]", "select must be a list of strings; 1 is an integer"),
        ('fail-on = "eror"', "fail-on must be error, warning, note or never, not 'eror'"),
        ("fail-on = true", "fail-on must be error, warning, note or never, not True"),
        ("rules = 1", "rules must be a table, not an integer"),
        ("[rules]\nWA301 = 3", "rules.WA301 must be a table, not an integer"),
        ('[rules.WA301]\nseverity = "never"', "rules.WA301.severity must be error, warning or note"),
        ("[rules.WA301]\nmax-norm = 1\nmax_norm = 2", "rules.WA301: the key 'max_norm' is given twice"),
        ("overrides = 3", "overrides must be a list of tables"),
        ('exclude = ["*.h5"]', "unknown key 'exclude' (known are extends, select, ignore, plugins, fail-on,"),
        ('[tool.weightaudit]\nselect = ["WA1"]', "only pyproject.toml has a table [tool.weightaudit]"),
        ('[[overrides]]\ntensors = ["*"]', "overrides[0] changes nothing: give it ignore or rules"),
        ('[[overrides]]\nignore = ["WA1"]', "overrides[0] must say what it is about"),
        (
            '[[overrides]]\nroles = ["kernl"]',
            "overrides[0].roles: 'kernl' is not a role (did you mean 'kernel'?)",
        ),
        ('[[overrides]]\nlayers = ["a"]', "overrides[0]: unknown key 'layers'"),
        ("select = [", "is not valid TOML"),
        ("a = " + "[" * 5000, "weightaudit.toml is n"),
        ("fail-on" + ".a" * 3000 + " = 1", "fail-on must be error, warning, note or never, not {'a': {"),
        (f"select = {'9' * 5000}", "has an integer of thousands of digits"),
    ],
)
def test_a_wrong_policy_is_refused_in_one_sentence(tmp_path: Path, text: str, expected: str) -> None:
    """Every mistake names the file, the key and, where one is near, what was probably meant."""
    assert expected in refused(tmp_path, text)


def test_a_policy_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 give a sentence, not a traceback."""
    path = tmp_path / "weightaudit.toml"
    path.write_bytes(b"select = ['\xff']")
    with pytest.raises(PolicyError, match="is not UTF-8"):
        read_policy(path)


def test_a_policy_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A policy that was asked for by name must exist."""
    with pytest.raises(PolicyError, match=r"cannot be read: No such file or directory\."):
        read_policy(tmp_path / "absent.toml")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """A policy that an editor on Windows saved is read like any other."""
    file = tmp_path / "weightaudit.toml"
    file.write_bytes(b'\xef\xbb\xbffail-on = "warning"\n')
    assert read_policy(file).fail_on is Severity.WARNING
