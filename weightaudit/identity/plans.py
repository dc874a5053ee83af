"""In which order optimizers store the slots of the variables that they train."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice, product
from typing import TYPE_CHECKING, Any, NamedTuple

from weightaudit.identity.config import as_list, as_mapping, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from weightaudit.catalog import Entry, Json
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An optimizer as far as a file tells.

    Attributes:
        name: Its class in lower case, such as ``adamw``; empty if not known.
        config: Its constructor arguments; None if not known.
        keras2: Whether TensorFlow's Keras 2 saved it, which calls some slots by other names.
    """

    name: str = ""
    config: Mapping[str, Any] | None = field(default=None, hash=False)
    keras2: bool = False


class Slot(NamedTuple):
    """What an optimizer keeps for a variable: the variable, the slot's name, and its shape."""

    info: TensorInfo
    name: str
    shape: tuple[int, ...]


class Group(NamedTuple):
    """Slots that take turns variable by variable, kept always or if an option of the optimizer is set.

    Attributes:
        slots: Their names.
        option: The option; empty if they are always kept.
        is_idle: Whether a single number holds the place of each, whatever the shape of the variable.
    """

    slots: tuple[str, ...]
    option: str = ""
    is_idle: bool = False


class Plan(NamedTuple):
    """Groups of slots in stored order, and whether nothing else is possible."""

    groups: Sequence[Group]
    is_certain: bool


# What every optimizer of Keras makes before its own slots (`BaseOptimizer.build`).
_COMMON = (Group(("average",), "use_ema"), Group(("gradient_accumulator",), "gradient_accumulation_steps"))
_ADAM = (Group(("momentum", "velocity")), Group(("velocity_hat",), "amsgrad"))
_PLANS: dict[str, tuple[Group, ...]] = {
    **dict.fromkeys(["adam", "adamw", "nadam", "lamb"], _ADAM),
    # Keras calls the first "momentum", but it holds weights: those that gradients are applied to.
    "schedulefreeadamw": (Group(("iterate", "velocity")),),
    "adamax": (Group(("momentum", "norm")),),
    "adadelta": (Group(("accumulated_grad", "accumulated_delta_var")),),
    "adagrad": (Group(("accumulator",)),),
    "ftrl": (Group(("accumulator", "linear")),),
    "lion": (Group(("momentum",)),),
    "rmsprop": (
        Group(("velocity",)), Group(("momentum",), "momentum"), Group(("average_gradient",), "centered"),
    ),
    "sgd": (Group(("momentum",), "momentum"),),
}  # fmt: skip
# Keras 2.1 to 2.3 kept the maxima of AMSGrad in any case: without it, a zero for each variable.
_ADAM_OF_KERAS2 = (Group(("momentum",)), Group(("velocity",)), Group(("velocity_hat",), is_idle=True))
# Optimizers that do not keep the same slots for all variables; groups are what they keep beside.
_UNEVEN = frozenset(["adafactor", "muon"])
_KERAS2_NAMES = {"momentum": "m", "velocity": "v", "velocity_hat": "vhat", "norm": "u"}
_KEPT_BY_KERAS2 = frozenset(["rmsprop"])


def read_optimizer(value: Json, *, keras2: bool = False) -> Optimizer:
    """Read the serialized form of an optimizer: a string, or an object that may nest it.

    Args:
        value: ``optimizer`` of a compile configuration, or ``optimizer_config`` of an old file.
        keras2: Whether Keras 2 saved it.
    """
    node = as_mapping(value)
    config = as_mapping(node.get("config"))
    inner = as_mapping(config.get("inner_optimizer") or config.get("optimizer"))
    if inner:
        node, config = inner, as_mapping(inner.get("config"))
    name = as_text(node.get("class_name")) or as_text(value)
    return Optimizer(name.rpartition(">")[2].lower(), config or None, keras2)


def slots_by_place(
    entries: Sequence[Entry], orders: Sequence[Sequence[TensorInfo]], optimizer: Optimizer
) -> tuple[list[Slot], bool]:
    """Return the slots that stored tensors are, in stored order, and whether nothing else fits.

    Args:
        entries: Tensors of the optimizer without its leading scalars.
        orders: The variables that it trains, in the orders that are possible; shapes decide.
        optimizer: What is known of the optimizer.

    Returns:
        The slots, one for each of the first entries, or none where shapes confirm no order.
    """
    for variables in orders:
        width = len(entries) // len(variables) if variables else 0
        for plan in _plans(optimizer, width):
            # One more than there are entries shows that they are too many; there may be very many variables.
            slots = list(islice(_expand(optimizer, plan.groups, variables), len(entries) + 1))
            if not slots or len(slots) > len(entries):
                continue
            if all(slot.shape == entry.shape for slot, entry in zip(slots, entries, strict=False)):
                return slots, plan.is_certain
    return [], False


