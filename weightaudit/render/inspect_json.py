"""An inspection as JSON, as ``inspect.schema.json`` describes it: all tensors, or some in depth."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from weightaudit.inspection.layers import totals, tree
from weightaudit.render.inspect_words import FIGURES
from weightaudit.render.json import finding_json, tool_version
from weightaudit.render.plain import json_text, plain, safe_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.inspection.layers import Node, Sum
    from weightaudit.inspection.looking import Inspection, Sight
    from weightaudit.inspection.studying import Study
    from weightaudit.portrait import Portrait
    from weightaudit.tensor import Declared, TensorInfo

SCHEMA_VERSION = 1
"""Raised when a field is removed or changes its meaning; new fields do not raise it."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `inspection_json` returns."""
    text = files("weightaudit.render").joinpath("inspect.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def inspection_json(
    seen: Inspection,
    studies: Sequence[Study] = (),
    names: Mapping[str, str] | None = None,
    *,
    layers: bool = False,
) -> str:
    """Return an inspection as a JSON document that ends with a line end.

    Args:
        seen: The tensors.
        studies: The same in depth, or nothing.
        names: Names of the rules by code.
        layers: Whether layers are told beside the tensors.
    """
    sums = totals(seen.sights)
    deeper = [_study(one, names or {}) for one in studies] or [{}] * len(seen.sights)
    document = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "weightaudit", "version": tool_version()},
        "path": safe_text(seen.path),
        "container": safe_text(seen.container),
        "notes": [safe_text(one) for one in seen.notes],
        "damage": [safe_text(one) for one in seen.damage],
        "total": _sum(sums.all) | {"weights": sums.weights.numbers},
        "by_role": {safe_text(role): _sum(one) for role, one in sums.by_role},
        "by_dtype": {safe_text(dtype): _sum(one) for dtype, one in sums.by_dtype},
        "tensors": [_tensor(sight) | more for sight, more in zip(seen.sights, deeper, strict=True)],
    }
    if layers:
        document["layers"] = [_layer(path, node) for path, node in tree(seen.sights).walk()]
    return json_text(document)


def _layer(path: Sequence[str], node: Node) -> dict[str, Any]:
    rms = node.sum.rms
    return {
        "path": safe_text("/".join(path)),
        "layer_class": safe_text(node.layer_class),
        "rms": None if rms is None else plain(rms),
        **_sum(node.sum),
    }


def _sum(one: Sum) -> dict[str, Any]:
    return {
        "tensors": one.tensors,
        "numbers": one.numbers,
        "bytes": one.nbytes,
        "nonfinite": one.nonfinite,
        "not_read": one.failures,
    }


def _tensor(sight: Sight) -> dict[str, Any]:
    info, shown = sight.info, sight.portrait
    return _identity(info) | {
        "statistics": None if shown is None else _figures(shown),
        "failure": safe_text(sight.failure) if sight.failure else None,
    }


def _identity(info: TensorInfo) -> dict[str, Any]:
    return {
        "name": safe_text(info.name),
        "key": safe_text(info.key),
        "shape": list(info.shape),
        "dtype": safe_text(info.dtype),
        "bytes": info.nbytes,
        "role": info.role.value,
        "evidence": info.evidence.value,
        "layer": safe_text(info.layer),
        "layer_class": safe_text(info.layer_class),
        "trainable": info.trainable,
    }


def _figures(shown: Portrait) -> dict[str, Any]:
    figures: dict[str, Any] = {name: plain(getattr(shown, name)) for name in FIGURES}
    return figures | {
        "size": shown.size,
        "zeros": shown.zeros,
        "nan": shown.nan,
        "positive_inf": shown.positive_inf,
        "negative_inf": shown.negative_inf,
    }


def _study(study: Study, names: Mapping[str, str]) -> dict[str, Any]:
    info, shown, peers = study.sight.info, study.sight.portrait, study.peers
    counts = None if shown is None else shown.histogram
    channels = None if shown is None or shown.channels is None else shown.channels
    return {
        "fan_in": info.fan_in,
        "fan_out": info.fan_out,
        "output_axes": list(info.output_axes),
        **{name: _declared(getattr(info, name)) for name in ("initializer", "regularizer", "constraint")},
        "histogram": None
        if counts is None
        else {
            "edges": [plain(edge) for edge in counts.edges],
            "negative": list(counts.negative),
            "positive": list(counts.positive),
        },
        "channels": None if channels is None else [plain(one) for one in channels.ravel().tolist()],
        "peers": None
        if peers is None
        else {"others": len(peers.scales), "larger": peers.larger, "median_rms": plain(peers.median)},
        "rules": [safe_text(rule.code) for rule in study.judges],
        "findings": [finding_json(one, names) for one in study.findings],
        "not_judged": [safe_text(one) for one in study.remarks],
    }


def _declared(one: Declared | None) -> dict[str, Any] | None:
    if one is None:
        return None
    config = {safe_text(str(name)): _argument(value) for name, value in one.config.items()}
    return {"name": safe_text(one.name), "config": config, "builtin": one.builtin}


def _argument(value: Any) -> Any:
    """Return an argument of a configuration; one that is no plain value as JSON writes it."""
    is_plain = value is None or isinstance(value, float | int | str)
    return plain(value) if is_plain else safe_text(json.dumps(value, default=str))
