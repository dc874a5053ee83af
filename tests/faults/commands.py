"""Whole commands as scenarios: what a user runs, from reading the model to the last rename.

Their worlds are old and new as those of `scenarios`; besides, every version in the store is intact
at every instant, and a model that was replaced is one of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tests.faults.models import CHECKPOINT, CONTAINERS, DIRECTORY, FILE, Maker, Pair
from tests.faults.reports import caching, noting, reporting
from tests.faults.scenarios import HERE, Arm, Done, Scenario, command, content, known, look
from weightaudit import open_checkpoint, repair_model
from weightaudit.errors import WeightauditError
from weightaudit.projections import Clip
from weightaudit.repair.selection import Request, Selector
from weightaudit.versions.committing import commit
from weightaudit.versions.keys import load_private_key
from weightaudit.versions.signing import sign, verify_signed
from weightaudit.versions.store import Store, create_store
from weightaudit.versions.verifying import verify_number

STORE, INSIDE = "store", ".weightaudit"
"""The version store of a world: beside the directory of the model, or in it, where names are looked at."""

KEY = "key.pem"
"""The private key of a world in which versions are signed."""

MEND = ("--project", "clip(-0.01, 0.01)", "--on", "*", "--max-change", "2", "--no-progress")
"""A repair that changes something in every model here."""


def repairing_in_place(model: Pair) -> Scenario:
    """Return the scenario of a model that is mended in its place.

    Where that is done already, but not cleared up, the mended version is put there once more.
    """
    state = partial(_state_of_model, mended(model))
    options = ("--store", f"../{STORE}")

    def build(world: Path) -> None:
        (world / HERE).mkdir(parents=True)
        model.old(world / HERE)

    def act(world: Path, arm: Arm) -> Done:
        if state(world) == "new":
            return command("versions", "restore", model.name, model.name, *options)(world, arm)
        return command("repair", model.name, "--in-place", *options, *MEND)(world, arm)

    return Scenario(build, act, state)


def restoring(model: Pair) -> Scenario:
    """Return the scenario of a version that is put in the place of a model."""

    def build(world: Path) -> None:
        (world / HERE).mkdir(parents=True)
        model.old(world / HERE)
        _commit(model, model.new, world / STORE)

    act = command("versions", "restore", f"{model.name}@1", model.name, "--store", f"../{STORE}")
    return Scenario(build, act, partial(_state_of_model, model))


def committing(model: Pair) -> Scenario:
    """Return the scenario of a model that becomes the second version in a store."""
    build = partial(_build_versions, model, (model.new,))
    return Scenario(
        build, command("commit", model.name, "-m", "why"), partial(_state_of_store, model, [1, 2])
    )


def repairing(model: Pair) -> Scenario:
    """Return the scenario of a mended model that becomes the second version in a store.

    Where it is that already, but not cleared up, another command that takes the lock clears up.
    """
    state = partial(_state_of_store, model, [1, 2])

    def act(world: Path, arm: Arm) -> Done:
        if state(world) == "new":
            return command("versions", "prune", "--older-than", "1")(world, arm)
        return command("repair", model.name, *MEND)(world, arm)

    return Scenario(partial(_build_versions, model, (model.old,)), act, state)


def pruning(model: Pair) -> Scenario:
    """Return the scenario of a version that is removed."""
    build = partial(_build_versions, model, (model.new, model.old))
    return Scenario(build, command("versions", "prune", "--keep", "1"), partial(_state_of_store, model, [2]))


def signing(model: Pair) -> Scenario:
    """Return the scenario of a version that gets a signature."""

    def build(world: Path) -> None:
        _build_versions(model, (model.old,), world)
        (world / KEY).write_bytes(_key())

    return Scenario(build, command("versions", "sign", f"{model.name}@1", "--key", f"../{KEY}"), _signed)


def pruning_signed(model: Pair) -> Scenario:
    """Return the scenario of a signed version that is removed, with its signature."""

    def build(world: Path) -> None:
        _build_versions(model, (model.new, model.old), world)
        (world / KEY).write_bytes(_key())
        sign(Store(world / HERE / INSIDE).get(model.name, 1), load_private_key(world / KEY))

    def state(world: Path) -> str:
        found = _state_of_store(model, [2], world)
        return found if found != "old" or _signed(world) == "new" else "the signature is lost"

    return Scenario(build, command("versions", "prune", "--keep", "1"), state)


def _signed(world: Path) -> str:
    """Say whether the first version of the only model is signed, and nothing is wrong with it."""
    store = Store(world / HERE / INSIDE)
    (name,) = store.models()
    damage = [str(one) for one in verify_signed(store, name, 1, load_private_key(world / KEY).public)]
    return {(): "new", ("signature 1.sig is missing",): "old"}.get(tuple(damage), f"damaged: {damage}")


@cache
def _key() -> bytes:
    """Return a private key in PEM form."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _build_versions(model: Pair, makers: tuple[Maker, ...], world: Path) -> None:
    (world / HERE).mkdir(parents=True)
    model.old(world / HERE)
    for make in makers:
        _commit(model, make, world / HERE / INSIDE)


