"""Trains the networks and saves them fresh, early and trained; in a process of its own, for it needs Keras.

``python -m benchmarks.detection.training FOLDER --seed N`` prints a JSON list of what it wrote.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.detection import held_out
from benchmarks.detection.models import Model, as_json
from benchmarks.detection.networks import networks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.detection.networks import Network

EPOCHS = 10
EARLY = 2
"""After how many epochs of training the stale weights are saved."""

STEPS = 40
"""Steps of an epoch."""

BATCH = 64

ARCHITECTURES = ("MobileNetV2", "EfficientNetB0", "DenseNet121", "ResNet50", "VGG16", "MobileNetV3Small")
"""Those of `keras.applications` that are saved with fresh weights."""

SUFFIXES = {
    "keras": ".keras",
    "h5": ".h5",
    "weights": ".weights.h5",
    "saved-model": "",
    "checkpoint": ".ckpt",
}


def train(name: str, network: Network, folder: Path, seed: int) -> Iterator[Model]:
    """Train one network; yield it fresh, and trained in each of its formats."""
    keras: Any = import_module("keras")
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    inputs, targets = network.data(random, STEPS * BATCH)
    model = network.build()
    model.compile(network.optimizer(), network.loss)
    yield Model(f"{name}-fresh", save(model, folder / f"{name}-fresh", "keras"), "fresh")
    callbacks = [_pruning(model, network.masked)] if network.masked else []
    model.fit(inputs, targets, BATCH, EARLY, verbose=0, callbacks=callbacks)
    early = save(model, folder / f"{name}-early", "keras")
    history = model.fit(inputs, targets, BATCH, EPOCHS - EARLY, verbose=0, callbacks=callbacks).history[
        "loss"
    ]
    sys.stderr.write(f"{name}: the loss went from {history[0]:.3f} to {history[-1]:.3f}\n")
    for kind in network.formats:
        path = save(model, folder / f"{name}-{kind}", kind)
        yield Model(f"{name}-{kind}", path, "trained", early if kind == "keras" else None)
    if network.quantized:
        model.quantize("int8")
        yield Model(f"{name}-int8", save(model, folder / f"{name}-int8", "keras"), "trained")


def save(model: Any, path: Path, kind: str) -> Path:
    """Save a model in one of the formats, without anything left of Keras' announcements."""
    path = path.with_name(path.name + SUFFIXES[kind])
    if kind == "saved-model":
        model.export(path, verbose=False)
    elif kind == "checkpoint":
        tensorflow: Any = import_module("tensorflow")
        tensorflow.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(path))
    elif kind == "weights":
        model.save_weights(path)
    else:
        model.save(path)
    return path


def _pruning(model: Any, share: float) -> Any:
    """Return a callback that sets the smallest weights of every kernel to zero after each step.

    The mask is drawn when it is made, and stays the same, as with a lottery ticket.
    """
    keras: Any = import_module("keras")
    kernels = [weight for weight in model.trainable_weights if len(weight.shape) > 1]
    masks = [np.abs(kernel.numpy()) >= np.quantile(np.abs(kernel.numpy()), share) for kernel in kernels]

    def prune(*_: object, **_named: object) -> None:
        for kernel, mask in zip(kernels, masks, strict=True):
            kernel.assign(kernel.numpy() * mask)

    return keras.callbacks.LambdaCallback(on_train_batch_end=prune)


def applications(names: Sequence[str], folder: Path, seed: int) -> Iterator[Model]:
    """Save architectures of `keras.applications` with the weights that their initializers give them."""
    keras: Any = import_module("keras")
    for name in names:
        keras.utils.set_random_seed(seed)
        # The two dense layers on top of VGG16 alone would have 500 MB.
        options = {"include_top": False} if name == "VGG16" else {}
        model = getattr(keras.applications, name)(weights=None, **options)
        yield Model(f"{name}-fresh", save(model, folder / f"{name}-fresh", "keras"), "fresh")
        keras.backend.clear_session()


def main() -> None:
    """Write the models into a folder, and their list to stdout."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection.training", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--networks", default="", help="names, separated by commas [all]")
    parser.add_argument("--applications", help="names, or nothing [some]")
    parser.add_argument("--held-out", action="store_true", help="the networks on which no bound was chosen")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    known = held_out.held_out_networks() if options.held_out else networks()
    architectures = held_out.ARCHITECTURES if options.held_out else ARCHITECTURES
    chosen = [name for name in (options.networks or ",".join(known)).split(",") if name]
    models: list[Model] = []
    for name in chosen:
        models += train(name, known[name], options.folder, options.seed)
    if options.applications is not None:
        architectures = tuple(name for name in options.applications.split(",") if name)
    models += applications(architectures, options.folder, options.seed)
    sys.stdout.write(f"\n{as_json(models)}\n")


if __name__ == "__main__":
    main()
