"""SavedModels: protocol buffers that nest, lie about lengths, or promise what is not there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.formats.tensorflow_files import chunk, header, number, shape, varint, write_bundle
from tests.hostile.bundles import DATA, tensor
from tests.hostile.canary import weights
from tests.hostile.case import Case, Make, found, read, refused

if TYPE_CHECKING:
    from pathlib import Path

TAGS = chunk(1, chunk(4, b"serve"))


def saved(graph: bytes, *, raw: bytes | None = None, variables: bool = True) -> Make:
    """Return what writes a SavedModel around a MetaGraphDef, or with these bytes for saved_model.pb."""

    def make(folder: Path) -> Path:
        message = number(1, 1) + chunk(2, TAGS + graph) if raw is None else raw
        (folder / "saved_model.pb").write_bytes(message)
        if variables:
            (folder / "variables").mkdir()
            write_bundle(folder / "variables", [header(), tensor()], DATA, "variables")
        return folder

    return make


def constant(name: bytes, value: bytes, dtype: int = 1) -> bytes:
    """Return a graph of one constant: a TensorProto under a name."""
    kind = chunk(5, chunk(1, b"dtype") + chunk(2, number(6, dtype)))
    return chunk(
        2,
        chunk(
            1,
            chunk(1, name)
            + chunk(2, b"Const")
            + kind
            + chunk(5, chunk(1, b"value") + chunk(2, chunk(8, value))),
        ),
    )


def tensor_proto(content: bytes, *sizes: int, dtype: int = 1) -> bytes:
    """Return a TensorProto with raw bytes."""
    return number(1, dtype) + chunk(2, shape(*sizes)) + chunk(4, content)


def objects(*nodes: bytes) -> bytes:
    """Return a SavedObjectGraph as a field of a MetaGraphDef."""
    return chunk(7, b"".join(chunk(1, node) for node in nodes))


def _deep(field: int, levels: int = 20_000) -> bytes:
    message = b""
    for _ in range(levels):
        message = chunk(field, message)
    return message


def _longer() -> bytes:
    return varint(2 << 3 | 2) + varint((1 << 63) - 1) + b"short"


def _child(index: int) -> bytes:
    """Return a node with a child that has this number."""
    return chunk(1, number(1, index) + chunk(2, b"child"))


def _linked(name: str, target: str) -> Make:
    """Return what puts a symbolic link in place of a part of a sound SavedModel."""

    def make(folder: Path) -> Path:
        saved(b"")(folder)
        (folder / name).unlink()
        (folder / name).symlink_to(target)
        return folder

    return make


def _pipe(folder: Path) -> Path:
    saved(b"", raw=b"")(folder)
    (folder / "saved_model.pb").unlink()
    os.mkfifo(folder / "saved_model.pb")
    return folder / "saved_model.pb"


def _other_form(name: str) -> Make:
    """Return what writes a SavedModel in a form that is not read."""

    def make(folder: Path) -> Path:
        (folder / name).write_text("x")
        return folder

    return make


def _asset_outside() -> bytes:
    """Name an asset by a path that leads out of the model."""
    return chunk(6, chunk(2, b"../../../canary/secret.txt"))


def _wide() -> bytes:
    return chunk(1, chunk(1, b"n") + chunk(2, b"NoOp") + chunk(3, b"ab") * 1_000_000)


def _variables(count: int) -> bytes:
    """Return a graph of TensorFlow 1 with so many variables."""
    nodes = (chunk(1, chunk(1, b"%07d" % place) + chunk(2, b"VariableV2")) for place in range(count))
    return chunk(2, b"".join(nodes))


KERNEL = weights().tobytes()

PYTHON = chunk(1, b"n") + chunk(2, b"NoOp") + chunk(2, b"PyFunc")

CASES: list[Case] = [
    read("savedmodel: a sound one, as a control", saved(b"")),
    read(
        "savedmodel: a constant beside variables, as a control",
        saved(constant(b"c", tensor_proto(KERNEL, 16, 16))),
    ),
    read("savedmodel: an asset outside, which is not opened, as a control", saved(_asset_outside())),
    refused(
        "savedmodel: empty, without variables",
        saved(b"", raw=b"", variables=False),
        "nothing to audit|no tensor|damaged",
    ),
    refused("savedmodel: garbage", saved(b"", raw=b"\xff" * 64), "damaged"),
    refused("savedmodel: a field longer than the file", saved(b"", raw=_longer()), "damaged"),
    refused("savedmodel: a varint without end", saved(b"", raw=b"\x08" + b"\xff" * 64), "damaged"),
    refused(
        "savedmodel: objects that refer to none", saved(objects(_child(1 << 30))), "damaged|does not have"
    ),
    refused("savedmodel: objects that refer to -1", saved(objects(_child(-1))), "damaged|does not have"),
    read("savedmodel: objects in a circle, as a control", saved(objects(_child(1), _child(0)))),
    read(
        "savedmodel: 20,000 nested messages, which are passed over, as a control", saved(chunk(2, _deep(2)))
    ),
    refused("savedmodel: 1,200,000 objects", saved(chunk(7, chunk(1, b"") * 1_200_000)), "--max-tensors"),
    refused(
        "savedmodel: 4,000,000 graphs of nothing",
        saved(b"", raw=chunk(2, b"") * 4_000_000),
        "more than 1000 graphs",
    ),
    refused(
        "savedmodel: 8,000,000 fields that nobody knows",
        saved(b"", raw=b"\x18\x00" * 8_000_000),
        "--max-tensors",
    ),
    refused(
        "savedmodel: 10,000,000 tags",
        saved(b"", raw=chunk(2, chunk(1, chunk(4, b"ab") * 10_000_000))),
        "1048576 fields",
    ),
    refused("savedmodel: 4,000,000 collections", saved(chunk(4, b"") * 4_000_000), "10000 collections"),
    refused(
        "savedmodel: five graphs of 900,000 objects",
        saved(b"", raw=chunk(2, chunk(7, chunk(1, b"") * 900_000)) * 5),
        "--max-tensors",
    ),
    refused(
        "savedmodel: 990,000 objects with a child each",
        saved(chunk(7, chunk(1, _child(0)) * 990_000)),
        "--max-tensors",
    ),
    refused(
        "savedmodel: 990,000 objects of a kind each",
        saved(chunk(7, chunk(1, chunk(4, chunk(1, b"_"))) * 990_000)),
        "--max-tensors",
    ),
    refused(
        "savedmodel: an object with 20,000,000 children",
        saved(objects(chunk(1, b"") * 20_000_000)),
        "1048576 fields",
    ),
    refused(
        "savedmodel: 4,000,000 nodes that read files",
        saved(chunk(2, chunk(1, chunk(1, b"n") + chunk(2, b"ReadFile")) * 4_000_000)),
        "400000 nodes",
    ),
    refused(
        "savedmodel: nodes of 1,000,000 inputs each",
        saved(chunk(2, _wide() * 16)),
        "--max-tensors",
    ),
    refused(
        "savedmodel: a constant of 8,000,000 attributes",
        saved(chunk(2, chunk(1, chunk(1, b"n") + chunk(2, b"Const") + chunk(5, b"") * 8_000_000))),
        "1048576 fields|4096 attributes",
    ),
    refused("savedmodel: 390,000 variables in the graph", saved(_variables(390_000)), "--max-tensors"),
    refused("savedmodel: 500,000 nodes", saved(chunk(2, chunk(1, b"") * 500_000)), "--max-tensors"),
    refused(
        "savedmodel: a constant with fewer bytes than it has room for",
        saved(constant(b"c", tensor_proto(KERNEL[:-4], 16, 16))),
        "damaged|bytes",
    ),
    refused(
        "savedmodel: a constant of 2^62 numbers",
        saved(constant(b"c", tensor_proto(b"", 1 << 31, 1 << 31) + chunk(5, b"\0\0\x80\x3f"))),
        "plausible",
    ),
    read(
        "savedmodel: a constant of type 999, which no reader takes for numbers, as a control",
        saved(constant(b"c", tensor_proto(KERNEL, 16, 16, dtype=999), 999)),
    ),
    refused("savedmodel: as text", _other_form("saved_model.pbtxt"), "as text"),
    refused("savedmodel: in pieces", _other_form("saved_model.cpb"), "in pieces"),
    refused(
        "savedmodel: saved_model.pb is a link to outside",
        _linked("saved_model.pb", "../canary/secret.txt"),
        "outside|out of",
    ),
    refused("savedmodel: saved_model.pb is a pipe", _pipe, "not a regular file|neither"),
    refused(
        "savedmodel: its shard is a link to outside",
        _linked("variables/variables.data-00000-of-00001", "../../canary/ckpt.data-00000-of-00001"),
        "leads outside",
    ),
    found(
        "savedmodel: an operation of a function runs Python, behind another one's name",
        saved(chunk(2, chunk(2, chunk(1, chunk(3, PYTHON))))),
        "1 PyFunc",
    ),
    refused("savedmodel: an operation with two names", saved(chunk(2, chunk(1, PYTHON))), "occurs 2 times"),
    found(
        "savedmodel: a constant of NaN",
        saved(constant(b"c", tensor_proto(b"\0\0\xc0\x7f" * 256, 16, 16))),
        "WA101",
    ),
]
