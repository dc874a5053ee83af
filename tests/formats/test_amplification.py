"""Small files that ask for large memory or endless work are refused before they get it."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.formats.tensorflow_files import (
    block,
    bundle_catalog,
    chunk,
    entry,
    header,
    number,
    table,
    varint,
    write_bundle,
)
from weightaudit.errors import ReadError
from weightaudit.formats import open_catalog
from weightaudit.formats.documents import parse_json
from weightaudit.formats.object_graph import parse_object_graph
from weightaudit.formats.protobuf import MOST_FIELDS
from weightaudit.formats.tensor_slice import parse_slice
from weightaudit.formats.zip_archive import list_members, read_member
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.source import LocalFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _refusal(path: Path, limits: Limits = DEFAULT_LIMITS) -> str:
    with pytest.raises(ReadError) as caught:
        open_catalog(path, limits)
    return str(caught.value)


def _model(path: Path, change: Callable[[h5py.File], object], **options: str) -> Path:
    with h5py.File(path, "w", **options) as file:
        file["layers/dense/vars/0"] = np.ones((4, 4), np.float32)
        change(file)
    return path


def test_a_zip_directory_as_large_as_the_file(tmp_path: Path) -> None:
    """A directory that claims gigabytes is refused before it is read."""
    size = 1 << 31
    with (tmp_path / "x.keras").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size - 100, 100, 0))
    tracemalloc.start()
    assert "zip directory of" in _refusal(tmp_path / "x.keras")
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_a_document_that_inflates_a_thousandfold(tmp_path: Path) -> None:
    """A configuration that was packed better than text can be is not inflated."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"{" + b" " * (8 << 20) + b"}")
    (tmp_path / "x").write_bytes(raw.getvalue())
    file = LocalFile(tmp_path / "x")
    with pytest.raises(ReadError, match="not plausible"):
        read_member(file, list_members(file)["config.json"], DEFAULT_LIMITS)
    file.close()


def test_a_document_of_too_many_values() -> None:
    """Millions of empty lists take many times the memory of their text."""
    text = json.dumps([[]] * 500)
    assert len(parse_json(text, "x", Limits(max_tensors=1000))) == 500
    for form in (text, text.encode()):
        with pytest.raises(ReadError, match="more than 400 values"):
            parse_json(form, "x", Limits(max_tensors=40))


def test_keys_that_share_a_long_prefix(tmp_path: Path) -> None:
    """Names that a few bytes each repeat are counted at their full length."""
    prefix = b"k" * 10_000
    value = entry(b"x")[1]
    content = b"\0\0" + varint(len(header()[1])) + header()[1]
    content += b"\0" + varint(len(prefix)) + varint(len(value)) + prefix + value
    for place in range(500):
        content += varint(len(prefix)) + b"\3" + varint(len(value)) + f"{place:03d}".encode() + value
    index = table([(b"l", content + bytes(4) + (1).to_bytes(4, "little"))])
    (tmp_path / "ckpt.index").write_bytes(index)
    limits = Limits(max_metadata=1 << 20)
    assert "names and values" in _refusal(tmp_path / "ckpt.index", limits)


def test_a_restart_array_of_millions(tmp_path: Path) -> None:
    """A long restart array costs no more memory than its block."""
    count = 1_000_000
    places = np.arange(count, dtype="<u4").tobytes()
    content = block([header()])[:-8] + places + count.to_bytes(4, "little")
    (tmp_path / "ckpt.index").write_bytes(table([(b"l", content)]))
    tracemalloc.start()
    assert "restart points" in _refusal(tmp_path / "ckpt.index")
    assert tracemalloc.get_traced_memory()[1] < 24 << 20
    tracemalloc.stop()


def test_a_first_restart_that_passes_over_an_entry(tmp_path: Path) -> None:
    """A reader that starts at the first restart point must meet every entry."""
    content = block([header(), entry("a")], 1)
    first = int.from_bytes(content[-8:-4], "little")
    content = content[:-12] + first.to_bytes(4, "little") + (1).to_bytes(4, "little")
    (tmp_path / "ckpt.index").write_bytes(table([(b"b", content)]))
    assert "first restart point" in _refusal(tmp_path / "ckpt.index")


