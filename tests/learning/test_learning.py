"""Bounds that are learned from good models: what they are, who keeps them, and what breaks them."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from glob import escape
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import weightaudit
from weightaudit.discover import search
from weightaudit.errors import ReadError, UsageError
from weightaudit.learning import UnfitError, learn
from weightaudit.learning.bounding import Slack, outward
from weightaudit.learning.observing import Span
from weightaudit.options import toml_string
from weightaudit.policy import parse_policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[np.float32]"]


def layers(seed: int = 0, scale: float = 0.1) -> Arrays:
    """Return two kernels and a bias; those of another seed differ by a hundredth."""
    base, step = np.random.default_rng(1), np.random.default_rng(seed + 2)
    shapes = {"dense/vars/0": (32, 16), "dense/vars/1": (16,), "dense_1/vars/0": (16, 8)}
    return {
        name: (scale * (base.normal(size=shape) + 0.01 * step.normal(size=shape))).astype(np.float32)
        for name, shape in shapes.items()
    }


def write(path: Path, arrays: Mapping[str, NDArray[np.float32]]) -> str:
    """Write a weight file of Keras 3."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(f"layers/{name}", data=values)
    return str(path)


def broken_by(text: str, path: str) -> set[tuple[str, str | None]]:
    """Return the errors that a learned policy finds in a model: rule and tensor."""
    report = weightaudit.audit(path, policy=parse_policy(tomllib.loads(text), "learned"))
    return {(one.code, one.tensor) for one in report.findings if one.severity is weightaudit.Severity.ERROR}


def sections(text: str) -> list[dict[str, Any]]:
    """Return the overrides of a policy."""
    found: list[dict[str, Any]] = tomllib.loads(text)["overrides"]
    return found


def test_one_model_gives_bounds_per_role(tmp_path: Path) -> None:
    """Values and gains of a role are bounded by what was measured and the slack, rounded outward."""
    arrays = layers()
    lesson = learn([write(tmp_path / "a.weights.h5", arrays)])
    assert (lesson.roles, lesson.tensors) == (2, 0)
    kernel = next(one["rules"] for one in sections(lesson.text) if one["roles"] == ["kernel"])
    kernels = [arrays["dense/vars/0"], arrays["dense_1/vars/0"]]
    low, high = min(float(one.min()) for one in kernels), max(float(one.max()) for one in kernels)
    room = 0.25 * max(-low, high)
    assert low - room >= kernel["value-bound"]["min"] == pytest.approx(low - room, rel=1e-3)
    assert high + room <= kernel["value-bound"]["max"] == pytest.approx(high + room, rel=1e-3)
    gains = [sqrt(len(one)) * float(np.sqrt(np.mean(np.square(one, dtype=np.float64)))) for one in kernels]
    assert kernel["exploding-scale"]["error"] == pytest.approx(1.25 * max(gains), rel=1e-3)
    assert kernel["vanishing-scale"]["error"] == pytest.approx(min(gains) / 1.25, rel=1e-3)