def _plans(optimizer: Optimizer, width: int) -> list[Plan]:
    """Return what an optimizer may keep for each variable, the likeliest first."""
    own = _PLANS.get(optimizer.name) or (_ADAM if width > 1 and not optimizer.name else ())
    if not own and optimizer.name not in _UNEVEN:
        return [Plan([Group((f"slot_{index}",)) for index in range(width)], is_certain=False)]
    groups = (*_COMMON, *own)
    plans: list[Plan] = []
    if optimizer.config is not None:
        # SGD of Keras 2 makes momenta whether it uses them or not.
        always = {"momentum"} if optimizer.keras2 and optimizer.name == "sgd" else set[str]()
        chosen = [g for g in groups if not g.option or g.option in always or optimizer.config.get(g.option)]
        plans.append(Plan(chosen, is_certain=True))
    possible = [
        chosen
        for chosen in _choices(groups)
        if optimizer.name in _UNEVEN or sum(len(group.slots) for group in chosen) == width
    ]
    only = len(possible) == 1 and bool(optimizer.name)
    plans += [Plan(chosen, is_certain=only) for chosen in possible]
    # Keras 1 and 2 kept slots kind after kind; shapes tell the two orders apart.
    flat = [Group((slot,)) for group in own for slot in group.slots][:width]
    if len(flat) == width:
        plans.append(Plan(flat, is_certain=only))
    if optimizer.name == "adam" and width == len(_ADAM_OF_KERAS2):
        plans.append(Plan(_ADAM_OF_KERAS2, is_certain=True))
    return plans


def _choices(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Yield the groups that each combination of options gives, those with the fewest common ones first."""
    optional = [group for group in groups if group.option]
    for switches in product((False, True), repeat=len(optional)):
        left_out = {group for group, is_on in zip(optional, switches, strict=True) if not is_on}
        yield [group for group in groups if group not in left_out]


def _expand(optimizer: Optimizer, groups: Sequence[Group], variables: Sequence[TensorInfo]) -> Iterator[Slot]:
    """Yield the slots of a plan in stored order."""
    renamed = _KERAS2_NAMES if optimizer.keras2 and optimizer.name not in _KEPT_BY_KERAS2 else {}
    for group in groups:
        for info in variables:
            for slot in group.slots:
                yield Slot(info, renamed.get(slot, slot), (1,) if group.is_idle else info.shape)
    if optimizer.name == "adafactor":
        yield from _adafactor(variables)
    elif optimizer.name == "muon":
        yield from _muon(variables, optimizer.config or {})


def _adafactor(variables: Sequence[TensorInfo]) -> Iterator[Slot]:
    """Yield the factored second moments of Adafactor; variables of fewer than two axes have idle scalars."""
    for info in variables:
        factored = len(info.shape) > 1
        yield Slot(info, "row_factor", info.shape[:-1] if factored else ())
        yield Slot(info, "column_factor", (*info.shape[:-2], info.shape[-1]) if factored else ())
        yield Slot(info, "velocity", info.shape)


def _muon(variables: Sequence[TensorInfo], config: Mapping[str, Any]) -> Iterator[Slot]:
    """Yield the slots of Muon, which leaves all but matrices to Adam (`Muon._should_use_adamw`)."""
    excluded = [as_text(each) for each in as_list(config.get("exclude_layers"))]
    for info in variables:
        yield Slot(info, "momentum", info.shape)
        is_embedding = config.get("exclude_embeddings", True) and "embedding" in info.name.lower()
        if len(info.shape) != 2 or is_embedding or any(_found(each, info.name) for each in excluded):
            yield Slot(info, "velocity", info.shape)


def _found(pattern: str, name: str) -> bool:
    """Say whether a name has a word; a pattern of a stranger that is more than a word is not run."""
    return re.fullmatch(r"[\w/ -]+", pattern) is not None and pattern in name
