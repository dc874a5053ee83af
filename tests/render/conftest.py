"""Reports to render: one with everything a report can say, and one whose names attack the reader."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
import pytest

from weightaudit.render.view import View
from weightaudit.report import Coverage, LeftOut, ModelReport, Report, Skipped, Suppressed
from weightaudit.rule import Finding, Rule, Severity
from weightaudit.statistics import Block, Extremes, Moments, NonFinite, Peak, Stats, Zeros
from weightaudit.tensor import Evidence, Role, TensorInfo
from weightaudit_rules.expired_suppression import ExpiredSuppression
from weightaudit_rules.low_precision_overflow import LowPrecisionOverflow
from weightaudit_rules.nan_values import NanValues

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07kernel",
    "line\r\none\u2028two\x85three",
    "::error file=a::b",
    "##[error]x ##vso[task.complete]",
    "[bold red]markup[/] [link=a]b[/link] :warning:",
    "abc\u202egpj.exe\u2066\u200b",
    "lone \udc80 surrogate",
    "back\\x1bslash",
    '"quoted", <b>html</b> & =1+1',
    "=cmd|' /C calc'!A0",
    "]]> <!ENTITY x SYSTEM 'file:///etc/passwd'> &x; <?pi?>",
    "| pipe | `tick` **bold** ~~gone~~ $x$ [a](https://evil.test) ![b](c)",
    "@team #1 :warning: https://evil.test www.evil.test a_b _c_",
    "{0} {evil} 100% %0A%0D",
    "nul \x00 non-character \ufffe",
    "n" * 10_000,
)


def measured(info: TensorInfo, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Stats:
    """Measure an array with the statistics that --verbose asks for."""
    folds = {one: one.start(info) for one in (NonFinite(), Extremes(), Moments(), Zeros(), Peak())}
    for fold in folds.values():
        fold.update(Block(values.ravel(), 0))
    return Stats({one: fold.finish() for one, fold in folds.items()})


@pytest.fixture
def names() -> dict[str, str]:
    """Names of the rules that the reports mention."""
    return {"WA101": "nan-values", "WA202": "float16-overflow", "WA401": "dead-channels"}


@pytest.fixture
def report() -> Report:
    """A sick model, a healthy one, one with a skipped tensor and one that cannot be opened."""
    kernel = TensorInfo(
        name="head/kernel",
        key="layers/dense/vars/0",
        shape=(2, 3),
        dtype="float32",
        role=Role.KERNEL,
        evidence=Evidence.CONFIG,
        layer="head",
        layer_class="Dense",
    )
    label = TensorInfo(name="label", key="label", shape=(), dtype="string")
    stats = {"head/kernel": measured(kernel, np.array([[nan, inf, 0], [1, -2, 0.5]], np.float32))}
    findings = (
        Finding("WA401", Severity.NOTE, "head/kernel", "1 of 3 channels is dead.", {"channels": 1}),
        Finding("WA202", Severity.WARNING, None, "No scale fits.", {"peak": inf, "low": -inf, "why": None}),
        Finding(
            "WA101", Severity.ERROR, "head/kernel", "1 of 6 elements is NaN.", {"share": nan, "ok": False}
        ),
    )
    sick = ModelReport(
        path="sick.keras",
        container="Keras archive",
        findings=findings,
        notes=("A stale shard lies beside it.",),
        coverage=Coverage(1, 1, 1, 24),
        tensors=(kernel, label),
        stats=stats,
    )
    healthy = ModelReport("good.h5", "Keras HDF5", coverage=Coverage(262, 262, 0, 102_400_000))
    skipped = Skipped("body/bias", "Its chunk is damaged.")
    partial = ModelReport("partial.h5", "Keras HDF5", skipped=(skipped,), coverage=Coverage(1, 2, 0, 999))
    unreadable = ModelReport("notes.txt", failure="notes.txt is not a saved model.")
    return Report((sick, healthy, partial, unreadable))


@pytest.fixture
def hostile() -> Report:
    """A report in which every name, reason and message is an attack on whoever shows it."""
    models = [
        ModelReport(
            path=text,
            container=text,
            findings=(Finding("WA101", Severity.ERROR, text, text, {"text": text}),),
            skipped=(Skipped(text, text),),
            failure=text,
            notes=(text,),
            tensors=(TensorInfo(name=text, key=text, shape=(1,), dtype=text, layer=text, layer_class=text),),
        )
        for text in HOSTILE
    ]
    return Report(models)


@pytest.fixture
def view() -> View:
    """A view with three rules that judged, one of them the policy, and their names."""
    judges: tuple[type[Rule], ...] = (NanValues, LowPrecisionOverflow, ExpiredSuppression)
    rules = {rule.code: rule for rule in judges}
    return View(rules=rules, active=tuple(rules))


@pytest.fixture
def settled() -> Report:
    """A report with suppressed findings, and with findings about the policy itself."""

    def finding(code: str, severity: Severity, tensor: str | None, message: str) -> Finding:
        return Finding(code, severity, tensor, message, {"count": 1})

    model = ModelReport(
        path="models/settled.keras",
        container="Keras archive",
        findings=(finding("WA210", Severity.WARNING, "b/kernel", "1 of 4 values becomes infinite."),),
        suppressed=(
            Suppressed(
                finding("WA101", Severity.ERROR, "a/kernel", "1 of 4 values is NaN."),
                "It is masked.",
                "weightaudit.toml: suppress[0]",
            ),
        ),
        coverage=Coverage(2, 2, 0, 32),
    )
    return Report(
        (model,),
        Severity.WARNING,
        left_out=(LeftOut("models/notes.txt", "a text"),),
        policy="weightaudit.toml",
        policy_findings=(finding("WA901", Severity.ERROR, None, "suppress[1] expired on 2026-01-01."),),
    )


def sample(found: list[Any], most: int = 40) -> list[Any]:
    """Return the first and the last of many that are alike: to check each against a schema takes minutes."""
    return found if len(found) <= most else [*found[: most // 2], *found[-most // 2 :]]


def crowd(number: int) -> Report:
    """Return a report with that many findings, of all severities, in one model."""
    levels = tuple(Severity)
    findings = tuple(
        Finding("WA101", levels[index % 3], f"layer_{index}/kernel", "NaN.", {"count": index})
        for index in range(number)
    )
    return Report((ModelReport("big.keras", "Keras archive", findings, coverage=Coverage(1, 1, 0, 4)),))