def test_models_that_agree_give_bounds_per_tensor(tmp_path: Path) -> None:
    """Of two models, each tensor has its own interval of norms; one whose norm doubled has none."""
    first, second = layers(0), layers(1)
    second["dense/vars/1"] = second["dense/vars/1"] * 3
    paths = [write(tmp_path / f"{n}.weights.h5", one) for n, one in enumerate((first, second))]
    lesson = learn(paths)
    single = {one["tensors"][0]: one["rules"] for one in sections(lesson.text) if "tensors" in one}
    assert set(single) == {"dense/kernel", "dense_1/kernel"}
    norms = [float(np.linalg.norm(one["dense/vars/0"].astype(np.float64))) for one in (first, second)]
    bound = single["dense/kernel"]["min-max-norm"]
    assert min(norms) / 1.25 >= bound["min"] == pytest.approx(min(norms) / 1.25, rel=1e-3)
    assert max(norms) * 1.25 <= bound["max"] == pytest.approx(max(norms) * 1.25, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "factor", "code"),
    [("dense/vars/0", 3.0, "WA303"), ("dense/vars/0", 0.3, "WA303"), ("dense/vars/1", 5.0, "WA304")],
)
def test_what_leaves_the_bounds_is_found(tmp_path: Path, name: str, factor: float, code: str) -> None:
    """A layer of three times or a third of its size, and a bias of five times, break the learned policy."""
    paths = [write(tmp_path / f"{n}.weights.h5", layers(n)) for n in range(2)]
    text = learn(paths).text
    changed = layers(2)
    assert broken_by(text, write(tmp_path / "near.weights.h5", changed)) == set()
    changed[name] = changed[name] * np.float32(factor)
    broken = broken_by(text, write(tmp_path / "far.weights.h5", changed))
    assert code in {found for found, _ in broken}
    tensor = "dense/kernel" if name.endswith("0") else "dense/bias"
    assert {found for _, found in broken} == {tensor}


def test_a_pruned_tensor_has_to_stay_pruned(tmp_path: Path) -> None:
    """One model shows that a tensor is pruned: its zeros become a bound, that of the dense one does not."""
    arrays = layers()
    mask = np.random.default_rng(7).random((32, 16)) < 0.6
    arrays["dense/vars/0"] = np.where(mask, 0, arrays["dense/vars/0"]).astype(np.float32)
    text = learn([write(tmp_path / "a.weights.h5", arrays)]).text
    (single,) = [one for one in sections(text) if "tensors" in one]
    assert single["tensors"] == ["dense/kernel"]
    assert single["rules"]["sparsity"]["min"] == pytest.approx(mask.mean() / 1.25, rel=1e-3)
    assert ("WA401", "dense/kernel") in broken_by(text, write(tmp_path / "b.weights.h5", layers()))


def test_dead_channels_are_allowed_as_far_as_they_were_there(tmp_path: Path) -> None:
    """Two dead channels of a good model are no finding of the learned policy; five are."""
    arrays = layers()
    arrays["dense/vars/0"][:, :2] = 0
    path = write(tmp_path / "a.weights.h5", arrays)
    text = learn([path]).text
    policy = parse_policy(tomllib.loads(text), "learned")
    assert [one.code for one in weightaudit.audit(path, policy=policy).findings] == []
    assert [one.code for one in weightaudit.audit(path).findings] == ["WA402"]
    arrays["dense/vars/0"][:, :5] = 0
    worse = weightaudit.audit(write(tmp_path / "b.weights.h5", arrays), policy=policy)
    assert "WA402" in {one.code for one in worse.findings}


def test_the_text_is_the_same_each_time(tmp_path: Path) -> None:
    """The same models give the same bytes, whatever the number of workers."""
    from weightaudit.auditor import Means

    paths = [write(tmp_path / f"{n}.weights.h5", layers(n)) for n in range(2)]
    texts = {learn(paths, means=Means(workers=workers)).text for workers in (1, 2, 2)}
    assert len(texts) == 1


@pytest.mark.parametrize("slack", [0.0, 0.25, 3.0])
def test_every_fixture_passes_its_own_policy(fixtures_dir: Path, slack: float) -> None:
    """Each good fixture, and all of them together, pass what was learned, without any slack too."""
    skipped = {"nan.keras", "notamodel.h5", "overflow.keras"}
    good = [
        str(one.path) for one in search([str(fixtures_dir)]).targets if Path(one.label).name not in skipped
    ]
    for paths in (*([path] for path in good), good):
        assert learn(paths, slack=slack).report.ok
    assert len(good) >= 10


