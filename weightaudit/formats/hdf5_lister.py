"""Lists what HDF5 files hold, as JSON. Runs as a process of its own, which forks for every file.

libhdf5 crashes and hangs on malformed metadata, in every version. So this file is started as a
script, and each fork of it is confined (`confinement`), and works on a descriptor that is already
open; whatever happens to it, nobody else is harmed. Of weightaudit it imports only its neighbours, and
it reads no numbers: the auditing process reads tensors itself, at the places that are listed.

Its standard input is a Unix socket. Each message on it brings two descriptors, the file and a pipe
for the answer, and JSON with base and size (of the HDF5 data in the file), max_tensors,
max_metadata, max_depth, max_aliases, memory and cpu_seconds. Once the answer is written, the exit
status of the fork is sent back on the socket. The process ends when the socket is closed.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
import os
import socket
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

h5py: Any = import_module("h5py")  # it has no types
import_module("encodings.ascii")  # imported when first used otherwise, which a confined fork cannot


def _neighbour(name: str) -> Any:
    """Import a module beside this script without a path to it: what lies here shadows nothing."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from weightaudit.formats import confinement, hdf5_calls, hdf5_types
else:
    confinement, hdf5_calls, hdf5_types = map(_neighbour, ("confinement", "hdf5_calls", "hdf5_types"))

WANTED = {
    "model_config",
    "training_config",
    "keras_version",
    "backend",
    "name",
    "nb_layers",
    "nb_params",
}
"""Attributes that say what a tensor is. No other attribute is read: their values can hang libhdf5."""

WANTED_LISTS = ("layer_names", "weight_names")
"""Attributes that Keras splits into numbered pieces when they are long."""

LARGEST_ELEMENT = 16
"""Bytes of the largest number, complex128; what is larger is no number, and may be gigabytes."""

_Z = h5py.h5z
FILTERS = {_Z.FILTER_DEFLATE: "deflate", _Z.FILTER_SHUFFLE: "shuffle", _Z.FILTER_FLETCHER32: "fletcher32"}


class RefusedError(Exception):
    """The file holds something that no saved model holds; the text is one sentence without a subject."""


class Window(io.RawIOBase):
    """The part of an open file that holds the HDF5 data, such as a stored zip member."""

    def __init__(self, fd: int, base: int, size: int) -> None:
        self._fd, self._base, self._size, self._place = fd, base, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._place)]
        count = os.preadv(self._fd, [view], self._base + self._place) if len(view) else 0
        self._place += count
        return count