def test_tensors_that_all_claim_the_same_bytes(tmp_path: Path) -> None:
    """A checkpoint cannot make one shard be read over and over."""
    pairs = [header(), *(entry(f"x{place:03d}", (256,), nbytes=1024) for place in range(500))]
    write_bundle(tmp_path, pairs, bytes(1024))
    assert len(bundle_catalog(tmp_path).entries) == 500
    assert "not plausible" in _refusal(tmp_path / "ckpt.index", Limits(min_budget=100_000))


def test_a_partitioned_tensor_of_many_dimensions(tmp_path: Path) -> None:
    """More dimensions than numpy has are refused for tensors that have to be put together."""
    rank = 100
    whole = chunk(7, chunk(1, b"") * rank)
    key = parse_slice(chunk(1, b"") * rank, "x").key("p")
    pairs = [entry(key, (1,) * rank, nbytes=4), entry("p", (1,) * rank, nbytes=0, more=whole)]
    write_bundle(tmp_path, [header(), *pairs])
    assert "100 dimensions" in _refusal(tmp_path / "ckpt.index")


def test_object_graphs_of_millions(tmp_path: Path) -> None:
    """Empty objects take two bytes in a file and hundreds in memory, so their number is bounded."""
    graph = chunk(1, b"") * 100
    assert parse_object_graph(graph, "x", 100).size == 100
    with pytest.raises(ReadError, match="more than 99"):
        parse_object_graph(graph, "x", 99)
    with pytest.raises(ReadError, match="more than 99"):
        parse_object_graph(chunk(1, chunk(2, b"") * 100), "x", 99)
    (tmp_path / "saved_model.pb").write_bytes(number(1, 1) + chunk(2, chunk(7, graph)))
    assert "more than 90 objects" in _refusal(tmp_path, Limits(max_tensors=9))


def test_a_link_whose_name_is_a_path(tmp_path: Path) -> None:
    """A name with slashes in it would be followed through links that no walk has seen."""

    def link(file: h5py.File) -> None:
        file["sub/ext"] = h5py.ExternalLink("elsewhere.h5", "/")
        file["aasubXext"] = file["layers/dense/vars/0"]

    path = _model(tmp_path / "x.h5", link)
    path.write_bytes(path.read_bytes().replace(b"aasubXext", b"./sub/ext"))
    assert "whose name is a path" in _refusal(path)


def test_a_chunk_beside_the_tensor(tmp_path: Path) -> None:
    """A chunk at a place that the tensor does not have would leave its numbers unseen."""
    values = np.ones((8, 8), np.float32)
    path = _model(
        tmp_path / "x.h5",
        lambda file: file.create_dataset("layers/e/vars/0", data=values, chunks=(4, 4)),
        libver="earliest",
    )
    key = struct.pack("<IIQQQ", 64, 0, 0, 4, 0)
    content = path.read_bytes()
    assert content.count(key) == 1
    path.write_bytes(content.replace(key, struct.pack("<IIQQQ", 64, 0, 0, 400, 0)))
    assert "lies outside" in _refusal(path)


def test_hdf5_limits(tmp_path: Path) -> None:
    """Long nested names, many chunks and what they unpack to are bounded; a huge string type is not read."""

    def deep(file: h5py.File) -> None:
        group = file
        for _ in range(10):
            group = group.create_group("g" * 1000)
        for place in range(100):
            group[str(place)] = file["layers/dense/vars/0"]

    path = _model(tmp_path / "deep.h5", deep)
    assert "bytes of names" in _refusal(path, Limits(max_metadata=500_000))
    path = _model(
        tmp_path / "chunks.h5",
        lambda file: file.create_dataset("layers/e/vars/0", data=np.ones(200, np.float32), chunks=(1,)),
    )
    assert "more than 100 chunks" in _refusal(path, Limits(max_tensors=100))

    def loose(file: h5py.File) -> None:
        for place in range(20):
            data = np.ones(1, np.float32)
            file.create_dataset(f"layers/e{place}/vars/0", data=data, chunks=(10_000,), maxshape=(None,))

    path = _model(tmp_path / "loose.h5", loose)
    assert "more than the" in _refusal(path, Limits(min_budget=100_000, max_ratio=0))

    def text(file: h5py.File) -> None:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(1 << 31)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        h5py.h5d.create(file.id, b"text", kind, h5py.h5s.create_simple((2,)), plist)

    files, catalog, *_ = open_catalog(_model(tmp_path / "text.h5", text))
    files.close()
    assert {entry.dtype for entry in catalog.entries} == {"string", "float32"}