def test_every_real_model_passes_its_own_policy(corpus: Path) -> None:
    """Each good real model passes what was learned from it, and all of them what they share."""
    good: list[str] = []
    for target in search([str(corpus)]).targets:
        try:
            assert learn([str(target.path)], slack=0.0).report.ok
        except (UnfitError, ReadError, UsageError):
            continue
        good.append(str(target.path))
    assert len(good) >= 40
    assert learn(good).report.ok


def test_names_that_mean_something_else_elsewhere(tmp_path: Path) -> None:
    """A name that two models use for tensors of different shapes gets no bounds of its own."""
    other = {name: values[..., :4] * 30 for name, values in layers().items()}
    paths = [write(tmp_path / "a.weights.h5", layers()), write(tmp_path / "b.weights.h5", other)]
    assert learn(paths).tensors == 0


def test_a_model_with_errors_is_not_good(fixtures_dir: Path) -> None:
    """Nothing is learned from a model that has NaN: one sentence names it, the tensor and the rule."""
    with pytest.raises(UnfitError, match=r"nan\.keras is not a good model.*WA101.*\.$") as caught:
        learn([str(fixtures_dir / "healthy.keras"), str(fixtures_dir / "nan.keras")])
    assert caught.value.exit_code == 1


def test_what_is_no_model_or_makes_no_sense_is_refused(fixtures_dir: Path) -> None:
    """A file that is no model, a path that is not there, and a slack below zero have a sentence each."""
    with pytest.raises(ReadError, match=r"notamodel\.h5 cannot be learned from: "):
        learn([str(fixtures_dir / "notamodel.h5")])
    with pytest.raises(UsageError, match="nowhere"):
        learn([str(fixtures_dir / "nowhere.keras")])
    for slack in (-0.1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="makes no sense"):
            learn([str(fixtures_dir / "healthy.keras")], slack=slack)


@given(st.floats(-1e30, 1e30))
def test_bounds_are_rounded_outward(value: float) -> None:
    """A rounded bound is never on the inner side, nor further off than a thousandth."""
    assert outward(value, up=False) <= value <= outward(value, up=True)
    assert outward(value, up=True) - value <= abs(value) * 1e-3 + 1e-300


@given(st.floats(0, 1e20), st.floats(0, 10))
def test_slack_never_tightens(value: float, share: float) -> None:
    """With any slack, what was measured lies inside the bounds."""
    slack = Slack(share)
    assert slack.below(value) <= value <= slack.above(value)
    low, high = slack.around(Span(-value, value / 2))
    assert low <= -value
    assert value / 2 <= high


def test_what_starts_at_zero_has_room_to_grow(tmp_path: Path) -> None:
    """A bias that training made 1.9 times as large passes; a kernel that did, and a bias of 3, fails."""
    good = layers()
    text = learn([write(tmp_path / "good.weights.h5", good)]).text
    grown = {**good, "dense/vars/1": good["dense/vars/1"] * np.float32(1.9)}
    assert broken_by(text, write(tmp_path / "grown.weights.h5", grown)) == set()
    broken = {**good, "dense/vars/1": good["dense/vars/1"] * np.float32(3)}
    assert broken_by(text, write(tmp_path / "bias.weights.h5", broken)) == {("WA304", "dense/bias")}
    broken = {**good, "dense/vars/0": good["dense/vars/0"] * np.float32(1.9)}
    assert ("WA304", "dense/kernel") in broken_by(text, write(tmp_path / "kernel.weights.h5", broken))


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_name_can_be_written(name: str) -> None:
    """A glob made of a name matches that name alone, and survives TOML, whatever is in it."""
    glob = tomllib.loads(f"glob = {toml_string(escape(name))}")["glob"]
    assert fnmatchcase(name, glob)
    assert not fnmatchcase(f"{name}x", glob)


def test_one_path_is_no_row_of_letters(tmp_path: Path) -> None:
    """A single model can be named by its path, as text or not, as for an audit."""
    path = write(tmp_path / "good.weights.h5", layers())
    assert learn(path).text == learn(Path(path)).text == learn([Path(path)]).text
