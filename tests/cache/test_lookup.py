"""What was measured once is not measured again, and nothing is believed that may have changed."""

from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.cache.models import BASIC, Model, audit, write
from weightaudit.cache import recall, remember
from weightaudit.engine.numpy_engine import Measurement, measure
from weightaudit.statistics import (
    OVERVIEW,
    Above,
    AxisNorm,
    Extremes,
    Moments,
    NonFinite,
    Statistic,
    Tiny,
    WeakGroups,
)
from weightaudit.statistics.counts import CountFold

if TYPE_CHECKING:
    from pathlib import Path

    from weightaudit.cache import Store
    from weightaudit.statistics import Block
    from weightaudit.tensor import TensorInfo


def test_second_audit_measures_nothing(store: Store, model: Model) -> None:
    """The second audit has nothing to measure and nothing to verify, and gives what the first one gave."""
    first = audit(store, model, BASIC, [model.region])
    second = audit(store, model, BASIC, [model.region])
    assert len(first.recalled.subjects) == 3
    assert (second.recalled.subjects, second.recalled.regions) == ((), ())
    assert list(second.result.stats) == list(first.result.stats)
    for name, stats in first.result.stats.items():
        assert [second.result.stats[name][what] for what in BASIC] == [stats[what] for what in BASIC]


def test_other_thresholds_measure_nothing(store: Store, model: Model) -> None:
    """Other limits, shares and floors are answered from what the first audit measured."""
    audit(store, model, (Above(1e3), Tiny(2**-25, 2**-14, 1e-6), WeakGroups((-1,), 1e-6, 1e-20)))
    other = (Above(3.0), Above(1e6), WeakGroups((-1,), 1e-7, 1e-30), NonFinite(), Extremes())
    fewer_lost = (Tiny(2**-25, 2**-14, 1e-7), Tiny(2**-134, 2**-126, 1e-5))
    again = audit(store, model, (*other, *fewer_lost))
    # A bias that is zero everywhere is the only one with weak groups, and with elements that could be tiny.
    assert {one.info.name for one in again.recalled.subjects} <= {"bias"}
    assert {type(what) for one in again.recalled.subjects for what in one.statistics} <= {WeakGroups, Tiny}


def test_only_what_is_missing_is_measured(store: Store, model: Model) -> None:
    """A further statistic is measured alone, of the tensors of which it is asked, and then known too."""
    audit(store, model)
    wanted = model.subjects()
    wanted[0] = dataclasses.replace(wanted[0], statistics=(Moments(), AxisNorm((0,), 2)))
    again = audit(store, model, wanted)
    assert [(one.info.name, one.statistics) for one in again.recalled.subjects] == [
        ("kernel", (AxisNorm((0,), 2),))
    ]
    assert audit(store, model, wanted).recalled.subjects == ()
    third = audit(store, model, (AxisNorm(None, 2),))
    assert len(third.recalled.subjects) == 3
    assert audit(store, model, wanted).recalled.subjects == ()


def test_recalled_arrays_are_fresh_copies(store: Store, model: Model) -> None:
    """A rule that writes into a recalled array spoils nothing for the next audit."""
    norms = AxisNorm((0,), 1)
    expected = audit(store, model, (norms,)).result.stats["bias"][norms].copy()
    recalled = audit(store, model, (norms,)).result.stats["bias"][norms]
    recalled[...] = np.nan
    np.testing.assert_array_equal(audit(store, model, (norms,)).result.stats["bias"][norms], expected)


@dataclass(frozen=True)
class Threes(Statistic[int]):
    """A plugin's statistic: how many elements are three."""

    def start(self, info: TensorInfo) -> CountFold:
        return _ThreesFold()


class _ThreesFold(CountFold):
    def count(self, block: Block) -> int:
        return int(np.count_nonzero(block.values == 3))


def test_statistics_of_plugins_are_always_measured(store: Store, model: Model) -> None:
    """An unknown statistic is not kept; those beside it are."""
    for _ in range(2):
        done = audit(store, model, (NonFinite(), Threes()))
        assert done.result.stats["bias"][Threes()] == 0
    assert {one.statistics for one in done.recalled.subjects} == {(Threes(),)}


