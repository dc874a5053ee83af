"""WA607: tensors that are gone, new, or of another shape or type than in the reference."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.comparison import Status
from weightaudit.globs import matches
from weightaudit.numerals import numeral
from weightaudit.rule import Example, Severity
from weightaudit.tensor import MATRIX_ROLES
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._reference import ReferenceRule, counterparts
from weightaudit_rules._roles import is_second_copy, is_weight
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from weightaudit.comparison import Comparison, TensorComparison
    from weightaudit.rule import Finding
    from weightaudit.tensor import TensorInfo


_ADAPTER = re.compile(r"lora_(.+)_[ab]")

_ALONE = frozenset({Status.REMOVED, Status.ADDED, Status.RESHAPED})

_MANY = 8
"""From how many tensors without a counterpart on one sentence may stand for all."""


@dataclass(frozen=True)
class StructureChanged(ReferenceRule):
    """A weight of the reference is gone, or has another shape or type, or there is a new one.

    Why it matters: layers in plain lists, subclassed layers that do not track their parts, and
    converters that pass over what they do not know all save models that lack weights. Such a model
    loads, with fresh numbers where the old ones were.

    Formula: tensors are paired by name, and where names differ by place, path, layer, content, the
    order of layers of a kind, or by likeness, as in `weightaudit diff`; what no pairing finds is
    gone, or new. Where the containers differ, and as many of a shape and role are gone as are new, each of
    the new ones is one warning, for then names do not tell. Where not one pair is found, or fewer than half
    of the smaller model's tensors have one and eight or more have none, that is the only finding.
    Optimizer states, metrics, counters and seeds are left out.

    What is normal: checkpoints of one training have the same tensors. A tensor that is gone, or
    whose shape is another, is an error; a new one and a type that changes values are warnings; a
    wider type that holds the very same values is a note. Where more than half of the kernels and
    embeddings went from one type to the same other one, or two or more were quantized, the model was
    converted: one finding about the model then tells how many weights did, and which of them changed
    most, by ||w - w0|| / ||w0||. Rounding changes float32 weights by about 2e-4 in float16, 1.6e-3 in
    bfloat16 and 5e-3 in int8.

    A low-rank adapter (LoRA) that is gone from beside weights that moved is a note, for ``.keras`` files
    and weights of Keras 3 hold it added to them; so is a new one beside a weight that is in both.

    Known false positives: another head after transfer learning (its shape differs); layers that were
    renamed and trained on for so long that nothing of them is left, which are told as gone and as new;
    an export to a narrower or
    quantized type.

    How to mend: save the whole model again, with every layer as an attribute; name what is meant to
    differ in `expected`.

    Attributes:
        expected: Globs of tensor names that may differ in this way.
    """

    expected: tuple[str, ...] = ()

    relies_on_role = False
    code = "WA607"
    name = "structure-changed"
    severity = Severity.ERROR
    examples = (
        Example(
            title="the same shape and type", values=trained_kernel, severity=None, reference=trained_kernel
        ),
        Example(
            title="another shape, as the policy expects",
            values=lambda: trained_kernel()[:, :10],
            severity=None,
            options={"expected": ("layer/*",)},
            reference=trained_kernel,
        ),
        Example(
            title="the same values in a wider type",
            values=lambda: trained_kernel().astype(np.float16).astype(np.float32),
            severity=Severity.NOTE,
            reference=lambda: trained_kernel().astype(np.float16),
        ),
        Example(
            title="values rounded to float16",
            values=lambda: trained_kernel().astype(np.float16),
            severity=Severity.WARNING,
            reference=trained_kernel,
        ),
        Example(
            title="another shape",
            values=lambda: trained_kernel()[:, :10],
            severity=Severity.ERROR,
            reference=trained_kernel,
        ),
    )

    def check_reference(self, comparison: Comparison) -> Iterator[Finding]:
        if _is_another_model(comparison, self.expected):
            pairs, fewest = _found(comparison)
            found = (
                f"{part(pairs, fewest, 'tensor', 'matches', 'match')}" if pairs else "No tensor of it matches"
            )
            message = f"{found} one of {comparison.first}: is that the same model?"
            yield self.finding(None, message, tensors=len(comparison.tensors))
            return
        alike = _alike(comparison)
        moved = frozenset(_info(one).name for one in comparison.tensors if one.moved)
        paired = frozenset(one.second.name for one in counterparts(comparison) if one.second is not None)
        converted = _conversions(comparison, self.expected)
        yield from (self._conversion(types, group) for types, group in converted.items())
        told = {one.name for group in converted.values() for one in group}
        for one in comparison.tensors:
            info = _info(one)
            if not is_weight(info) or matches(info.name, self.expected) or one.name in told:
                continue
            # Of the containers, only those of Keras 3 store the kernel of a SpectralNormalization twice.
            if _is_second_copy(info) and one.status in {Status.ADDED, Status.REMOVED}:
                continue
            if one.status is Status.REMOVED and _kind(one) in alike:
                # Told of those that are new, of which each is one of these.
                continue
            said = _adapter(one, moved, paired) or _unclear(one, alike) or _said(one)
            if said is not None:
                yield self.finding(info, said[1], said[0], status=one.status.value)

    def _conversion(self, types: tuple[str, str], group: Sequence[TensorComparison]) -> Finding:
        """Tell once of all weights whose type became the same other one."""
        moved = [one for one in group if not one.is_lossless]
        message = f"{len(group)} of its weights are {types[1]}, and {types[0]} in the reference"
        if not moved:
            said = f"{message}, with the same values."
            return self.finding(None, said, Severity.NOTE, status=Status.RETYPED.value, weights=len(group))
        furthest = max(moved, key=_relative)
        relative = _relative(furthest)
        message += f", and {len(moved)} of them differ in value: by most {_info(furthest).name}"
        return self.finding(
            None,
            f"{message}, a relative change of {numeral(relative)}.",
            Severity.WARNING,
            status=Status.RETYPED.value,
            weights=len(group),
            relative=relative,
        )


def _is_second_copy(info: TensorInfo) -> bool:
    # In weights alone it has no name of its own.
    return is_second_copy(info) or info.layer_class == "SpectralNormalization"


def _conversions(
    comparison: Comparison, expected: Sequence[str]
) -> dict[tuple[str, str], list[TensorComparison]]:
    """Return weights of another type, by both types, where most kernels and embeddings went the same way.

    Or where they were quantized: that is done to a whole model, of which some layers cannot be.
    """
    groups: dict[tuple[str, str], list[TensorComparison]] = defaultdict(list)
    for one in counterparts(comparison):
        if one.first is None or one.second is None or one.difference is None:
            continue
        if one.status is Status.RETYPED and not matches(one.second.name, expected):
            groups[one.first.dtype, one.second.dtype].append(one)
    matrices = sum(_info(one).role in MATRIX_ROLES for one in counterparts(comparison))
    return {
        types: group
        for types, group in groups.items()
        if len(group) > 1
        and (
            2 * sum(_info(one).role in MATRIX_ROLES for one in group) > matrices
            or all(_info(one).quantization is not None for one in group)
        )
    }


def _relative(one: TensorComparison) -> float:
    return one.difference.relative if one.difference is not None else 0.0


def _adapter(
    one: TensorComparison, moved: frozenset[str], paired: frozenset[str]
) -> tuple[Severity, str] | None:
    """Return what is said of a low-rank adapter that is new, or gone from beside weights that moved."""
    path, slash, leaf = _info(one).name.rpartition("/")
    weight = _ADAPTER.fullmatch(leaf)
    if weight is None:
        return None
    beside = f"{path}{slash}{weight[1]}"
    if one.status is Status.ADDED and beside in paired:
        return Severity.NOTE, f"It is a new adapter of {beside}, which is in both models."
    if one.status is Status.REMOVED and beside in moved:
        return (
            Severity.NOTE,
            f"This model has no such adapter, and its {weight[1]} moved: it was probably added to it.",
        )
    return None


def _alike(comparison: Comparison) -> Mapping[Hashable, Sequence[str]]:
    """Return what is gone by kind, where as many are new and the containers differ, and so their names."""
    if comparison.containers[0] == comparison.containers[1]:
        return {}
    gone, new = (
        [one for one in comparison.tensors if one.status is status and is_weight(_info(one))]
        for status in (Status.REMOVED, Status.ADDED)
    )
    names: dict[Hashable, list[str]] = defaultdict(list)
    for one in gone:
        names[_kind(one)].append(one.name)
    counts = Counter(map(_kind, new))
    return {kind: found for kind, found in names.items() if counts[kind] == len(found)}


def _unclear(one: TensorComparison, alike: Mapping[Hashable, Sequence[str]]) -> tuple[Severity, str] | None:
    """Return what is said of a tensor that is in both models, for all that is known, under another name."""
    if one.status is not Status.ADDED or _kind(one) not in alike:
        return None
    names = alike[_kind(one)]
    which = (
        f"it may be {names[0]}" if len(names) == 1 else f"it may be one of {len(names)}, such as {names[0]}"
    )
    return (
        Severity.WARNING,
        f"Nothing tells which tensor of the reference it is: {which}, of the same shape and role.",
    )


def _found(comparison: Comparison) -> tuple[int, int]:
    """Return how many tensors have a counterpart of the same shape, and how many the smaller model has."""
    sides = [sum((one.first, one.second)[side] is not None for one in comparison.tensors) for side in (0, 1)]
    return sum(one.status not in _ALONE for one in comparison.tensors), min(sides)


def _is_another_model(comparison: Comparison, expected: Sequence[str]) -> bool:
    """Say whether so little is in both models that one sentence tells more than one for each tensor."""
    if not any(one.first is not None and one.second is not None for one in comparison.tensors):
        return bool(comparison.tensors)
    pairs, fewest = _found(comparison)
    alone = sum(
        one.status in {Status.REMOVED, Status.ADDED, Status.RESHAPED}
        and not matches(_info(one).name, expected)
        for one in comparison.tensors
    )
    return 2 * pairs < fewest and alone >= _MANY


def _said(one: TensorComparison) -> tuple[Severity, str] | None:
    """Return how bad it is, and what happened; None if nothing did."""
    first, second = one.first, one.second
    if first is None or second is None:
        if one.status is Status.REMOVED and first is not None:
            what = f"It is in the reference ({_shape(first.shape)} {first.dtype})"
            return Severity.ERROR, f"{what}, and no tensor of this model matches it."
        if one.status is Status.ADDED:
            return Severity.WARNING, "It is new: no tensor of the reference matches it."
    elif one.status is Status.RESHAPED:
        return (
            Severity.ERROR,
            f"Its shape is {_shape(second.shape)}, and {_shape(first.shape)} in the reference.",
        )
    elif one.status is Status.RETYPED:
        types = f"Its type is {second.dtype}, and {first.dtype} in the reference"
        if one.is_lossless:
            return Severity.NOTE, f"{types}, with the same values."
        return (
            Severity.WARNING,
            f"{types}, and its values differ: a relative change of {numeral(_relative(one))}.",
        )
    return None


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _info(one: TensorComparison) -> TensorInfo:
    info = one.second or one.first
    if info is None:
        raise ValueError("A comparison has a tensor on one side at least.")
    return info


def _kind(one: TensorComparison) -> Hashable:
    info = _info(one)
    return info.role, info.shape