_FEW = Limits(max_tensors=9, max_metadata=1000)
_NODE = chunk(1, chunk(1, b"a") + chunk(2, b"NoOp"))
_CHILD = number(1, 0) + chunk(2, b"ab")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x18\x00" * 451, "more than 450 fields"),
        (chunk(2, b"\x18\x00" * 451), "more than 450 fields"),
        (chunk(2, chunk(2, _NODE * 20)) * 2, "more than 36 nodes"),
        (chunk(2, chunk(2, chunk(1, chunk(1, b"a") + chunk(3, b"ab") * 91))), "more than 90 objects, inputs"),
        (chunk(2, chunk(2, chunk(1, chunk(1, b"a") + chunk(2, b"VariableV2")) * 10)), "more than 90 objects"),
        (chunk(2, chunk(7, chunk(1, b"") * 50)) * 2, "more than 90 objects"),
        (chunk(2, chunk(7, chunk(1, chunk(1, _CHILD)) * 60)), "more than 90 objects"),
        (chunk(2, chunk(7, chunk(1, chunk(7, b"")) * 10)), "more than 90 objects"),
        (chunk(2, chunk(1, chunk(4, b"ab") * 91)), "more than 90 objects"),
        (chunk(2, chunk(1, chunk(4, b"a" * 600))) * 2, "names of more than 1000 characters"),
    ],
)
def test_graphs_that_unfold(tmp_path: Path, content: bytes, said: str) -> None:
    """What takes two bytes each in a SavedModel is counted over all its graphs, before it takes memory."""
    (tmp_path / "saved_model.pb").write_bytes(content)
    assert said in _refusal(tmp_path, _FEW)


def test_more_parts_than_any_model_has(tmp_path: Path) -> None:
    """Graphs, collections of one, attributes of a node and fields of a message are bounded, too."""
    saved = tmp_path / "saved_model.pb"
    saved.write_bytes(chunk(2, b"") * 1001)
    assert "more than 1000 graphs" in _refusal(tmp_path)
    saved.write_bytes(chunk(2, chunk(4, b"") * 10_001))
    assert "more than 10000 collections" in _refusal(tmp_path)
    node = chunk(1, chunk(1, b"a") + chunk(2, b"Const") + chunk(5, b"") * 4097)
    saved.write_bytes(chunk(2, chunk(2, node)))
    assert "more than 4096 attributes" in _refusal(tmp_path)
    saved.write_bytes(chunk(2, chunk(1, chunk(4, b"") * (MOST_FIELDS + 1))))
    assert f"more than {MOST_FIELDS} fields" in _refusal(tmp_path)


def test_metadata_of_too_many_layers(tmp_path: Path) -> None:
    """What Keras 2 says of its layers takes hundreds of bytes for each in memory."""
    (tmp_path / "saved_model.pb").write_bytes(chunk(2, b""))
    (tmp_path / "keras_metadata.pb").write_bytes(chunk(1, b"") * 10)
    assert "more than 9 objects" in _refusal(tmp_path, _FEW)


def test_a_constant_that_many_restore(tmp_path: Path) -> None:
    """The names that a graph restores are read once, however many of its nodes ask for them."""
    names = chunk(8, b"".join(chunk(8, b"%02d" % place) for place in range(20)))
    constant = chunk(1, b"names") + chunk(2, b"Const") + chunk(5, chunk(1, b"value") + chunk(2, names))
    restore = chunk(2, b"RestoreV2") + chunk(3, b"p") + chunk(3, b"names")
    restores = [chunk(1, chunk(1, b"r%d" % place) + restore) for place in range(6)]
    last = chunk(1, chunk(1, b"all") + b"".join(chunk(3, b"^r%d" % place) for place in range(6)))
    graph = chunk(2, chunk(1, constant) + b"".join(restores) + last) + chunk(3, chunk(3, b"all"))
    (tmp_path / "saved_model.pb").write_bytes(chunk(2, graph))
    files, catalog, *_ = open_catalog(tmp_path, _FEW)
    files.close()
    assert "none of the model's 20 variables" in catalog.defects[0].message
