"""Which variables SavedModels say are trained, compared with the models that were saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import pytest
import tensorflow as tf

from tests.identity.catalogs import by_name, tensorflow
from weightaudit.catalog import ObjectGraph, Variable
from weightaudit.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


def partly_frozen() -> keras.Model:
    """Return a model of which one layer was frozen after it was built."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, name="frozen"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dense(2, name="head"),
        ],
        name="net",
    )
    model.get_layer("frozen").trainable = False
    return model


def stored(path: Path) -> dict[str, bool | None]:
    """Return what is known of each variable of a saved model."""
    with open_checkpoint(path) as checkpoint:
        return {info.name: info.trainable for info in checkpoint.tensors}


def test_an_export_tells_what_is_frozen(tmp_path: Path) -> None:
    """The lists of a Keras 3 export agree with the live model, also for a layer frozen after it was built."""
    model = partly_frozen()
    model.export(str(tmp_path / "export"), verbose=False)
    assert stored(tmp_path / "export") == {v.path: v.trainable for v in model.variables}


def test_a_variable_of_keras_is_not_believed_that_it_is_trained(tmp_path: Path) -> None:
    """Without these lists a frozen variable of Keras still says that it is trained: it stays unknown."""
    model = partly_frozen()
    tf.saved_model.save(model, str(tmp_path / "saved"))
    live = {v.path: v.trainable for v in model.variables}
    found = stored(tmp_path / "saved")
    assert found.keys() == live.keys()
    assert {known for name, known in found.items() if live[name] or name.startswith("frozen")} == {None}
    assert not any(known for name, known in found.items() if not live[name])


class Module(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Variables as those of a module from TensorFlow Hub."""

    def __init__(self) -> None:
        super().__init__(name="encoder")
        with self.name_scope:
            self.w = tf.Variable(tf.ones([3, 2]), name="w")
            self.mean = tf.Variable(tf.zeros([2]), trainable=False, name="moving_mean")
            self.pooled = tf.Variable(tf.zeros([2]), trainable=False, name="bias")


@pytest.mark.parametrize("listed", [True, False])
def test_modules_tell_what_is_trained(tmp_path: Path, *, listed: bool) -> None:
    """A module is told by its lists, as TensorFlow Hub wants them, or else by its variables themselves."""
    module: Any = Module()
    saved: Any = module
    if listed:
        saved = tf.train.Checkpoint()
        saved.variables = list(module.variables)
        saved.trainable_variables = list(module.trainable_variables)
    tf.saved_model.save(saved, str(tmp_path / "module"))
    expected = {"encoder/w": True, "encoder/moving_mean": False, "encoder/bias": False}
    assert {name: known for name, known in stored(tmp_path / "module").items() if "/" in name} == expected


def test_shared_names_are_left_unknown() -> None:
    """Which of two variables of one name a declaration means is not known."""
    keys = [f"{part}/w/.ATTRIBUTES/VARIABLE_VALUE" for part in "ab"]
    graph = ObjectGraph(
        3, {0: {"a": 1, "b": 2}}, [Variable(i + 1, key, "net/w") for i, key in enumerate(keys)]
    )
    declared = {"variables": [{"name": "net/w", "trainable": True}, {"name": "net/w", "trainable": False}]}
    tensors = by_name(tensorflow(dict.fromkeys(keys, (2, 2)), graph, saved_model=declared))
    assert len(tensors) == 2
    assert {info.trainable for info in tensors.values()} == {None}


def test_a_variable_that_says_nothing_is_left_unknown() -> None:
    """TensorFlow 1 declares variables without a word on training: that is no word against it."""
    key = "w/.ATTRIBUTES/VARIABLE_VALUE"
    graph = ObjectGraph(2, {0: {"w": 1}}, [Variable(1, key, "net/w")])
    declared = {"variables": [{"name": "net/w", "trainable": None}]}
    (info,) = by_name(tensorflow({key: (2, 2)}, graph, saved_model=declared)).values()
    assert info.trainable is None


@pytest.mark.parametrize("kept", [True, False])
def test_tensorflow_1_lists_what_is_trained(tmp_path: Path, *, kept: bool) -> None:
    """The collections of a TensorFlow 1 graph tell what is trained; without them the role alone does."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("head/kernel", [2, 3])
        v1.get_variable("norm/moving_mean", [3], trainable=False)
        v1.get_variable("body/kernel", [2, 3], trainable=False)
        session.run(v1.global_variables_initializer())
        if not kept:
            v1.get_default_graph().clear_collection("trainable_variables")
        builder = v1.saved_model.Builder(str(tmp_path / "model"))
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()
    expected = (
        {"head/kernel": True, "body/kernel": False} if kept else {"head/kernel": None, "body/kernel": None}
    )
    assert stored(tmp_path / "model") == {**expected, "norm/moving_mean": False}
