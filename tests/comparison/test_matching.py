"""Which tensor is which: by name, place, path, layer and content, and never by a silent guess."""

from __future__ import annotations

from itertools import combinations
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.comparison.conftest import Models, normal
from tests.effort import grows_in_step
from weightaudit.catalog import Absent, Entry, Layout
from weightaudit.checkpoint import Checkpoint, open_checkpoint
from weightaudit.comparison import Comparison, Match, Status, compare_checkpoints
from weightaudit.comparison.content import pair_by_turns
from weightaudit.comparison.matching import match_tensors
from weightaudit.comparison.pairing import Pairing
from weightaudit.comparison.paths import class_ranks
from weightaudit.digests import tensor_digests
from weightaudit.errors import UsageError
from weightaudit.tensor import Role, TensorInfo

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]


def paired(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """Return name in the second model and way of pairing, by name in the first."""
    return {
        one.first.name: (one.second.name, one.match.value)
        for one in comparison.tensors
        if one.first is not None and one.second is not None and one.match is not None
    }


def statuses(comparison: Comparison) -> dict[str, str]:
    """Return what became of each tensor."""
    return {one.name: one.status.value for one in comparison.tensors}


def dense(prefix: str = "", seed: int = 0, **shapes: tuple[int, ...]) -> Arrays:
    """Return kernel and bias of a layer, both noise."""
    sizes = {"kernel": (4, 3), "bias": (3,), **shapes}
    return {f"{prefix}{leaf}": normal(*shape, seed=seed + n) for n, (leaf, shape) in enumerate(sizes.items())}


def test_names_outweigh_everything(model: Models) -> None:
    """Two tensors of one name are one, whatever became of shape and values."""
    before = {"a/kernel": normal(4, 3), "b/kernel": normal(4, 3, seed=1), "c/kernel": normal(2, 2)}
    after = {"a/kernel": before["b/kernel"], "b/kernel": before["a/kernel"], "c/kernel": normal(2, 5)}
    comparison = compare_checkpoints(model(before), model(after))
    assert statuses(comparison) == {"a/kernel": "changed", "b/kernel": "changed", "c/kernel": "reshaped"}
    assert {one.match for one in comparison.tensors} == {Match.NAME}


def test_a_prefix_of_the_container_is_passed_over(model: Models) -> None:
    """The name of the model that some containers put first does not make its layers others."""
    first = model({**dense("net/one/"), **dense("net/two/", 5)})
    second = model({**dense("one/"), **dense("two/", 5)})
    comparison = compare_checkpoints(first, second)
    assert comparison.is_equal
    assert paired(comparison)["net/two/bias"] == ("two/bias", "path")
    assert comparison.count(Status.EQUAL) == 4


def test_an_ending_that_fits_two_is_no_match(model: Models) -> None:
    """Where the same layer name lies in two blocks, its ending alone proves nothing."""
    blocks = {**dense("left/proj/"), **dense("right/proj/", 5)}
    comparison = compare_checkpoints(model(blocks), model(dense("proj/", 9)))
    assert paired(comparison) == {}
    assert comparison.count(Status.REMOVED) == 4
    assert comparison.count(Status.ADDED) == 2


def test_a_layer_of_another_shape_is_another_layer(model: Models) -> None:
    """A layer whose path ends alike and whose kernel does not fit is not paired by its bias."""
    comparison = compare_checkpoints(model(dense("head/")), model(dense("net/head/", 7, kernel=(6, 3))))
    assert paired(comparison) == {}


def test_optimizer_slots_follow_their_variables(model: Models) -> None:
    """Slots are paired under the names of Keras 2 and 3, and after their variable was found by content."""
    slots = {"kernel/Adam": normal(4, 3, seed=20), "bias/Adam": np.zeros(3, np.float32)}
    first = model(dense("old/") | {f"old/{key}": value for key, value in slots.items()})
    second = model(dense("new/") | {f"new/{key}": value for key, value in slots.items()})
    comparison = compare_checkpoints(first, second)
    assert paired(comparison)["old/bias/Adam"] == ("new/bias/Adam", "layer")
    assert comparison.is_equal


def test_bits_tell_what_was_renamed(model: Models) -> None:
    """A tensor under another name is renamed if it is the same bit for bit, and that is no difference."""
    comparison = compare_checkpoints(model(dense("encoder/")), model(dense("tower/")))
    assert statuses(comparison) == {"encoder/kernel": "renamed", "encoder/bias": "renamed"}
    assert paired(comparison)["encoder/bias"] == ("tower/bias", "content")
    assert comparison.is_equal
    assert comparison.exit_code == 0


def test_a_changed_variable_of_a_renamed_layer(model: Models) -> None:
    """Once a kernel shows which layer is which, its bias is compared, not removed and added."""
    after = dense("tower/") | {"tower/bias": np.ones(3, np.float32)}
    comparison = compare_checkpoints(model(dense("encoder/")), model(after))
    assert paired(comparison)["encoder/bias"] == ("tower/bias", "layer")
    assert statuses(comparison)["encoder/bias"] == "changed"


def test_constants_prove_nothing(model: Models) -> None:
    """Zeros in one model and zeros in another are not the same tensor for that."""
    zeros, ones = np.zeros(8, np.float32), np.ones((3, 4), np.float32)
    comparison = compare_checkpoints(
        model({"a/bias": zeros, "b/gain": ones}), model({"c/bias": zeros, "d/gain": ones})
    )
    assert statuses(comparison) == {
        "a/bias": "removed", "b/gain": "removed", "c/bias": "added", "d/gain": "added"
    }  # fmt: skip
    assert comparison.exit_code == 1


def test_copies_are_paired_in_turn(model: Models) -> None:
    """Tensors that are each other's copies are paired one by one; a copy too many was removed."""
    kernel = normal(4, 3)
    before = {f"a{n}/kernel": kernel for n in range(3)}
    comparison = compare_checkpoints(model(before), model({f"z{n}/kernel": kernel for n in range(2)}))
    assert comparison.count(Status.RENAMED) == 2
    assert comparison.count(Status.REMOVED) == 1


def test_roles_keep_tensors_apart(model: Models) -> None:
    """What is a bias in one model is not taken for the offset of a norm in another."""
    values = normal(6)
    comparison = compare_checkpoints(model({"a/bias": values}), model({"layer_norm/beta": values}))
    assert paired(comparison) == {}


def test_variables_without_a_layer_are_not_siblings(model: Models) -> None:
    """Variables at the top of a model belong to no layer, so their shapes alone pair nothing."""
    first, second = model({"weights": normal(4, 2)}), model({"kernel": normal(4, 2, seed=1)})
    assert first["weights"].role is second["kernel"].role is Role.KERNEL
    assert paired(compare_checkpoints(first, second)) == {}


def test_settings_of_an_optimizer_are_not_siblings(model: Models) -> None:
    """One scalar of an optimizer is not another for being the only one of its shape."""
    first = model({"Adam/beta_1": np.array(0.9)})
    second = model({"Adam/decay": np.array(0.1)})
    assert first["Adam/beta_1"].role is second["Adam/decay"].role is Role.HYPERPARAMETER
    assert paired(compare_checkpoints(first, second)) == {}


def test_layers_that_were_merged_have_no_partner(model: Models) -> None:
    """Where variables of two layers are found in one, that one is neither of them."""
    kernel, other = normal(4, 2), normal(3, 7)
    first = model({"a/kernel": kernel, "b/kernel": other, "a/bias": normal(2)})
    second = model({"z/kernel": kernel, "z/gain": other, "z/bias": normal(2, seed=1)})
    found = paired(compare_checkpoints(first, second))
    assert found["a/kernel"] == ("z/kernel", "content")
    assert "a/bias" not in found


def test_one_layer_whose_variable_has_another_name(model: Models) -> None:
    """A layer's only tensor of a shape is the same under another name, if its role is."""
    first = model({"conv/weights": normal(3, 3, 4, 8), "conv/bias": normal(8)})
    second = model({"conv/kernel": normal(3, 3, 4, 8, seed=1), "conv/bias": normal(8)})
    assert paired(compare_checkpoints(first, second))["conv/weights"] == ("conv/kernel", "layer")


def weight_file(model: Models, groups: Arrays, **names: str) -> Checkpoint:
    """Return a weight file of Keras 3 with one variable in each group, and names of layers if it has them."""
    tensors = {f"layers/{group}/vars/0": values for group, values in groups.items()}
    found = {f"layers/{group}": name for group, name in names.items()}
    return model(tensors, Layout.KERAS3, documents={"names": found})


@pytest.mark.parametrize(("width", "expected"), [(4, {"changed"}), (5, {"removed", "added"})])
def test_heads_of_one_width_do_not_share_a_bias(model: Models, width: int, expected: set[str]) -> None:
    """Layers in one place, under other names, are one if their kernels fit; else they share no bias."""

    def head(name: str, width: int) -> Checkpoint:
        arrays = {"layers/dense/vars/0": normal(width, 3, seed=len(name)), "layers/dense/vars/1": normal(3)}
        arrays["layers/dense/vars/1"] *= len(name)
        return model(arrays, Layout.KERAS3, documents={"names": {"layers/dense": name}})

    comparison = compare_checkpoints(head("head", 4), head("other", width))
    assert set(statuses(comparison).values()) == expected


def test_a_weight_file_finds_its_model_by_place(model: Models) -> None:
    """Groups that both files have are how Keras loads weights, whatever either calls the layer."""
    before = {"dense": normal(4, 4), "dense_1": normal(4, 4, seed=1)}
    after = {"dense": normal(4, 4, seed=2), "dense_1": normal(4, 4, seed=3)}
    named = weight_file(model, before, dense="hidden", dense_1="dense")
    comparison = compare_checkpoints(named, weight_file(model, after))
    assert paired(comparison) == {
        "hidden/kernel": ("dense/kernel", "place"),
        "dense/kernel": ("dense_1/kernel", "place"),
    }
    assert comparison.count(Status.CHANGED) == 2


def test_numbers_are_no_names(model: Models) -> None:
    """`dense` in a file that numbers its layers is the first Dense, not the layer of that name elsewhere."""
    numbered = weight_file(model, {"dense": normal(4, 4), "dense_1": normal(4, 4, seed=1)})
    named = model({"hidden/kernel": normal(4, 4), "dense/kernel": normal(4, 4, seed=1)})
    assert paired(compare_checkpoints(named, numbered)) == {
        "hidden/kernel": ("dense/kernel", "content"),
        "dense/kernel": ("dense_1/kernel", "content"),
    }
    others = weight_file(model, {"dense": normal(4, 4, seed=2), "dense_1": normal(4, 4, seed=3)})
    assert paired(compare_checkpoints(named, others)) == {}


def test_the_order_of_layers_tells_what_numbers_mean() -> None:
    """The configured order of a model's layers says which of them is the second Dense of a weight file."""

    def info(name: str, key: str, layer_class: str = "Dense") -> TensorInfo:
        return TensorInfo(name=name, key=key, shape=(4, 4), dtype="float32", layer_class=layer_class)

    model = [info("z/kernel", "z"), info("a/kernel", "a"), info("conv/kernel", "c", "Conv2D")]
    file = [info(f"{group}/kernel", f"layers/{group}/vars/0") for group in ("dense_10", "dense_2", "conv2d")]
    named = class_ranks(model, ["input", "z", "conv", "a"])
    numbered = class_ranks(file, ())
    assert named["z/kernel"] == numbered["dense_2/kernel"] == ("dense", 0, 2, "kernel")
    assert named["a/kernel"] == numbered["dense_10/kernel"]
    assert named["conv/kernel"] == numbered["conv2d/kernel"]


def test_a_tensor_that_cannot_be_read_is_not_called_removed(model: Models) -> None:
    """What is missing in the file is unread, whether it has a partner or not."""
    gone = Entry("b/kernel", (4, 3), "float32", Absent("shard 1 is missing."))
    first = model({"a/kernel": normal(4, 3), "b/kernel": gone})
    others = ({"b/kernel": normal(4, 3)}, {"c/kernel": normal(4, 3)}, {"c/kernel": normal(9, 9)})
    for other in others:
        comparison = compare_checkpoints(first, model(other), labels=("one", "two"))
        unread = next(one for one in comparison.tensors if one.name == "b/kernel")
        assert (unread.status, unread.reason) == (Status.UNREAD, "one: shard 1 is missing.")
        assert comparison.exit_code == 3


def test_hostile_names_cost_no_time(model: Models) -> None:
    """A name of a hundred thousand components is compared like any other."""
    long = "/".join("x" * 100_000)
    since = process_time()
    comparison = compare_checkpoints(
        model({f"{long}/kernel": normal(4, 3)}), model({f"y/{long}/kernel": normal(4, 3)})
    )
    assert comparison.is_equal
    # Without a bound on what is cut off it takes more than a minute.
    assert process_time() - since < 20


def test_names_that_differ_in_underscores_only_are_no_partners(model: Models) -> None:
    """Of many layers that a path could mean none is taken, and not every one is compared with every other."""
    layers = {f"{'_' * number}a/kernel": normal(4, 3, seed=number) for number in range(1, 400)}
    others = {f"b/{name}": normal(4, 3, seed=1000 + number) for number, name in enumerate(layers)}
    since = process_time()
    comparison = compare_checkpoints(model(layers), model(others))
    assert not any(one.first and one.second for one in comparison.tensors)
    # Pairs of all with all take minutes.
    assert process_time() - since < 20


def formats(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the models of one framework version in all formats: path by format, by model."""
    found: dict[str, dict[str, Path]] = {}
    kinds = {
        "_sh.weights.json",
        ".weights.h5",
        ".v3.keras",
        ".keras",
        ".h5",
        "_ck",
        "_export",
        "_tfsm",
        "_sm",
    }
    for path in sorted(folder.iterdir()):
        kind = max((one for one in kinds if path.name.endswith(one)), key=len, default="")
        if "_sh_" in path.name or not kind:
            continue
        main = next(iter(sorted(path.glob("*.index"))), None) if kind == "_ck" else path
        if main is not None:
            found.setdefault(path.name.removesuffix(kind), {})[kind] = main
    return found


ZOO = ("k3", "k3.3.3", "tf212", "tfk")
UNLIKE = {"lora"}
"""Models that Keras itself saves with other values in one format: a LoRA layer is merged in .keras."""


def test_the_same_model_in_every_format(zoo: Path) -> None:
    """All weights of a model are found in its other formats, equal; pairs not by content are right too."""
    pairs = weights = 0
    for folder in ZOO:
        for name, paths in formats(zoo / folder).items():
            opened = {kind: open_checkpoint(path) for kind, path in paths.items()}
            digests = {kind: tensor_digests(one) for kind, one in opened.items()}
            for here, there in combinations(opened, 2):
                if name not in UNLIKE:
                    weights += _assert_all_found(opened[here], opened[there], digests[here], digests[there])
                    pairs += 1
            for one in opened.values():
                one.close()
    assert pairs > 200
    assert weights > 4000


def _assert_all_found(
    first: Checkpoint, second: Checkpoint, here: dict[str, str | None], there: dict[str, str | None]
) -> int:
    sides = tuple([info for info in one if not info.is_bookkeeping] for one in (first, second))
    pairing = match_tensors((first, second), (sides[0], sides[1]))
    # Some formats leave variables out: a checkpoint those of a list, .h5 a copy that a wrapper keeps.
    assert len(pairing.pairs) == min(map(len, sides)), (pairing.first, pairing.second)
    for pair in pairing.pairs:
        assert here[pair.first.name] == there[pair.second.name], (pair.first.name, pair.second.name)
    return len(pairing.pairs)


def test_seeds_and_counters_have_roles(model: Models) -> None:
    """--weights-only leaves out what inference never reads."""
    first = model({"d/kernel": normal(2, 2), "global_step": np.array(3)})
    second = model({"d/kernel": normal(2, 2), "global_step": np.array(4)})
    assert first["global_step"].role is Role.COUNTER
    assert not compare_checkpoints(first, second).is_equal
    assert compare_checkpoints(first, second, weights_only=True).is_equal


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_without_sense(model: Models, tolerance: float) -> None:
    """A tolerance that is negative or no number is refused."""
    with pytest.raises(UsageError, match="makes no sense"):
        compare_checkpoints(model({}), model({}), tolerance=tolerance)


def test_copies_that_cannot_be_one_cost_no_pairs() -> None:
    """Very many tensors of one content, kernels here and biases there, are not looked at pair by pair."""

    def side(count: int, role: Role) -> dict[str, TensorInfo]:
        names = [f"{role}{number}" for number in range(count)]
        return {
            name: TensorInfo(name=name, key=name, shape=(4,), dtype="float32", role=role) for name in names
        }

    def pair(count: int) -> None:
        one, other = side(count, Role.KERNEL), side(count, Role.BIAS)
        pairing = Pairing(dict(one), dict(other))
        pair_by_turns(pairing, (dict.fromkeys(one, "same"), dict.fromkeys(other, "same")))
        assert not pairing.pairs

    assert grows_in_step(pair, 100)


def test_copies_are_paired_with_the_first_that_can_be_one() -> None:
    """Of copies in several roles, each tensor gets the first that is left and that agrees with it."""

    def info(name: str, role: Role) -> TensorInfo:
        return TensorInfo(name=name, key=name, shape=(4,), dtype="float32", role=role)

    one = [info("a", Role.BIAS), info("b", Role.UNKNOWN), info("c", Role.BIAS), info("d", Role.BIAS)]
    other = [info("w", Role.KERNEL), info("x", Role.UNKNOWN), info("y", Role.BIAS), info("z", Role.KERNEL)]
    pairing = Pairing({each.name: each for each in one}, {each.name: each for each in other})
    pair_by_turns(
        pairing, tuple(dict.fromkeys([each.name for each in side], "same") for side in (one, other))
    )
    assert [(pair.first.name, pair.second.name) for pair in pairing.pairs] == [
        ("a", "x"),
        ("b", "w"),
        ("c", "y"),
    ]
