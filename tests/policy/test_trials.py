"""The examples that a policy carries, and what is said where they are not as they must be."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest

from weightaudit.errors import PolicyError
from weightaudit.policy import parse_policy
from weightaudit.policy.tensors import made
from weightaudit.policy.trials import Trial, trials, trials_text
from weightaudit.registry import load_registry
from weightaudit.tensor import Role

KERNEL = {"normal": 0.05, "shape": [64, 32]}
HOLES = {"values": [[1.0, float("nan")], [0.5, 2.0]]}


def tried(test: dict[str, Any], **policy: Any) -> Trial:
    """Try one example under a policy."""
    (trial,) = trials(parse_policy({"tests": [test], **policy}, "p.toml"), load_registry())
    return trial


def test_what_a_policy_passes_and_fails() -> None:
    """An example is right if the gate does with it what it must."""
    assert tried({"tensor": KERNEL, "must": "pass"}).is_right
    assert tried({"tensor": HOLES, "must": "fail"}).is_right
    assert tried({"tensor": HOLES, "must": "fail", "rules": ["nan-values"]}).is_right
    failed = tried({"tensor": HOLES, "must": "pass"})
    assert failed.problem.startswith("It fails: error WA101 of layer/kernel: 1 of 4 values is NaN")


@pytest.mark.parametrize(
    ("test", "policy", "problem"),
    [
        ({"tensor": KERNEL}, {}, "It passes: no rule finds anything."),
        ({"tensor": HOLES, "rules": ["WA102"]}, {}, "It passes: WA102 finds nothing."),
        (
            {"tensor": HOLES, "rules": ["WA101"]},
            {"ignore": ["WA101"]},
            "WA101 does not judge under this policy",
        ),
        ({"tensor": KERNEL, "rules": ["WA301"]}, {}, "WA301 does not judge under this policy"),
        (
            {"tensor": HOLES, "rules": ["WA101"]},
            {"rules": {"WA101": {"severity": "note"}}},
            "NaN, which spreads to every output that is computed with it. That is below error.",
        ),
        (
            {"tensor": HOLES},
            {"suppressions": [{"rule": "WA101", "tensors": "layer/*", "reason": "masked"}]},
            "It passes: no rule finds anything.",
        ),
        (
            {"tensor": HOLES},
            {"overrides": [{"roles": ["kernel"], "ignore": ["WA101"]}]},
            "It passes: no rule finds anything.",
        ),
    ],
)
def test_why_an_example_passes_that_must_fail(
    test: dict[str, Any], policy: dict[str, Any], problem: str
) -> None:
    """The report tells what kept the gate open: options, severity, an override, a suppression."""
    assert problem in tried({**test, "must": "fail"}, **policy).problem


def test_a_level_of_its_own() -> None:
    """An example can ask for warnings although the gate fails for errors only, or never."""
    large = {"role": "moving-variance", "fill": 3e5, "shape": [8]}
    assert tried({"tensor": large, "must": "pass"}).is_right
    assert tried({"tensor": large, "must": "fail", "severity": "warning"}).is_right
    assert tried({"tensor": HOLES, "must": "fail"}, **{"fail-on": "never"}).is_right


def test_tensors_beside() -> None:
    """Rules that compare tensors see those beside it: two kernels with the same numbers are told."""
    copy = KERNEL | {"name": "other/kernel"}
    test = {"tensor": KERNEL, "beside": [copy], "must": "fail", "rules": ["WA503"], "severity": "warning"}
    assert tried(test).is_right
    assert not tried(test | {"beside": [copy | {"seed": 1}]}).is_right


def test_the_report() -> None:
    """There is a line for each example and one for all, and control characters of a title stay harmless."""
    policy = parse_policy(
        {
            "tests": [
                {"tensor": KERNEL, "must": "pass", "title": "a kernel\x1b[2J"},
                {"tensor": HOLES, "must": "pass"},
            ]
        },
        "p.toml",
    )
    first, second, third, last = trials_text(trials(policy, load_registry()), "p.toml").splitlines()
    assert first == "ok     p.toml: tests[0] a kernel\\x1b[2J: must pass"
    assert second == "FAILED p.toml: tests[1]: must pass"
    assert third.startswith("       It fails: error WA101")
    assert last == "p.toml: 1 of 2 examples are as they must be."


def test_what_a_tensor_can_be() -> None:
    """Name, role, class, type and every way to fill it arrive in the tensor that rules see."""
    info, values = made(
        tomllib.loads(
            'name = "enc/dw_1/kernel"\nrole = "recurrent-kernel"\nlayer-class = "GRU"\ndtype = "float16"\n'
            "shape = [4, 6]\nfill = 2.0\nzeros = 0.5\ntrainable = false\n"
            "put = [{at = 23, value = inf}, {at = [0, 1], value = -1.5}]"
        ),
        "t",
    )
    assert (info.name, info.layer, info.layer_class) == ("enc/dw_1/kernel", "enc/dw_1", "GRU")
    assert (info.role, info.dtype, info.shape, info.trainable) == (
        Role.RECURRENT_KERNEL, "float16", (4, 6), False,
    )  # fmt: skip
    assert values.dtype == np.float16
    assert values[3, 5] == np.inf
    assert values[0, 1] == -1.5
    assert 10 <= int((values == 0).sum()) <= 12


def test_random_tensors_are_the_same_each_time() -> None:
    """A seed decides the numbers, so an example cannot fail on one day and pass on the next."""
    first, again, other = (made({**KERNEL, "seed": seed}, "t")[1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert abs(first.std() / 0.05 - 1) < 0.1
    spread = made({"uniform": [-1, 3], "shape": [1000]}, "t")[1]
    assert -1 <= spread.min() < -0.9
    assert 2.9 < spread.max() <= 3


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        ({"shape": [2]}, "t must have exactly one of values, fill, normal, uniform"),
        ({"fill": 1, "normal": 1, "shape": [2]}, "exactly one of"),
        ({"fill": 1}, "t needs a shape, a list of integers"),
        ({"fill": 1, "shape": [0]}, "t.shape must have 1 to 16777216 elements"),
        ({"fill": 1, "shape": [1 << 40]}, "t.shape must have 1 to"),
        ({"fill": 1, "shape": [1] * 70}, "t.shape has 70 axes; give 32 at most"),
        ({"fill": "1", "shape": [2]}, "t.fill must be a number, not a string"),
        ({"normal": -1, "shape": [2]}, "is a standard deviation, so it must be 0 or more"),
        ({"uniform": [2, 1], "shape": [2]}, "the smaller one first"),
        ({"uniform": 1, "shape": [2]}, "a list of two numbers"),
        ({"values": [[1], [1, 2]]}, "t.values must be numbers, in lists of equal length"),
        ({"values": ["a"]}, "t.values must be numbers"),
        ({"values": []}, "t.values has 0 numbers"),
        ({"values": [1, 2], "shape": [3]}, "t.shape has 3 elements, and values has 2"),
        ({"fill": 1, "shape": [2], "zeros": 2}, "must lie between 0 and 1"),
        ({"fill": 1, "shape": [2], "put": 1}, "t.put must be a list of tables"),
        ({"fill": 1, "shape": [2], "put": [1]}, "t.put[0] must be a table"),
        ({"fill": 1, "shape": [2], "put": [{"at": 0}]}, "t.put[0] must say at which index, and which value"),
        (
            {"fill": 1, "shape": [2], "put": [{"at": 2, "value": 1}]},
            "t.put[0].at is outside of the shape [2]",
        ),
        ({"fill": 1, "shape": [2], "put": [{"at": [0, 0], "value": 1}]}, "outside of the shape [2]"),
        ({"fill": 1, "shape": [2], "dtype": "float31"}, "not 'float31' (did you mean 'float32'?)"),
        ({"fill": 1, "shape": [2], "role": "kernl"}, "'kernl' is not a role"),
        ({"fill": 1, "shape": [2], "trainable": 1}, "t.trainable must be true or false"),
        ({"fill": 1, "shape": [2], "layer_clas": "a"}, "unknown key 'layer_clas'"),
        ({"fill": 1, "shape": [2], "seed": 0.5}, "t.seed must be an integer, not a number"),
        ({"normal": 1, "shape": [2], "seed": -1}, "t.seed must be 0 or more"),
    ],
)
def test_wrong_tensors_are_refused(tensor: dict[str, Any], expected: str) -> None:
    """Every mistake in a tensor is one sentence that names its place."""
    with pytest.raises(PolicyError) as caught:
        made(tensor, "t")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ({"tensor": KERNEL}, 'tests[0] must have a tensor, and must = "pass" or "fail"'),
        ({"tensor": KERNEL, "must": "break"}, "tests[0].must must be pass or fail, not 'break'"),
        ({"tensor": 1, "must": "pass"}, "tests[0].tensor must be a table"),
        ({"tensor": KERNEL, "must": "pass", "rules": ["WA9"]}, "tests[0].rules: 'WA9' is no code"),
        ({"tensor": KERNEL, "must": "pass", "beside": [KERNEL]}, "two tensors are called 'layer/kernel'"),
    ],
)
def test_wrong_examples_are_refused(test: dict[str, Any], expected: str) -> None:
    """An example that says too little, or something unknown, is refused with its place."""
    with pytest.raises(PolicyError) as caught:
        tried(test)
    assert expected in str(caught.value)