class Lister:
    """Walks hard links only, one at a time, each object once, however many paths lead to it."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.datasets: list[dict[str, Any]] = []
        self.groups: dict[str, dict[str, Any]] = {}
        self.metadata = 0
        self.chunks = 0
        self.user_block = 0
        self.known: set[tuple[int, int]] = set()

    def walk(self, root: Any) -> None:
        seen = {_address(root)}
        waiting = [("", root, 0)]
        while waiting:
            path, group, depth = waiting.pop()
            self.read_attributes(path, group)
            prefix = f"{path}/" if path else ""
            for name in self.hard_links(path, group):
                # Longer than the file where groups with long names nest, so counted like attributes.
                self.count_metadata(path, len(path) + len(name))
                child = h5py.h5o.open(group, name)
                child_path = prefix + _text(name)
                if isinstance(child, h5py.h5d.DatasetID):
                    self.add_dataset(child_path, child)
                elif isinstance(child, h5py.h5g.GroupID):
                    address = _address(child)
                    # By the second name Keras would find tensors that are not listed under it.
                    if address in seen:
                        raise RefusedError(
                            f"leads to one group twice, at {child_path} too, as no saved model does"
                        )
                    seen.add(address)
                    if depth >= self.request["max_depth"]:
                        raise RefusedError(f"nests groups more than {depth} deep at {child_path}")
                    if len(seen) > 2 * self.request["max_tensors"]:
                        raise RefusedError(
                            f"holds more than {len(seen) - 1} groups, which is the limit (--max-tensors)"
                        )
                    waiting.append((child_path, child, depth + 1))

    def hard_links(self, path: str, group: Any) -> list[bytes]:
        names: list[bytes] = []

        # What is raised in here gets lost on its way through libhdf5; stopping early does not.
        def visit(name: bytes, info: Any) -> str | None:
            if info.type != h5py.h5l.TYPE_HARD:
                kind = "soft" if info.type == h5py.h5l.TYPE_SOFT else "external"
                return f"holds a {kind} link, {path}/{_text(name)}, which is not followed"
            # libhdf5 takes a name for a path, and would follow every kind of link on it.
            if b"/" in name or name == b".":
                return f"holds a link whose name is a path, {path}/{_text(name)}"
            names.append(name)
            return (
                f"holds more than {most} links in a group, which is the limit (--max-tensors)"
                if len(names) > most
                else None
            )

        most = 2 * self.request["max_tensors"]
        refusal, _ = group.links.iterate(visit, info=True)
        if refusal:
            raise RefusedError(refusal)
        return names

    def read_attributes(self, path: str, group: Any) -> None:
        if not h5py.h5a.get_num_attrs(group):
            return
        values: dict[str, Any] = {}
        for name in sorted(WANTED):
            if h5py.h5a.exists(group, name.encode()):
                values[name] = self.attribute(path, group, name)
        for name in WANTED_LISTS:
            pieces = self.list_attribute(path, group, name)
            if pieces is not None:
                values[name] = pieces
        if values:
            self.groups[path] = values

    def list_attribute(self, path: str, group: Any, name: str) -> list[str] | None:
        if h5py.h5a.exists(group, name.encode()):
            return self.texts(path, group, name)
        joined: list[str] = []
        piece = 0
        while h5py.h5a.exists(group, f"{name}{piece}".encode()):
            joined += self.texts(path, group, f"{name}{piece}")
            piece += 1
        return joined if piece else None

    def texts(self, path: str, group: Any, name: str) -> list[str]:
        value: Any = self.attribute(path, group, name)
        items: list[Any] = [value] if isinstance(value, str) or value is None else value
        if not all(isinstance(item, str) for item in items):
            raise RefusedError(f"is damaged: its attribute {name} is not a list of text")
        return items

    def attribute(self, path: str, owner: Any, name: str) -> Any:
        attribute = h5py.h5a.open(owner, name.encode())
        elements = attribute.get_space().get_simple_extent_npoints()
        if elements == 0:
            return []  # h5py writes a list without items as one of numbers
        nbytes = elements * attribute.get_type().get_size()
        if nbytes > self.request["size"]:
            raise RefusedError(f"is damaged: its attribute {name} at {path or '/'} is larger than the file")
        self.count_metadata(path, nbytes)
        if attribute.get_type().get_class() not in {h5py.h5t.STRING, h5py.h5t.INTEGER}:
            return None
        value = np.empty(attribute.shape, attribute.dtype)
        if value.size:
            attribute.read(value)
        return _plain(value)

    def count_metadata(self, path: str, nbytes: int) -> None:
        self.metadata += nbytes
        most = self.request["max_metadata"]
        if self.metadata > most:
            raise RefusedError(
                f"has more than {most} bytes of names and attributes (--max-metadata), at {path[:80] or '/'}"
            )

    def add_dataset(self, path: str, dataset: Any) -> None:
        self.known.add(_address(dataset))
        # As `hdf5_native.walk` refuses it.
        if len(self.datasets) > 2 * len(self.known) + self.request["max_aliases"]:
            raise RefusedError(f"names the same tensors {len(self.datasets)} times, as no saved model does")
        if len(self.datasets) >= self.request["max_tensors"]:
            raise RefusedError(
                f"holds more than {len(self.datasets)} tensors, which is the limit (--max-tensors)"
            )
        shape = dataset.get_space().get_simple_extent_dims()
        plist = dataset.get_create_plist()
        if plist.get_external_count():
            raise RefusedError(f"keeps the data of {path} in another file, which is not followed")
        if plist.get_layout() == h5py.h5d.VIRTUAL:
            raise RefusedError(f"assembles {path} from other datasets, which is not followed")
        dtype, big_endian = self.dtype(path, dataset)
        entry: dict[str, Any] = {"path": path, "shape": shape, "dtype": dtype, "big_endian": big_endian}
        entry["header"] = self.user_block + _address(dataset)[1]
        # A dataspace without extent (H5S_NULL) has no shape and no elements.
        if shape is None:
            entry |= {"shape": [0], "fill": ""}
        else:
            if plist.get_layout() == h5py.h5d.CHUNKED:
                self.count_chunks(shape, plist.get_chunk())
            entry.update(_storage(path, dataset, plist))
            self.count_metadata(path, len(entry.get("inline", "")))
        self.datasets.append(entry)

    def count_chunks(self, shape: tuple[int, ...], box: tuple[int, ...]) -> None:
        """Count chunks that a dataset has room for: each is looked for, also where it was never written."""
        self.chunks += math.prod(-(-length // step) for length, step in zip(shape, box, strict=True))
        most = self.request["max_tensors"]
        if self.chunks > most:
            raise RefusedError(f"has room for more than {most} chunks, which is the limit (--max-tensors)")

    def dtype(self, path: str, dataset: Any) -> tuple[str, bool]:
        kind = dataset.get_type()
        name, big_endian = hdf5_types.name_of(kind)
        if kind.get_class() == h5py.h5t.OPAQUE:
            declared = None
            if h5py.h5a.exists(dataset, b"dtype"):
                declared = self.attribute(path, dataset, "dtype")
            # Keras writes bfloat16 as two opaque bytes; its legacy .h5 files do not even name it.
            if isinstance(declared, str):
                return declared, False
            return "bfloat16" if kind.get_size() == 2 else name, False
        return name, big_endian


def _storage(path: str, dataset: Any, plist: Any) -> dict[str, Any]:
    layout = plist.get_layout()
    if layout == h5py.h5d.CHUNKED:
        return {
            "chunks": _chunks(path, dataset, plist.get_chunk()),
            "chunk": plist.get_chunk(),
            "filters": _filters(path, plist, dataset.get_type().get_size()),
            "fill": _fill(dataset, plist),
        }
    if layout == h5py.h5d.COMPACT:
        value = np.empty(dataset.get_space().get_simple_extent_dims(), dataset.dtype)
        if value.dtype.hasobject:
            return {"fill": ""}
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, value, dataset.get_type())
        return {"inline": base64.b64encode(value.tobytes()).decode()}
    # Where there is room, libhdf5 reads all of the values there, however few bytes are said to be stored.
    if dataset.get_space_status() == h5py.h5d.SPACE_STATUS_NOT_ALLOCATED:
        return {"fill": _fill(dataset, plist)}
    return {"offset": dataset.get_offset(), "nbytes": dataset.get_storage_size()}


def _fill(dataset: Any, plist: Any) -> str:
    if dataset.get_type().get_size() > LARGEST_ELEMENT or dataset.dtype.hasobject:
        return ""
    if plist.fill_value_defined() == h5py.h5d.FILL_VALUE_UNDEFINED:
        return ""
    value = np.zeros((), dataset.dtype)
    plist.get_fill_value(value)
    return base64.b64encode(value.tobytes()).decode()


def _filters(path: str, plist: Any, width: int) -> list[str]:
    names: list[str] = []
    for number in range(plist.get_nfilters()):
        code, _, values, _ = plist.get_filter(number)
        if code not in FILTERS or FILTERS[code] in names:
            raise RefusedError(
                f"packs {path} with HDF5 filter {code}, which is not read; save it again with gzip or without"
            )
        # libhdf5 would take these pieces, and the reader of tensors takes elements.
        if FILTERS[code] == "shuffle" and values != (width,):
            pieces = ", ".join(map(str, values))
            raise RefusedError(f"shuffles {path} in pieces of {pieces} bytes, where elements have {width}")
        names.append(FILTERS[code])
    if names and hdf5_calls.has_unfiltered_edges(plist):
        raise RefusedError(f"leaves filters out at the edges of {path}, which is not read")
    return names


def _chunks(path: str, dataset: Any, box: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Return (origin, mask of filters that were left out, offset, stored bytes) of every chunk."""
    found: list[Any] = []
    dataset.chunk_iter(found.append)
    sizes = {info.chunk_offset: info.size for info in found}
    grid = [range(0, length, step) for length, step in zip(dataset.shape, box, strict=True)]
    for origin in itertools.product(*grid):
        # A damaged index lists chunks in one way and finds them in another, which gives other numbers.
        if hdf5_calls.find_chunk(dataset, origin) != sizes.pop(origin, 0):
            raise RefusedError(f"is damaged: the chunk of {path} at {list(origin)} is not the one listed")
    if sizes:
        raise RefusedError(f"is damaged: a chunk of {path} lies outside it")
    return [(info.chunk_offset, info.filter_mask, info.byte_offset, info.size) for info in found]


