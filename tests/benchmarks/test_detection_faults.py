"""Every fault of the detection benchmark does what it says, to what it names, and to nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import weightaudit
from benchmarks.detection import damage, layers, states
from benchmarks.detection.faults import Fault, catalogue
from benchmarks.detection.harm import Harm, is_changed
from benchmarks.detection.models import Model
from benchmarks.detection.weights import Weights, load, write
from weightaudit.catalog import Flaw
from weightaudit.tensor import Declared, Role, TensorInfo

PAGE = damage.PAGE


def tensor(name: str, role: Role, values: NDArray[Any], **more: Any) -> tuple[TensorInfo, NDArray[Any]]:
    """Return a tensor of a layer, as identity would describe it."""
    axes = (values.ndim - 1,) if role is Role.KERNEL else ()
    info = TensorInfo(
        name=name,
        key=name,
        shape=values.shape,
        dtype=str(values.dtype),
        role=role,
        layer=name.rpartition("/")[0],
        output_axes=axes,
        **more,
    )
    values.flags.writeable = False
    return info, values


def some_weights() -> Weights:
    """Return a model that has something for every fault: about the weights of a small network."""
    random = np.random.default_rng(5)

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.normal(0, 0.1, shape).astype(np.float32)

    pruned = np.where(random.random((64, 64)) < 0.8, np.float32(0), normal(64, 64))
    bounded = normal(32, 16)
    made = [
        tensor("dense/kernel", Role.KERNEL, normal(64, 64), initializer=Declared("HeNormal")),
        tensor("dense/bias", Role.BIAS, normal(64)),
        tensor("dense_1/kernel", Role.KERNEL, normal(64, 64), initializer=Declared("Orthogonal")),
        tensor("dense_1/bias", Role.BIAS, normal(64)),
        tensor("conv/kernel", Role.KERNEL, normal(3, 3, 16, 32)),
        tensor("pruned/kernel", Role.KERNEL, pruned.astype(np.float32)),
        tensor("bounded/kernel", Role.KERNEL, bounded, constraint=Declared("MaxNorm", {"max_value": 2.0})),
        tensor("words/embeddings", Role.EMBEDDING, normal(100, 32)),
        tensor("norm/gamma", Role.NORM_SCALE, 1 + normal(32)),
        tensor("norm/moving_mean", Role.MOVING_MEAN, normal(32)),
        tensor("norm/moving_variance", Role.MOVING_VARIANCE, np.square(normal(32)) + np.float32(0.5)),
        tensor("optimizer/dense/kernel/velocity", Role.OPTIMIZER_SLOT, np.square(normal(64, 64))),
        tensor("packed/kernel_scale", Role.QUANTIZATION, 100 + normal(32)),
    ]
    infos = {info.name: info for info, _ in made}
    arrays = {info.name: values for info, values in made}
    early = {name: (values * np.float32(0.9)).astype(values.dtype) for name, values in arrays.items()}
    return Weights(infos, arrays, {"conv/kernel": 1000, "dense/kernel": 100}, early)


WEIGHTS = some_weights()


def seeded(seed: Any, number: int = 0, **more: Any) -> Harm:
    """Return what a fault does to the model above."""
    harm: Harm | None = seed(WEIGHTS, np.random.default_rng(number), **more)
    assert harm is not None
    return harm


def only(harm: Harm) -> tuple[str, NDArray[Any], NDArray[Any]]:
    """Return the name of the one tensor that was hurt, and its numbers before and after."""
    (name,) = harm.hurt
    return name, WEIGHTS.arrays[name], harm.changes[name]


def by_label(fault: Fault) -> str:
    """Return what a test with this fault is called."""
    return f"{fault.kind}, {fault.grade}"


@pytest.mark.parametrize("fault", catalogue(), ids=by_label)
def test_every_fault_changes_what_it_names(fault: Fault) -> None:
    """Each fault hurts the model that has something for it, keeps shapes and types, and repeats by seed."""
    harm, again = seeded(fault.seed, 3), seeded(fault.seed, 3)
    assert harm.changes
    assert is_changed(WEIGHTS, harm)
    for name, array in harm.changes.items():
        assert (array.shape, array.dtype) == (WEIGHTS.arrays[name].shape, WEIGHTS.arrays[name].dtype)
        assert array.tobytes() == again.changes[name].tobytes()


@pytest.mark.parametrize("fault", catalogue(), ids=by_label)
def test_a_model_without_anything_to_hurt_is_left_alone(fault: Fault) -> None:
    """No fault fails, or invents a tensor, where a model has no tensors at all."""
    assert fault.seed(Weights({}, {}), np.random.default_rng(0)) is None


def test_labels_are_unique() -> None:
    """No two faults have the same class and grade, for their cases are drawn by them."""
    assert len({by_label(fault) for fault in catalogue()}) == len(catalogue())


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.0, np.inf), (4.0, np.inf)])
@pytest.mark.parametrize("number", range(5))
def test_a_flip_is_one_exponent_bit(low: float, high: float, number: int) -> None:
    """A flip changes exactly one of the eight exponent bits, and leaves the weight where it was asked to."""
    _, old, new = only(seeded(damage.flip, number, low=low, high=high))
    different = old.view(np.uint32) ^ new.view(np.uint32)
    (changed,) = different[different != 0]
    assert changed & (changed - 1) == 0
    assert changed & 0x7F800000
    top, value = np.abs(old).max(), np.abs(new[different != 0][0])
    assert low == 0 or not value <= low * top
    assert not value > high * top


def test_the_range_of_a_layer_is_that_of_all_its_weights() -> None:
    """A flip beyond a layer's range leaves its bias and its kernel behind; quantized layers have none."""
    for number in range(5):
        (name,) = (harm := seeded(damage.flip, number, low=1.0, of_layer=True)).hurt
        top = max(
            np.abs(WEIGHTS.arrays[one]).max()
            for one in (name, *WEIGHTS.siblings(name))
            if "moving" not in one
        )
        assert not np.abs(harm.changes[name]).max() <= top
    assert damage.largest_of_layer(WEIGHTS, "dense/bias") == np.abs(WEIGHTS.arrays["dense/kernel"]).max()
    assert damage.largest_of_layer(WEIGHTS, "packed/kernel_scale") == np.inf


