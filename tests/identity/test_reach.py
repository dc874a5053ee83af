"""Layers that reach beyond the file: which are told, and which are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from weightaudit import audit
from weightaudit.catalog import Flaw
from weightaudit.identity.config import Layer
from weightaudit.identity.reach import reaching

if TYPE_CHECKING:
    from pathlib import Path

CODE = ["4wEAAAAA", None, None]


@pytest.mark.parametrize(
    ("layer_class", "config", "told"),
    [
        ("Lambda", {"function": CODE, "function_type": "lambda"}, "holds Python code"),
        ("Lambda", {"function": {"class_name": "__lambda__", "config": {}}}, "holds Python code"),
        ("Lambda", {"function": {"class_name": "__tuple__", "items": CODE}}, "holds Python code"),
        ("Dense", {"activation": {"class_name": "__lambda__", "config": {}}}, "holds Python code"),
        ("TFSMLayer", {"filepath": "/elsewhere"}, "loads another model from a path"),
        ("TorchModuleWrapper", {"module": "UEsDBA=="}, "holds a pickled module"),
        ("StringLookup", {"vocabulary": "/etc/passwd"}, "reads its vocabulary from a path"),
        ("TextVectorization", {"vocabulary": "words.txt"}, "reads its vocabulary from a path"),
        ("Lambda", {"function": "halve", "function_type": "function"}, ""),
        ("Lambda", {"function": {"class_name": "function", "config": "halve"}}, ""),
        ("StringLookup", {"vocabulary": ["one", "two"]}, ""),
        ("StringLookup", {"vocabulary": None}, ""),
        ("TFSMLayer", {"filepath": 3}, ""),
        ("Dense", {"activation": "relu", "name": "__lambda__"}, ""),
        ("TFOpLambda", {"function": "math.multiply"}, ""),
    ],
)
def test_what_is_told(layer_class: str, config: dict[str, Any], told: str) -> None:
    """Code, pickles, other models and vocabularies elsewhere are told; names of functions are not."""
    found = reaching([Layer("odd", layer_class, config)])
    assert [defect.flaw for defect in found] == ([Flaw.REACH] if told else [])
    assert all(defect.message.startswith(f"The layer odd {told}") for defect in found)


def test_many_layers_are_one_sentence() -> None:
    """Layers of a kind share a sentence, which names five of them and counts the rest."""
    layers = [Layer(f"lambda_{number}", "Lambda", {"function": CODE}) for number in range(8)]
    (defect,) = reaching([*layers, *layers])
    assert "layers lambda_0, lambda_1, lambda_2, lambda_3, lambda_4 and 3 more holds" in defect.message


def test_a_layer_without_a_name() -> None:
    """A layer that a stranger gave no name is told by its class."""
    (defect,) = reaching([Layer("", "Lambda", {"function": CODE})])
    assert defect.message.startswith("The layer Lambda holds Python code")


@pytest.mark.filterwarnings("ignore")  # of Keras and TensorFlow, about their own deprecations
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("framework", ["keras", "tf_keras"])
def test_models_of_both_generations(tmp_path: Path, framework: str, suffix: str) -> None:
    """A Lambda that Keras 2 and 3 saved is a note that does not fail the gate."""
    keras: Any = pytest.importorskip(framework)
    layers = [keras.layers.Dense(3), keras.layers.Lambda(lambda inputs: inputs * 2, name="twice")]
    keras.Sequential([keras.Input((4,)), *layers]).save(tmp_path / f"model.{suffix}")
    report = audit(tmp_path / f"model.{suffix}")
    findings = [finding for finding in report.models[0].findings if finding.code == "WA115"]
    assert [finding.severity.label for finding in findings] == ["note"]
    assert "The layer twice holds Python code" in findings[0].message
    assert report.exit_code == 0