def _address(item: Any) -> tuple[int, int]:
    info = h5py.h5o.get_info(item)
    return info.fileno, info.addr


def _text(raw: bytes | str) -> str:
    return raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw


def _plain(value: np.ndarray[Any, Any]) -> Any:
    def item(one: Any) -> Any:
        if isinstance(one, bytes | str):
            return _text(one)
        return int(one) if isinstance(one, int) else None

    return item(value[()]) if value.ndim == 0 else [item(one) for one in value.ravel().tolist()]


def _list(request: dict[str, Any]) -> dict[str, Any]:
    lister = Lister(request)
    try:
        with h5py.File(Window(request["fd"], request["base"], request["size"]), "r") as file:
            lister.user_block = file.userblock_size
            lister.walk(h5py.h5g.open(file.id, b"/"))
    except RefusedError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": "needs more memory than its parser is allowed"}
    except Exception as error:  # noqa: BLE001 - whatever h5py raises, the file is not readable
        return {"error": f"is not readable HDF5 ({' '.join(str(error).split())[:300]})"}
    return {"datasets": lister.datasets, "groups": lister.groups}


def _answer(request: dict[str, Any], pipe: int) -> None:
    confinement.confine(request["memory"], request["cpu_seconds"])
    with os.fdopen(pipe, "w") as out:
        json.dump(_list(request), out)


def main() -> None:
    """Answer requests, each in a fork, until the socket is closed."""
    with socket.socket(fileno=sys.stdin.fileno()) as incoming:
        while True:
            message, descriptors, _, _ = socket.recv_fds(incoming, 1 << 16, 2)
            if len(descriptors) != 2:
                return
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    incoming.close()
                    _answer({"fd": descriptors[0], **json.loads(message)}, descriptors[1])
                    status = 0
                finally:
                    # Skip libhdf5's own clean-up: after a damaged file it may crash, for nothing.
                    os._exit(status)
            for descriptor in descriptors:
                os.close(descriptor)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            incoming.send(str(status).encode())


if __name__ == "__main__":
    main()
