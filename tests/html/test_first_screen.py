"""The first screen: whether a model is fit to ship, what is wrong, where, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.html.pages import audited, measured, view
from weightaudit.html.grouping import groups

if TYPE_CHECKING:
    from pathlib import Path

    from tests.html.chromium import Chromium

_SEEN = """[...document.querySelectorAll(".summary :is(h1, .brief *)")]
    .filter(one => one.getBoundingClientRect().bottom <= innerHeight).map(one => one.innerText).join("\\n")"""
"""What the head and its briefs say in the part that is seen without scrolling."""


def _save(path: Path, names: tuple[str, ...]) -> Path:
    """Save layers in an order that is not that of the alphabet; every kernel has one NaN."""
    kernel = np.random.default_rng(4).normal(0, 0.1, (8, 8)).astype(np.float32)
    kernel[2, 3] = np.nan
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            file[f"{name}/{name}/kernel:0"] = kernel
            file[name].attrs["weight_names"] = [f"{name}/kernel:0".encode()]
    return path


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_it_says_what_is_wrong_where_and_what_to_do(
    browser: Chromium, broken: Path, width: int, height: int
) -> None:
    """Without scrolling, on a laptop and on a phone: verdict, rule, tensor, finding and remedy."""
    browser.size(width, height, mobile=width < 500)
    browser.open(broken)
    seen: str = browser.run(_SEEN)
    for words in ("Failed", "WA101", "nan-values", "dense/hidden/kernel", "is NaN", "Go back to the last"):
        assert words in seen


def test_it_leads_to_the_tensor(browser: Chromium, broken: Path) -> None:
    """The tensor that is named is a link, which opens its details."""
    browser.open(broken)
    browser.run("document.querySelector('.brief a.name').click()")
    browser.run("new Promise(done => setTimeout(() => done(0), 50))")
    assert browser.run("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert browser.run("document.activeElement.textContent") == "dense/hidden/kernel"


def test_the_first_tensor_along_the_depth_is_named(tmp_path: Path) -> None:
    """Of equal findings that of the first layer stands for all: what is behind it may only follow from it."""
    (model,) = measured(_save(tmp_path / "m.h5", ("zeta", "alpha", "beta"))).models
    (group,) = (one for one in groups(model, view()) if one.code == "WA101")
    assert (group.first.tensor, group.total) == ("zeta/kernel", 3)


def test_many_rules_are_told_by_name(browser: Chromium, pages: Path, tmp_path: Path) -> None:
    """Beyond the worst four, rules with findings are one line of links, so that the picture stays near."""
    path = tmp_path / "sick.weights.h5"
    chance = np.random.default_rng(9)
    with h5py.File(path, "w") as file:
        for number in range(12):
            kernel = chance.normal(0, 0.1, (64, 64)).astype(np.float32)
            if number == 1:
                kernel[0, 0] = np.nan
            elif number == 2:
                kernel[0, 0] = np.inf
            elif number == 3:
                kernel *= 1e6
            elif number == 4:
                kernel[:, :20] = 0
            elif number == 5:
                kernel[3, 4] = 1.7e29
            file[f"layers/dense_{number}/vars/0"] = kernel
    browser.open(audited(pages / "sick.html", path))
    assert browser.run("document.querySelectorAll('.brief').length") == 4
    told = browser.run("[...document.querySelectorAll('.summary .chip b')].map(one => one.textContent)")
    assert len(told) > 4
    assert sorted(told) == sorted(
        browser.run("[...document.querySelectorAll('.group .code')].map(one => one.textContent)")
    )


def test_models_that_did_not_pass_come_first(browser: Chromium, several: Path) -> None:
    """The overview of several models begins with what is incomplete or failed, and names the rules."""
    browser.open(several)
    rows: list[str] = browser.run(
        "[...document.querySelectorAll('.models tbody tr')].map(one => one.innerText)"
    )
    assert ["incomplete" in rows[0], "failed" in rows[1], "passed" in rows[2]] == [True] * 3
    assert "nan.keras" in rows[1]
    assert "WA101 nan-values" in rows[1]
