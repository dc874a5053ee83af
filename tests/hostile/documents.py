"""Configurations and indexes in JSON, and names, that are absurd, ambiguous or written to be printed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from tests.formats.tensorflow_files import entry, masked_crc
from tests.hostile.bundles import bundle
from tests.hostile.canary import weights
from tests.hostile.case import Case, Make, Outcome, found, read, refused
from tests.hostile.hdf5_links import model
from tests.hostile.zips import CONFIG, DENSE, archive, members, pack

if TYPE_CHECKING:
    from pathlib import Path

STRANGE = (
    "\x1b[31mred\x1b[0m",
    "two\nlines",
    "\n::error file=x::pwned",
    "::set-env name=PATH::/evil",
    "<script>alert(1)</script>",
    "[bold]markup[/bold]",
    "=cmd|' /C calc'!A1",
    "right\u202eleft",
    "\x9b31m",
    "a" * 10_000,
    "%0A%25",
    "\u200b\ufeff",
)
"""Names that command terminals and CI services, or hide in them."""


def config(document: Any) -> Make:
    """Return what writes an archive with this configuration, text or what becomes JSON."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return archive(lambda: pack(members(config=text)))


def layer(**changed: Any) -> Any:
    """Return the configuration of a model whose only layer has other settings."""
    dense = {**DENSE, "config": {**DENSE["config"], **changed}}  # type: ignore[dict-item]
    return {**CONFIG, "config": {"name": "m", "layers": [dense]}}


def legacy(text: str | bytes) -> Make:
    """Return what writes an .h5 file with this model_config."""

    def make(folder: Path) -> Path:
        path = folder / "m.h5"
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = text
            file.attrs["layer_names"] = [b"dense"]
            group = file.create_group("dense")
            group.attrs["weight_names"] = [b"dense/kernel:0"]
            group["dense/kernel:0"] = weights()
        return path

    return make


def shards(document: Any) -> Make:
    """Return what writes an index of weight shards, beside one shard."""

    def make(folder: Path) -> Path:
        with h5py.File(folder / "m_00000.weights.h5", "w") as file:
            file["layers/dense/vars/0"] = weights()
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        (folder / "m.weights.json").write_bytes(text)
        return folder / "m.weights.json"

    return make


def two_shards(folder: Path) -> Path:
    """Write one tensor into two shards: a sound one, and one of NaN, which the index takes for its place."""
    for shard, value in (("a", 1.0), ("b", np.nan)):
        with h5py.File(folder / f"{shard}.weights.h5", "w") as file:
            file["layers/dense/vars/0"] = weights() * np.float32(value)
            file[f"layers/{shard}/vars/0"] = weights()[::-1]
    placed = {"/layers/dense/vars": "b", "/layers/a/vars": "a", "/layers/b/vars": "b"}
    index = {"metadata": {}, "weight_map": {name: f"{shard}.weights.h5" for name, shard in placed.items()}}
    (folder / "m.weights.json").write_text(json.dumps(index))
    return folder / "m.weights.json"


def model_for_shard(folder: Path) -> Path:
    """Name a whole model of Keras 2 as a shard."""
    legacy("{}")(folder).rename(folder / "m_00000.weights.h5")
    index = weight_map("/layers/dense/vars", "m_00000.weights.h5")
    (folder / "m.weights.json").write_text(json.dumps(index))
    return folder / "m.weights.json"


def weight_map(name: str, shard: Any) -> Any:
    """Return an index that says where one weight is."""
    return {"metadata": {"total_size": 1024}, "weight_map": {name: shard}}


def _strange_groups(file: h5py.File) -> None:
    for name in STRANGE:
        values = weights().copy()
        values[0, 0] = np.nan
        file[f"layers/{name.replace('/', '|')}/vars/0"] = values


def _strange_keys() -> Make:
    values = np.full(4, np.nan, np.float32).tobytes()
    names = sorted({name.encode() for name in STRANGE if not name.startswith("\0")})
    return bundle(*(entry(name, (4,), nbytes=16, crc=masked_crc(values)) for name in names), data=values)


def _lambda() -> Any:
    code = "4wEAAAAAAAAAAAAAAAEAAABTAAAA"
    inner = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": [code, None, None]}}
    return {**CONFIG, "config": {"name": "m", "layers": [inner, DENSE]}}


def _elsewhere(module: str, name: str) -> Any:
    inner = {"module": module, "class_name": name, "config": {"filepath": "../canary/secret.txt"}}
    return {**CONFIG, "config": {"name": "m", "layers": [inner, DENSE]}}


DEEP = b'{"a": ' * 100_000 + b"1" + b"}" * 100_000