def test_flips_hit_as_many_bits_as_asked() -> None:
    """A hundred flips change a hundred bits, less those that hit the same one twice."""
    harm = seeded(damage.flips, count=100)
    bits = sum(
        int(np.bitwise_count(WEIGHTS.arrays[name].view(np.uint32) ^ array.view(np.uint32)).sum())
        for name, array in harm.changes.items()
    )
    assert 90 <= bits <= 100
    assert bits % 2 == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_burst_is_in_one_piece(value: float) -> None:
    """A burst sets 32 neighbours and no other."""
    _, old, new = only(seeded(damage.burst, value=value, count=32))
    places = np.flatnonzero(~np.isfinite(new))
    assert places.tolist() == list(range(places[0], places[0] + 32))
    np.testing.assert_array_equal(new[np.isfinite(new)], old[np.isfinite(new)])


def test_overflow_is_that_of_float16() -> None:
    """The scaled kernel has infinities after its round trip, or 65504 where it was clamped."""
    _, _, infinite = only(seeded(damage.half, clamped=False))
    _, _, clamped = only(seeded(damage.half, clamped=True))
    assert np.isinf(infinite).any()
    assert np.abs(clamped).max() == 65504
    with np.errstate(over="ignore"):
        assert np.array_equal(clamped.astype(np.float16).astype(np.float32), clamped)
        assert np.isinf(only(seeded(damage.beyond_half))[2].astype(np.float16)).sum() == 1


