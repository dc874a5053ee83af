"""Which variable an optimizer's slot belongs to, by the slot's name or by its place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from weightaudit.identity.describe import Described, bookkeeping, bookkeeping_nature, tensor
from weightaudit.identity.names import components, optimizer_role
from weightaudit.identity.plans import Optimizer, slots_by_place
from weightaudit.tensor import Evidence, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from weightaudit.catalog import Entry

# fmt: off
SECOND_MOMENTS = frozenset({
    "velocity", "velocity_hat", "v", "vhat", "v_hat", "rms", "norm", "accumulator", "accum_grad", "accum_var",
    "accumulated_grad", "accumulated_delta_var", "row_factor", "column_factor", "vr", "vc",
    "slot_v", "slot_vr", "slot_vc",
    "Adam_1", "Adagrad", "Adadelta", "Adadelta_1", "AdaMax_1", "LAMB_1", "RMSProp", "Ftrl",
})
# fmt: on
"""Last components of the names of slots that hold averages of squares, which are never negative."""

_SLOTS = SECOND_MOMENTS | frozenset(
    [
        "m",
        "momentum",
        "mg",
        "u",
        "linear",
        "average",
        "average_gradient",
        "gradient_accumulator",
        "accum_grad",
        "accum_var",
        "accumulated_delta",
    ]
)
# The longest slot that fits: "kernel_slot_v" is the slot "slot_v" of "kernel".
_JOINED = re.compile(f"^(.+?)_({'|'.join(sorted(_SLOTS))})$")
# In the order in which LossScaleOptimizer.build makes them, before the slots of the one inside.
_LOSS_SCALER = (
    "iteration", "learning_rate", "step_counter", "dynamic_scale",
    "inner_iteration", "inner_learning_rate",
)  # fmt: skip


def is_second_moment(name: str) -> bool:
    """Say whether an optimizer slot of this name averages squares, so that it is never negative."""
    return name.rpartition("/")[2] in SECOND_MOMENTS


def slot_name(path: str, variables: Mapping[str, str]) -> str:
    """Return ``optimizer/<variable>/<slot>`` for the name that an optimizer gave a slot, or an empty string.

    Args:
        path: ``adam/dense_kernel_momentum`` (Keras 3), ``Adam/m/dense/kernel`` (2.11 to 2.15),
            ``Adam/dense/kernel/m`` and ``training/Adam/dense/kernel/m`` (before).
        variables: Names of the model's variables by the same name with ``_`` for ``/``, and by the paths
            that the framework gave them where these are others.
    """
    parts = components(path)
    if len(parts) > 2 and parts[0].startswith("training"):
        parts = parts[1:]
    if len(parts) >= 3 and parts[0] in _SLOTS and parts[0].islower() and parts[-1] not in _SLOTS:
        # tf_keras names slots "m/dense/kernel" without the optimizer before it, but also "Ftrl/linear/...":
        # there Ftrl is the optimizer, and at the end of a TensorFlow 1 name its slot.
        return _slot_of("/".join(parts[1:]), parts[0], variables)
    if len(parts) >= 3 and parts[1] in _SLOTS:
        return _slot_of("/".join(parts[2:]), parts[1], variables)
    if len(parts) >= 3 and parts[-1] in _SLOTS:
        return _slot_of("/".join(parts[1:-1]), parts[-1], variables)
    last = parts[-1] if parts else ""
    joined = _JOINED.match(last)
    return _slot_of(joined[1], joined[2], variables) if joined else ""


def _slot_of(path: str, slot: str, variables: Mapping[str, str]) -> str:
    return f"optimizer/{variables.get(path, path)}/{slot}"


def flat_names(infos: Iterable[TensorInfo]) -> dict[str, str]:
    """Return the names of variables by the form in which Keras 3 puts them into the names of slots."""
    return {info.name.replace("/", "_"): info.name for info in infos}


def positional(
    entries: Sequence[Entry],
    orders: Sequence[Sequence[TensorInfo]],
    optimizer: Optimizer,
    scope: str = "optimizer",
) -> list[Described]:
    """Describe an optimizer's tensors that are only numbered.

    Args:
        entries: Its tensors in stored order: scalars of its own first, then slots.
        orders: The variables that it trains, in the orders that are possible; shapes decide.
        optimizer: What is known of it; where that leaves a choice, names of slots are a guess.
        scope: What their names begin with.
    """
    head = next((i for i, entry in enumerate(entries) if entry.shape), len(entries))
    described = _scalars(entries[:head], scope)
    slots, is_only = slots_by_place(entries[head:], orders, optimizer)
    certain = is_only and all(info.is_certain for order in orders for info in order)
    nature = bookkeeping_nature(Role.OPTIMIZER_SLOT, Evidence.CONFIG if certain else Evidence.GUESS)
    described += [
        tensor(entry, f"{scope}/{info.name}/{slot}", nature)
        for entry, (info, slot, _) in zip(entries[head:], slots, strict=False)
    ]
    for index, entry in enumerate(entries[head + len(slots) :], start=head + len(slots)):
        role, evidence = _without_name(entry)
        described.append(bookkeeping(entry, f"{scope}/{index}", role, evidence))
    return described


def _scalars(entries: Sequence[Entry], scope: str) -> list[Described]:
    """Describe the scalars before the slots: of the optimizer, and of the one inside a loss scaler."""
    counters = ["int" in entry.dtype for entry in entries]
    names = [f"{scope}/{name}" for name in _LOSS_SCALER] if counters == [True, False] * 3 else []
    described: list[Described] = []
    taken: set[str] = set()
    for index, (entry, is_counter) in enumerate(zip(entries, counters, strict=True)):
        usual = "iteration" if is_counter else "learning_rate"
        name = names[index] if names else f"{scope}/{index if usual in taken else usual}"
        role, evidence = Role.COUNTER if is_counter else Role.HYPERPARAMETER, Evidence.NAME
        if usual in taken and not names and not is_counter:
            # It may be a slot of a weight that has no axis, such as a temperature.
            role, evidence = _without_name(entry)
        taken.add(usual)
        described.append(bookkeeping(entry, name, role, evidence))
    return described


def named(entry: Entry, path: str, variables: Mapping[str, str]) -> Described:
    """Describe a tensor of an optimizer by the name that the optimizer gave it."""
    parts = components(path)
    role = optimizer_role(parts[-1] if parts else "", entry.shape)
    if role is not None:
        return bookkeeping(entry, f"optimizer/{parts[-1].lstrip('_')}", role)
    slot = slot_name(path, variables)
    if slot:
        return bookkeeping(entry, slot, Role.OPTIMIZER_SLOT)
    role, evidence = _without_name(entry)
    return bookkeeping(entry, f"optimizer/{'/'.join(parts)}", role, evidence)


def _without_name(entry: Entry) -> tuple[Role, Evidence]:
    """Return the role of an optimizer's tensor whose name tells nothing: a scalar may be either."""
    if entry.shape:
        return Role.OPTIMIZER_SLOT, Evidence.NAME
    return Role.HYPERPARAMETER, Evidence.GUESS