CASES: list[Case] = [
    refused("json: 100,000 nested objects", config(DEEP), "nested too deep"),
    refused("json: 100,000 nested lists in .h5", legacy("[" * 20_000 + "]" * 20_000), "nested too deep"),
    refused("json: cut off", config(b'{"class_name": "Seq'), "not valid JSON"),
    refused("json: not UTF-8", config(b'{"a": "\xff\xfe"}'), "not valid JSON"),
    refused(
        "json: a key twice",
        config(b'{"class_name": "Lambda", "class_name": "Sequential"}'),
        "a key is there twice",
    ),
    refused("json: a number of 5,000 digits", config(b'{"a": ' + b"9" * 5000 + b"}"), "not valid JSON"),
    refused("json: 2,000,000 values", config(b"[" + b"0," * 2_000_000 + b"0]"), "--max-tensors"),
    refused("json: longer than the user wants", config(CONFIG), "--max-metadata", "--max-metadata", "99"),
    Case("json: a list for a configuration", config([1, 2]), Outcome.READ, "2 of 2 tensors"),
    Case(
        "json: NaN and infinities for settings",
        config(layer(units=float("nan"), rate=float("inf"))),
        Outcome.READ,
        "2 of 2",
    ),
    Case(
        "json: wrong types everywhere",
        config(layer(name=["a"], units={"x": 1}, kernel_constraint=7)),
        Outcome.READ,
        "2 of 2",
    ),
    Case("json: 2^62 units, which nobody builds", config(layer(units=1 << 62)), Outcome.READ, "2 of 2"),
    Case(
        "json: a constraint of absurd numbers",
        config(
            layer(kernel_constraint={"class_name": "MaxNorm", "config": {"max_value": 1e400, "axis": [99]}})
        ),
        Outcome.READ,
        "2 of 2",
    ),
    found("json: a layer of code, which nobody runs", config(_lambda()), "WA115"),
    Case(
        "json: classes that open files, which nobody imports",
        config(_elsewhere("keras.layers", "TFSMLayer")),
        Outcome.READ,
        "2 of 2",
    ),
    Case(
        "json: os.system for a layer, which nobody imports",
        config(_elsewhere("os", "system")),
        Outcome.READ,
        "2 of 2",
    ),
    Case(
        "json: a vocabulary in another file, which nobody opens",
        config(layer(vocabulary="../canary/secret.txt")),
        Outcome.READ,
        "2 of 2",
    ),
    Case("json: a layer name with ../", config(layer(name="../../canary/secret")), Outcome.READ, "2 of 2"),
    refused(
        "shards: a shard outside", shards(weight_map("/a", "../canary/secret.h5")), "not a file beside it"
    ),
    refused("shards: an absolute shard", shards(weight_map("/a", "/etc/passwd")), "not a file beside it"),
    found("shards: a shard with a null byte", shards(weight_map("/a", "x\0y")), "WA111"),
    found("shards: a shard that is not there", shards(weight_map("/a", "m_00001.weights.h5")), "WA111"),
    refused("shards: one tensor in two shards", two_shards, "of which one is loaded"),
    refused("shards: a whole model for a shard", model_for_shard, "is a whole model"),
    refused(
        "shards: a list in a list", shards(weight_map("/layers/dense/vars", [["a"]])), "not a file beside"
    ),
    refused(
        "shards: a lone surrogate for a shard", shards(weight_map("/layers/dense/vars", "\ud800")), "missing"
    ),
    read(
        "shards: one shard named twice, as a control",
        shards(weight_map("/layers/dense/vars", ["m_00000.weights.h5"] * 2)),
    ),
    refused("shards: a number for a shard", shards(weight_map("/a", 7)), "not audited"),
    refused("shards: the index for a shard", shards(weight_map("/a", "m.weights.json")), "not audited"),
    refused(
        "shards: a list for a map",
        shards({"metadata": {}, "weight_map": ["m_00000.weights.h5"]}),
        "not audited",
    ),
    refused("shards: no map", shards(b'{"a": "\\"weight_map\\""} "weight_map"'), "not audited"),
    found(
        "shards: 20,000 shards that are not there",
        shards({"metadata": {}, "weight_map": {f"/w{n}": f"m_{n:05}.weights.h5" for n in range(1, 20_000)}}),
        "WA111",
    ),
    found("names: HDF5 groups that command a terminal or a CI service", model(_strange_groups), "WA101"),
    found("names: the same for GitHub", model(_strange_groups), "%250A", "--format", "github"),
    found("names: checkpoint keys that command a terminal or a CI service", _strange_keys(), "WA101"),
    read("names: a layer called by markup, as a control", config(layer(name="[red]x[/red]"))),
]
