"""Parsers and damaged input: a refusal in words or an answer, soon, whatever the bytes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.fuzz import keeping
from tests.hostile.fuzz.keeping import kept
from tests.hostile.fuzz.mutating import KINDS, mutated
from tests.hostile.fuzz.targets import TARGETS
from tests.hostile.zips import CONFIG

SLOW = {"config", "keras", "entry", "block", "header", "saved_model", "shards"}
"""Those that write files: they get fewer examples."""


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_sound(name: str) -> None:
    """Half of the damage would go unseen if the seeds were refused at their first byte."""
    target = TARGETS[name]
    assert any(target.attempt(seed) for seed in target.seeds) or name in {"strings", "shards"}


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(data=st.data())
def test_damaged_input(name: str, data: st.DataObject) -> None:
    """A parser refuses damaged input in words, or reads it, and never fails otherwise."""
    target = TARGETS[name]
    seed = data.draw(st.sampled_from(target.seeds))
    drawn = data.draw(st.randoms(use_true_random=False, note_method_calls=False))
    target.attempt(mutated(seed, drawn))


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzzing_found(name: str) -> None:
    """Every input that coverage-guided fuzzing kept is refused in words or read, as when it was found."""
    inputs = list(kept(name))
    assert inputs, f"tests/hostile/fuzz/corpus has nothing for {name}"
    for data in inputs:
        TARGETS[name].attempt(data)


def test_corpus_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive keeps distinct inputs, smallest first, up to a limit, and is always the same bytes."""
    monkeypatch.setattr(keeping, "CORPUS", tmp_path)
    inputs = [b"b", bytes(79_000), b"", b"aa", b"b", bytes(2_000)]
    assert keeping.pack("object graph", inputs) == 4
    before = keeping.archive("object graph").read_bytes()
    assert keeping.pack("object graph", reversed(inputs)) == 4
    assert keeping.archive("object graph").read_bytes() == before
    assert list(kept("object graph")) == [b"", b"b", b"aa", bytes(2_000)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def _replaced(document: Any, value: Any, drawn: Random) -> Any:
    """Return a document in which one value is another."""
    if isinstance(document, dict) and document and drawn.random() < 0.9:
        key = drawn.choice(sorted(document))
        return {**document, key: _replaced(document[key], value, drawn)}
    if isinstance(document, list) and document and drawn.random() < 0.9:
        place = drawn.randrange(len(document))
        return [*document[:place], _replaced(document[place], value, drawn), *document[place + 1 :]]
    return value


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(value=JSON, drawn=st.randoms(use_true_random=False, note_method_calls=False))
def test_configurations_with_a_wrong_value(value: Any, drawn: Random) -> None:
    """Any value of JSON in any place of a configuration gives an answer or a refusal in words."""
    document = _replaced(CONFIG, value, drawn)
    TARGETS["config"].attempt(json.dumps(document).encode())


def test_every_kind_of_damage() -> None:
    """The mutator does all that it says: it shortens, lengthens and changes."""
    seed = bytes(range(256))
    found = {len(mutated(seed, Random(number))) - len(seed) for number in range(50 * KINDS)}  # noqa: S311 - damage
    assert min(found) < 0 < max(found)
    assert 0 in found