@pytest.mark.parametrize("seed", [damage.zero_page, damage.repeat_page])
@pytest.mark.parametrize("number", range(4))
def test_blocks_lie_on_pages_of_the_file(seed: Any, number: int) -> None:
    """A zeroed or repeated page is 4 KiB long and begins at a multiple of 4 KiB of the file."""
    name, begin = "dense/kernel", 100
    alone = Weights({name: WEIGHTS.infos[name]}, {name: WEIGHTS.arrays[name]}, {name: begin})
    harm = seed(alone, np.random.default_rng(number))
    old, new = WEIGHTS.arrays[name].reshape(-1), harm.changes[name].reshape(-1)
    places = np.flatnonzero(old != new)
    first = int(places[0])
    assert places.tolist() == list(range(first, first + PAGE // 4))
    assert (begin + 4 * first) % PAGE == 0
    expected = np.zeros(PAGE // 4) if seed is damage.zero_page else old[first - PAGE // 4 : first]
    np.testing.assert_array_equal(new[places], expected)


def test_a_tail_is_zero() -> None:
    """The last half of a kernel is zero, and the first half is what it was."""
    _, old, new = only(seeded(damage.zero_tail, share=0.5))
    half = old.size // 2
    assert not new.reshape(-1)[half:].any()
    np.testing.assert_array_equal(new.reshape(-1)[:half], old.reshape(-1)[:half])


def test_other_byte_orders_and_types_are_what_they_seem() -> None:
    """Swapped bytes are the numbers in the other order; pairs are those of the 16-bit type."""
    _, old, new = only(seeded(damage.swap_bytes))
    np.testing.assert_array_equal(new.view(">f4"), old)
    _, old, new = only(seeded(damage.reinterpret, dtype="float16"))
    np.testing.assert_array_equal(new.reshape(-1).view("<f2")[: old.size], old.reshape(-1).astype(np.float16))
    _, old, new = only(seeded(damage.reinterpret, dtype="bfloat16"))
    words = new.reshape(-1).view(np.uint16)[: old.size].astype(np.uint32) << 16
    np.testing.assert_allclose(words.view(np.float32), old.reshape(-1), rtol=2**-7)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounding_leaves_as_many_values_as_bits_allow(bits: int) -> None:
    """A kernel rounded to some bits has no more values than they can number, each next to the old one."""
    _, old, new = only(seeded(damage.rounded, bits=bits))
    assert len(np.unique(new)) <= 2**bits - 1
    assert np.abs(new - old).max() <= np.abs(old).max() / (2 ** (bits - 1) - 1) / 2 * 1.001


def test_scales_swaps_copies_and_transposes_are_exact() -> None:
    """Whole kernels are multiplied, exchanged, copied and turned without any other change."""
    _, old, new = only(seeded(layers.scale, factor=100.0))
    np.testing.assert_allclose(new, old * 100, rtol=1e-6)
    one, other = seeded(layers.swap).hurt
    swapped = seeded(layers.swap).changes
    np.testing.assert_array_equal(swapped[one], WEIGHTS.arrays[other])
    np.testing.assert_array_equal(swapped[other], WEIGHTS.arrays[one])
    copied = seeded(layers.duplicate)
    source = copied.detail.removeprefix("a copy of ")
    np.testing.assert_array_equal(copied.changes[copied.hurt[0]], WEIGHTS.arrays[source])
    _, old, new = only(seeded(layers.transpose))
    np.testing.assert_array_equal(new, old.T)


@pytest.mark.parametrize(("share", "count"), [(0.0, 1), (0.5, 0.5), (1.0, 1.0)])
def test_channels_are_zeroed_whole(share: float, count: float) -> None:
    """One, half or all output channels are zero, and the others are what they were."""
    _, old, new = only(seeded(layers.zero_channels, share=share))
    dead = np.abs(new).reshape(-1, new.shape[-1]).max(0) == 0
    assert dead.sum() == (count if share == 0 else count * len(dead))
    np.testing.assert_array_equal(new[..., ~dead], old[..., ~dead])


@pytest.mark.parametrize("share", [0.0, 0.125])
def test_channels_are_repeated_whole(share: float) -> None:
    """One or an eighth of the output channels hold the numbers of others, which stay what they were."""
    _, old, new = only(seeded(layers.repeat_channels, share=share))
    columns, before = (one.reshape(-1, one.shape[-1]).T for one in (new, old))
    changed = np.flatnonzero((columns != before).any(1))
    assert len(changed) == max(1, int(share * len(columns)))
    for channel in changed:
        sources = np.flatnonzero((before == columns[channel]).all(1))
        assert len(sources) == 1
        assert sources[0] not in changed


def test_initial_values_are_those_of_the_declared_initializer() -> None:
    """Fresh values keep the bounds and deviations that Keras documents for their initializer."""
    random = np.random.default_rng(0)

    def fresh(name: str, *shape: int, **config: Any) -> NDArray[Any]:
        declared = Declared(name, config) if name else None
        info = TensorInfo(name="k", key="k", shape=shape, dtype="float32", initializer=declared)
        return layers.initial(info, np.zeros(shape, np.float32), random)

    glorot = fresh("", 3, 3, 32, 64)
    limit = np.sqrt(6 / (9 * 32 + 9 * 64))
    assert 0.99 * limit < np.abs(glorot).max() <= limit * (1 + 1e-6)
    he = fresh("HeNormal", 512, 64)
    assert he.std() == pytest.approx(np.sqrt(2 / 512), rel=0.02)
    assert np.abs(he).max() <= 2 * np.sqrt(2 / 512) / 0.8796 * 1.001
    square = fresh("Orthogonal", 64, 64, gain=2.0)
    np.testing.assert_allclose(square @ square.T, 4 * np.eye(64), atol=1e-5)
    assert np.abs(fresh("RandomUniform", 100, 50, minval=-0.05, maxval=0.05)).max() <= 0.05
    scaling = fresh("VarianceScaling", 400, 100, scale=2.0, mode="fan_out", distribution="uniform")
    assert np.abs(scaling).max() == pytest.approx(np.sqrt(6 / 100), rel=0.01)


def test_a_whole_layer_is_set_back_or_its_kernel_alone() -> None:
    """Setting a layer back empties its bias too; setting back a kernel leaves the bias."""
    whole = next(harm for number in range(50) if len((harm := seeded(layers.reinitialise, number)).hurt) == 2)
    assert not whole.changes[whole.hurt[1]].any()
    assert len(seeded(layers.reinitialise_kernel).hurt) == 1
    stale = seeded(layers.stale)
    for name, array in stale.changes.items():
        np.testing.assert_array_equal(array, WEIGHTS.early[name])


def test_variances_and_statistics() -> None:
    """One variance or all become negative or zero, and reset statistics are those before training."""
    for every, count in ((False, 1), (True, 32)):
        assert (only(seeded(states.negative_variance, every=every))[2] < 0).sum() == count
        assert (only(seeded(states.zero_variance, every=every))[2] == 0).sum() == count
    reset = seeded(states.reset_statistics).changes
    assert (reset["norm/moving_variance"] == 1).all()
    assert (reset["norm/moving_mean"] == 0).all()


@pytest.mark.parametrize("excess", [0.01, 1.0])
def test_constraints_are_broken_by_as_much_as_asked(excess: float) -> None:
    """A bounded kernel has one column beyond its bound; a non-negative tensor one negative element."""
    _, old, new = only(seeded(states.break_constraint, excess=excess))
    norms = np.linalg.norm(new.astype(np.float64), axis=0)
    assert norms.max() == pytest.approx(2 * (1 + excess), rel=1e-6)
    assert (new != old).any(0).sum() == 1
    info, values = tensor("a/bias", Role.BIAS, np.ones(8, np.float32), constraint=Declared("NonNeg"))
    harm = states.break_constraint(
        Weights({"a/bias": info}, {"a/bias": values}), np.random.default_rng(0), excess=excess
    )
    assert harm is not None
    assert harm.changes["a/bias"].min() == pytest.approx(-excess)


def test_a_custom_constraint_is_not_broken() -> None:
    """What a custom constraint demands is not known, so nothing is said to break it."""
    custom = Declared("Mine", {"max_value": 1.0}, builtin=False)
    info, values = tensor("a/kernel", Role.KERNEL, np.ones((8, 8), np.float32), constraint=custom)
    weights = Weights({info.name: info}, {info.name: values})
    assert states.break_constraint(weights, np.random.default_rng(0), excess=1.0) is None


def test_slots_scales_and_pruned_kernels() -> None:
    """Second moments become negative, slots NaN or 1e12, scales a hundredfold, and no zero is left."""
    assert (only(seeded(states.negative_slots))[2] < 0).sum() == 64 * 64 // 10
    assert np.isnan(only(seeded(states.nan_slots))[2]).sum() == 1
    assert only(seeded(states.exploded_slots))[2].max() == pytest.approx(1e12)
    _, old, new = only(seeded(states.quantization_scale, every=False))
    assert np.sort(new / old)[-2:] == pytest.approx([1, 100])
    name, old, new = only(seeded(states.fill_zeros))
    assert name == "pruned/kernel"
    assert (new != 0).all()
    np.testing.assert_array_equal(new[old != 0], old[old != 0])


@pytest.mark.parametrize("name", ["healthy.keras", "legacy.h5", "gzip.h5", "exported", "checkpoint/model"])
def test_a_hurt_copy_differs_in_what_was_hurt(name: str, fixtures_dir: Path, tmp_path: Path) -> None:
    """In every format only the hurt tensor becomes another, with right checksums, in a copy alone."""
    path = fixtures_dir / name
    if name.startswith("checkpoint"):
        path = next((fixtures_dir / "checkpoint").glob("*.index")).with_suffix("")
    model = Model("fixture", path, "trained")
    before = load(model)
    harm = damage.burst(before, np.random.default_rng(1), value=np.nan, count=1)
    assert harm is not None
    (tmp_path / "copy").mkdir()
    copy = write(model, harm.changes, tmp_path / "copy")
    after = load(Model("copy", copy, "trained"))
    for tensor_name, array in before.arrays.items():
        expected = harm.changes.get(tensor_name, array)
        assert after.arrays[tensor_name].tobytes() == expected.tobytes()
    assert {one: array.tobytes() for one, array in load(model).arrays.items()} == {
        one: array.tobytes() for one, array in before.arrays.items()
    }
    (report,) = weightaudit.audit(copy).models
    assert not [one for one in report.defects if one.flaw is Flaw.CHECKSUM]
    assert {one.tensor for one in report.findings if one.code == "WA101"} == set(harm.hurt)