@pytest.mark.parametrize("keep_mtime", [False, True], ids=["plain", "with its old mtime"])
def test_change_in_place_is_noticed(store: Store, model: Model, *, keep_mtime: bool) -> None:
    """A file changed in place, even if its size and its time of modification are as before, is read again."""
    audit(store, model)
    before = model.path.stat()
    with model.path.open("r+b") as file:
        file.write(np.float32(np.nan).tobytes())
    if keep_mtime:
        os.utime(model.path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert model.path.stat().st_mtime_ns == before.st_mtime_ns
    again = audit(store, model)
    assert len(again.recalled.subjects) == 3
    assert again.result.stats["kernel"][NonFinite()].nan == 1


def test_replaced_file_is_noticed_and_replaces_its_entry(store: Store, model: Model, tmp_path: Path) -> None:
    """Another file under the same name is measured, and its entry takes the place of the old one."""
    audit(store, model)
    other = write(tmp_path / "other", {"kernel": np.ones((40, 30), np.float32)})
    other.path.replace(model.path)
    renamed = Model(model.path, other.entries)
    assert len(audit(store, renamed).recalled.subjects) == 1
    assert audit(store, renamed).recalled.subjects == ()
    assert store.contents().count == 1


def test_fresh_file_is_not_kept(store: Store, model: Model) -> None:
    """What was measured of a file that was written a moment ago is not kept: it may change unnoticed."""
    audit(store, model, since=time.time_ns())
    assert store.contents().count == 0


def test_file_changed_while_it_is_measured_is_not_kept(store: Store, model: Model) -> None:
    """If the stamps are others after measuring, nothing is kept."""
    with model.opened() as files:
        recalled = recall(store, files, model.subjects(), (), since=time.time_ns() + 10**11)
        measured = measure(files, recalled.subjects)
        os.utime(model.path)
        remember(store, files, recalled, measured)
    assert store.contents().count == 0


def test_damage_is_reported_each_time(store: Store, model: Model) -> None:
    """A model with a wrong checksum is not kept, so that every audit finds it."""
    raw = bytearray(model.path.read_bytes())
    raw[0] ^= 1
    model.path.write_bytes(raw)
    found = [len(audit(store, model).result.defects) for _ in range(2)]
    assert found == [1, 1]
    assert store.contents().count == 0


def test_unreadable_tensor_is_reported_each_time(store: Store, model: Model) -> None:
    """A model with a tensor that cannot be read is not kept."""
    os.truncate(model.path, model.path.stat().st_size - 1)
    for _ in range(2):
        done = audit(store, model)
        assert list(done.result.failures) == ["large"]
        assert set(done.result.stats) == {"kernel", "bias"}
    assert store.contents().count == 0


def test_failure_after_a_hit_leaves_the_tensor_out(store: Store, model: Model) -> None:
    """Statistics that are known of a tensor are not shown if the rest of it cannot be measured."""
    audit(store, model)
    with model.opened() as files:
        recalled = recall(store, files, model.subjects((*BASIC, AxisNorm(None, 1))), (), since=0)
        joined = recalled.joined(Measurement(failures={"kernel": "it cannot be read"}))
    assert joined.stats == {}
    assert joined.failures == {"kernel": "it cannot be read"}


def test_other_regions_are_verified(store: Store, model: Model) -> None:
    """A checksum that was not verified then is verified now."""
    audit(store, model)
    again = audit(store, model, BASIC, [model.region])
    assert len(again.recalled.regions) == 1


def test_engines_do_not_share_results(store: Store, model: Model) -> None:
    """What one engine measured is not taken for what another would."""
    audit(store, model, engine="numpy")
    assert len(audit(store, model, engine="tensorflow").recalled.subjects) == 3
    assert audit(store, model, engine="numpy").recalled.subjects == ()


def test_entry_of_damaged_bytes_is_replaced(store: Store, model: Model) -> None:
    """A torn entry is ignored, and the audit after next is served again."""
    audit(store, model)
    (entry,) = store.directory.glob("*.stats")
    entry.write_bytes(entry.read_bytes()[:-7])
    assert len(audit(store, model).recalled.subjects) == 3
    assert audit(store, model).recalled.subjects == ()


def test_tensors_without_wanted_statistics_are_known_too(store: Store, model: Model) -> None:
    """A tensor of which nothing is asked is read once, for its checksum, and then not again."""
    first = audit(store, model, model.subjects(()))
    assert len(first.recalled.subjects) == 3
    second = audit(store, model, model.subjects(()))
    assert second.recalled.subjects == ()
    assert list(second.result.stats) == ["kernel", "bias", "large"]


def test_number_of_statistics_is_bounded(store: Store, model: Model) -> None:
    """After hundreds of different statistics an entry starts anew, and what is kept then is right."""
    sizes: list[int] = []
    for step in range(1, 300):
        audit(store, model, (Above(step * 1e-6), AxisNorm((0,), 1)))
        sizes.append(store.contents().nbytes)
    assert any(later < earlier for earlier, later in pairwise(sizes))
    again = audit(store, model, (Above(299e-6), Above(1e-6)))
    assert again.result.stats["kernel"][Above(1e-6)].count == 1200


def test_overview_is_measured_once(store: Store, model: Model) -> None:
    """What other results follow from stays what the first audit measured, to the last bit."""
    first = audit(store, model)
    again = audit(store, model, (AxisNorm((0,), 1),))
    assert all(OVERVIEW not in one.statistics for one in again.recalled.subjects)
    assert audit(store, model).result.stats["large"][Moments()] == first.result.stats["large"][Moments()]
