"""Building a model, saving it in every container, and comparing each file with the live model."""

from __future__ import annotations

import importlib
import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.zoo import containers, models
from tests.zoo.comparing import Tally, compare
from tests.zoo.live import Answer, answers, fill, recording
from tests.zoo.quantized import QUANTIZED
from weightaudit.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

GENERATIONS = ("keras", "tf_keras")
"""Modules whose models are built: Keras 3, and Keras 2 as TensorFlow 2.16 and later keep it."""

CONFIGURED = {".weights.h5", "sharded", "export", "checkpoint"}
"""Containers without a configuration, which are also opened with one beside them."""

REFUSED = {("tf_keras", ".h5", "subclassed"), ("keras", ".h5", "optimizer_adafactor")}
"""What a framework does not save: in HDF5 tf_keras refuses subclassed models, and names must differ."""

NEEDS_LEGACY = {("tf_keras", "spectral")}
"""Models that can be built only where ``tf.keras`` is tf_keras: TF_USE_LEGACY_KERAS=1 from the start."""

SHAPELESS = {"subclassed"}
"""Models whose configuration lists no layers, so that it is of no use beside weights."""


@dataclass(frozen=True)
class Saved:
    """A model, saved in every container, with its own answers.

    Attributes:
        case: Name of the model.
        answers: What the live model says of its variables.
        paths: The saved files, by container.
        config: Its configuration as a file.
    """

    case: str
    answers: list[Answer]
    paths: dict[str, Path]
    config: Path


def is_buildable(generation: str, case: str) -> bool:
    """Say whether this process can build a model."""
    return (generation, case) not in NEEDS_LEGACY or os.environ.get("TF_USE_LEGACY_KERAS") == "1"


def cases(generation: str) -> dict[str, models.Build]:
    """Return the models that a generation of Keras builds, by name."""
    only = {**models.KERAS3, **QUANTIZED} if generation == "keras" else models.LEGACY
    return {**models.BOTH, **only}


def saves(generation: str) -> dict[str, containers.Save]:
    """Return the containers that a generation of Keras writes, by name."""
    return containers.KERAS3 if generation == "keras" else containers.LEGACY


def build_and_save(generation: str, case: str, folder: Path) -> Saved:
    """Build a model, give every variable values of its own, and save it in every container."""
    keras: Any = importlib.import_module(generation)
    keras.backend.clear_session()
    # What the frameworks warn of, as of HDF5 being old, is what is wanted here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with recording(keras) as recorder:
            model = cases(generation)[case](keras)
            fill(model)
        paths = {
            container: save(model, folder)
            for container, save in saves(generation).items()
            if (generation, container, case) not in REFUSED
        }
        config = containers.write_config(paths[".keras"])
        return Saved(case, answers(model, recorder), paths, config)


def examine(saved: Saved) -> dict[str, Tally]:
    """Compare every file of a model with the live model; ``+ config`` is with a configuration beside it."""
    tallies: dict[str, Tally] = {}
    for container, path in saved.paths.items():
        supplied = [None, saved.config] if container in CONFIGURED and saved.case not in SHAPELESS else [None]
        for config in supplied:
            label = container if config is None else f"{container} + config"
            tally = tallies[label] = Tally()
            with open_checkpoint(path, config=config) as checkpoint:
                compare(checkpoint, saved.answers, tally, f"{label} {saved.case}")
                tally.defects += [defect.message for defect in checkpoint.defects]
                tally.notes += checkpoint.notes
    return tallies