def _commit(model: Pair, make: Maker, store: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        with open_checkpoint(Path(folder) / model.name) as opened:
            commit(create_store(store), opened, message="", author="")


def mended(model: Pair) -> Pair:
    """Return a pair whose new model is what the repair of the old one gives."""
    return model._replace(new=partial(_mended, model))


def _mended(model: Pair, folder: Path) -> None:
    """Make what the repair of a model gives."""
    model.old(folder)
    request = Request((Clip(-0.01, 0.01),), Selector(tensors=("*",)))
    repair_model(
        folder / model.name, requests=[request], max_change=2, in_place=True, store=folder / ".store"
    )
    shutil.rmtree(folder / ".store")


def _state_of_model(model: Pair, world: Path) -> str:
    path, store = world / HERE / model.name, Store(world / STORE)
    wrong = _damage(store)
    if wrong:
        return wrong
    looks = {word: _known(model, make) for word, make in (("new", model.new), ("old", model.old))}
    try:
        found = look(path)
    except WeightauditError as error:
        return f"unreadable: {error}"
    word = next((word for word, wanted in looks.items() if wanted == found), f"mixed: {found}")
    kept = any(look(version.path) == looks["old"] for version in store.versions(model.name))
    return word if word != "new" or kept else "new, and the old one is lost"


def _known(model: Pair, make: Maker) -> tuple[object, ...]:
    return _known_mended(model)[1] if isinstance(make, partial) else known(model.name, make)[1]


@cache
def _known_mended(model: Pair) -> tuple[dict[str, bytes], tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        model.new(Path(folder))
        return content(Path(folder) / model.name), look(Path(folder) / model.name)


def _state_of_store(model: Pair, new: list[int], world: Path) -> str:
    store = Store(world / HERE / INSIDE)
    numbers = store.numbers(model.name)
    old = [1] if new == [1, 2] else [1, 2]
    return _damage(store) or {str(new): "new", str(old): "old"}.get(str(numbers), f"versions {numbers}")


def _damage(store: Store) -> str:
    """Return what is wrong in a store; nothing if every version in it is intact, or there is none."""
    found = (
        f"{name}@{number}: {damage}"
        for name in (store.models() if os.path.lexists(store.root) else ())
        for number in store.numbers(name)
        for damage in verify_number(store, name, number)
    )
    return "; ".join(found)


def copying(model: Pair) -> Scenario:
    """Return the scenario of a mended model that is written beside the old one."""
    place = Path(HERE, "out", model.name)

    def build(world: Path) -> None:
        (world / place.parent).mkdir(parents=True)
        model.old(world / HERE)

    def state(world: Path) -> str:
        path = world / place
        if not path.exists() and not path.with_name(f"{path.name}.index").exists():
            return "old"
        return "new" if _look(path) == _known_mended(mended(model))[1] else "neither"

    act = command("repair", model.name, "--output", f"out/{model.name}", *MEND)
    return Scenario(build, act, state, repeatable=False)


def _look(path: Path) -> tuple[object, ...]:
    try:
        return look(path)
    except WeightauditError as error:
        return (str(error),)


SIGNATURES = {"sign": signing(FILE), "prune a signed version": pruning_signed(FILE)}
"""What takes a package that is optional."""

if find_spec("model_signing"):
    import_module("model_signing")  # here, so that it is not imported anew after each fork
else:
    SIGNATURES.clear()

COMMANDS = {
    "repair a file in place": repairing_in_place(FILE),
    "repair a directory in place": repairing_in_place(DIRECTORY),
    "repair a checkpoint in place": repairing_in_place(CHECKPOINT),
    "repair into a store": repairing(CHECKPOINT),
    "repair to a copy": copying(CHECKPOINT),
    "commit": committing(DIRECTORY),
    "restore a directory": restoring(DIRECTORY),
    "restore a checkpoint": restoring(CHECKPOINT),
    "prune": pruning(CHECKPOINT),
    "check to a page": reporting(),
    "write a baseline": noting(),
    "keep in the cache": caching(),
    **SIGNATURES,
}
"""Commands that write, by name: those that the test suite runs."""

_VERBS = {
    "repair in place": repairing_in_place,
    "repair": repairing,
    "repair to a copy": copying,
    "commit": committing,
    "restore": restoring,
    "prune": pruning,
}

MATRIX = {
    f"{verb}: {container}": make(model)
    for verb, make in _VERBS.items()
    for container, model in CONTAINERS.items()
}
"""Each of them with each container, for `python -m tests.faults`."""

EVERY = COMMANDS | MATRIX
