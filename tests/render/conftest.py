"""Reports to render: one with everything a report can say, and one whose names attack the reader."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

from weightaudit.report import Coverage, ModelReport, Report, Skipped
from weightaudit.rule import Finding, Severity
from weightaudit.statistics import Block, Extremes, Moments, NonFinite, Peak, Stats, Zeros
from weightaudit.tensor import Evidence, Role, TensorInfo

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
