"""Keras 3 on TensorFlow, or an error that says how to get it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from weightaudit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NEED = (
    "weightaudit.keras needs Keras 3 on TensorFlow: pip install 'weightaudit[tensorflow]', "
    "and have no other KERAS_BACKEND than tensorflow"
)


def _load() -> tuple[Any, Any]:
    try:
        loaded = import_module("keras")
        library = import_module("tensorflow")
    except ImportError as error:
        raise ImportError(f"{_NEED} ({error}).") from error
    found = f"Keras {loaded.__version__} on {loaded.backend.backend()}"
    if not found.startswith("Keras 3.") or not found.endswith(" tensorflow"):
        raise ImportError(f"{_NEED} (found {found}).")
    return loaded, library


keras, tf = _load()

if TYPE_CHECKING:

    class Callback:
        """What is used of `keras.callbacks.Callback`, which comes without types."""

        model: Any

        def set_params(self, params: Mapping[str, Any]) -> None: ...
        def set_model(self, model: Any) -> None: ...

else:
    Callback = keras.callbacks.Callback


def require_keras_model(model: object) -> None:
    """Raise UsageError for a model of another Keras, such as tf_keras."""
    if not isinstance(model, keras.Model):
        raise UsageError(
            f"AuditCheckpoint works with models of Keras {keras.__version__}, and this is a "
            f"{type(model).__module__}.{type(model).__qualname__}; build it with `import keras`."
        )


def require_one_process(strategy: Any) -> None:
    """Raise UsageError for a training that several processes share: each would write the same file."""
    resolver = strategy.cluster_resolver
    cluster = resolver.cluster_spec() if resolver else None
    if cluster and sum(cluster.num_tasks(job) for job in cluster.jobs) > 1:
        raise UsageError(
            "AuditCheckpoint writes from one process, and several share this training; "
            "save with keras.callbacks.ModelCheckpoint there, and run `weightaudit check` on what it wrote."
        )
