"""Which variable an optimizer's slot belongs to, by the slot's name or by its place."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from weightaudit.identity.describe import Described, bookkeeping
from weightaudit.identity.names import components, optimizer_role
from weightaudit.tensor import Evidence, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from weightaudit.catalog import Entry

# fmt: off
SECOND_MOMENTS = frozenset({
    "velocity", "velocity_hat", "v", "vhat", "v_hat", "rms", "norm", "accumulator", "accum_grad", "accum_var",
    "accumulated_grad", "accumulated_delta_var", "vr", "vc", "slot_v", "slot_vr", "slot_vc",
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
# In the order in which optimizers create them; variables take turns inside a group, groups follow.
_ADAM = (("momentum", "velocity"), ("velocity_hat",))
_PLANS: dict[str, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(["adam", "adamw", "nadam", "lamb", "schedulefreeadamw"], _ADAM),
    "adamax": (("momentum", "norm"),),
    "adadelta": (("accumulated_grad", "accumulated_delta_var"),),
    "adagrad": (("accumulator",),),
    "ftrl": (("accumulator", "linear"),),
    "lion": (("momentum",),),
    "rmsprop": (("velocity",), ("momentum",), ("average_gradient",)),
    "sgd": (("momentum",),),
}


def is_second_moment(name: str) -> bool:
    """Say whether an optimizer slot of this name averages squares, so that it is never negative."""
    return name.rpartition("/")[2] in SECOND_MOMENTS


def slot_name(path: str, variables: Mapping[str, str]) -> str:
    """Return ``optimizer/<variable>/<slot>`` for the name that an optimizer gave a slot, or an empty string.

    Args:
        path: ``adam/dense_kernel_momentum`` (Keras 3), ``Adam/m/dense/kernel`` (2.11 to 2.15),
            ``Adam/dense/kernel/m`` and ``training/Adam/dense/kernel/m`` (before).
        variables: Names of the model's variables by the same name with ``_`` for ``/``.
    """
    parts = components(path)
    if len(parts) > 2 and parts[0].startswith("training"):
        parts = parts[1:]
    if len(parts) >= 3 and parts[1] in _SLOTS:
        return "/".join(["optimizer", *parts[2:], parts[1]])
    if len(parts) >= 3 and parts[-1] in _SLOTS:
        return "/".join(["optimizer", *parts[1:]])
    last = parts[-1] if parts else ""
    for slot in sorted(_SLOTS, key=len, reverse=True):
        owner = last.removesuffix(f"_{slot}")
        if owner != last and owner:
            return f"optimizer/{variables.get(owner, owner)}/{slot}"
    return ""


def flat_names(infos: Iterable[TensorInfo]) -> dict[str, str]:
    """Return the names of variables by the form in which Keras 3 puts them into the names of slots."""
    return {info.name.replace("/", "_"): info.name for info in infos}


def positional(
    entries: Sequence[Entry], orders: Sequence[Sequence[TensorInfo]], optimizer: str
) -> list[Described]:
    """Describe an optimizer's tensors that are only numbered.

    Args:
        entries: Its tensors in stored order: scalars of its own first, then slots.
        orders: The variables that it trains, in the orders that are possible; shapes decide.
        optimizer: Its class name, empty if not known; then Adam's slots are a guess.
    """
    head = next((i for i, entry in enumerate(entries) if entry.shape), len(entries))
    described: list[Described] = []
    taken: set[str] = set()
    for index, entry in enumerate(entries[:head]):
        counter = "int" in entry.dtype
        usual = "iteration" if counter else "learning_rate"
        name = f"optimizer/{usual if usual not in taken else index}"
        taken.add(usual)
        described.append(bookkeeping(entry, name, Role.COUNTER if counter else Role.HYPERPARAMETER))
    slots = entries[head:]
    names = _slots_by_place(slots, orders, optimizer.lower())
    known = bool(optimizer) and all(info.is_certain for order in orders for info in order)
    certain = Evidence.CONFIG if known else Evidence.GUESS
    for index, (entry, name) in enumerate(zip(slots, names, strict=True), start=head):
        evidence = certain if name else Evidence.NAME
        described.append(bookkeeping(entry, name or f"optimizer/{index}", Role.OPTIMIZER_SLOT, evidence))
    return described


def named(entry: Entry, path: str, variables: Mapping[str, str]) -> Described:
    """Describe a tensor of an optimizer by the name that the optimizer gave it."""
    parts = components(path)
    role = optimizer_role(parts[-1] if parts else "", entry.shape)
    if role is not None:
        return bookkeeping(entry, f"optimizer/{parts[-1].lstrip('_')}", role)
    slot = slot_name(path, variables)
    if slot or entry.shape:
        return bookkeeping(entry, slot or f"optimizer/{'/'.join(parts)}", Role.OPTIMIZER_SLOT)
    return bookkeeping(entry, f"optimizer/{'/'.join(parts)}", Role.HYPERPARAMETER)


def _slots_by_place(
    slots: Sequence[Entry], orders: Sequence[Sequence[TensorInfo]], optimizer: str
) -> list[str]:
    """Return the name of each slot, empty where shapes do not confirm any order."""
    width = len(slots) // len(orders[0]) if orders and orders[0] else 0
    for variables, groups in product(orders, _groupings(optimizer, width)):
        order = [(info, slot) for group in groups for info in variables for slot in group]
        if all(slot.shape == info.shape for slot, (info, _) in zip(slots, order, strict=False)):
            names = [f"optimizer/{info.name}/{slot}" for info, slot in order]
            return names + [""] * (len(slots) - len(names))
    return [""] * len(slots)


def _groupings(optimizer: str, width: int) -> list[list[tuple[str, ...]]]:
    """Return the orders of `width` slots per variable: as Keras 3 makes them, then kind after kind."""
    known = _PLANS.get(optimizer, _ADAM if width > 1 else ())
    flat = [slot for group in known for slot in group][:width]
    flat += [f"slot_{index}" for index in range(len(flat), width)]
    together = [group for group in known if set(group) <= set(flat)]
    grouped = {slot for group in together for slot in group}
    apart: list[tuple[str, ...]] = [(slot,) for slot in flat]
    return [together + [(slot,) for slot in flat if slot not in grouped], apart] if flat else []
