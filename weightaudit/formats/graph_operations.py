"""Operations of a SavedModel's graph that reach beyond the model: files, other code, the network.

Judged are the operations of TensorFlow 2.21 and those of older versions that it still has. Tables that are
filled from an asset are left out, since assets are part of the model, and so is what saves and restores it.
Left out, too, are other savers that neither signatures nor loading run: training leaves them behind.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

from weightaudit.catalog import Defect, Flaw
from weightaudit.formats.graph_nodes import AHEAD, ATTRIBUTES, NAME, NODES, OPERATION, Ahead, Field
from weightaudit.formats.protobuf import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_READS = """
    CSVDataset CSVDatasetV2 DTensorRestoreV2 ExperimentalCSVDataset ExperimentalLMDBDataset
    ExperimentalMatchingFilesDataset ExperimentalSqlDataset FixedLengthRecordDataset
    FixedLengthRecordDatasetV2 FixedLengthRecordReader FixedLengthRecordReaderV2 GenerateVocabRemapping
    ImmutableConst LMDBDataset LMDBReader ListSnapshotChunksDataset LoadAndRemapMatrix LoadDataset
    MatchingFiles MatchingFilesDataset ReadFile RecordInput Restore RestoreSlice RestoreV2 Skipgram
    SnapshotChunkDataset SnapshotDatasetReader SqlDataset TFRecordDataset TFRecordDatasetV2 TFRecordReader
    TFRecordReaderV2 TextLineDataset TextLineReader TextLineReaderV2 WholeFileReader WholeFileReaderV2
"""
_WRITES = """
    CacheDataset CacheDatasetV2 CalibrationStatisticsSaver CreateSummaryDbWriter CreateSummaryFileWriter
    DatasetToTFRecord DebugIdentity DebugIdentityV2 DebugIdentityV3 DebugNanCount DebugNumericSummary
    DistributedSave DumpTensor ExperimentalDatasetToTFRecord MergeV2Checkpoints PrintV2 Save SaveDataset
    SaveDatasetV2 SaveSlices SaveV2 SnapshotDataset SnapshotDatasetV2 WriteFile
"""
_RUNS = "EagerPyFunc PyFunc PyFuncStateless XlaCustomCall XlaCustomCallV2"
_CONNECTS = """
    DataServiceDataset DataServiceDatasetV2 DataServiceDatasetV3 DataServiceDatasetV4
    FileSystemSetConfiguration RegisterDataset RegisterDatasetV2 RpcCall RpcClient RpcServer
    RpcServerRegister
"""
KINDS = {
    "read files": frozenset(_READS.split()),
    "write files": frozenset(_WRITES.split()),
    "run other code": frozenset(_RUNS.split()),
    "reach the network": frozenset(_CONNECTS.split()),
}
"""What operations do, and their names."""

_RESTORES = frozenset(["DTensorRestoreV2", "Restore", "RestoreSlice", "RestoreV2"])
_SAVES = frozenset(["MergeV2Checkpoints", "Save", "SaveSlices", "SaveV2"])
SAVERS = _RESTORES | _SAVES
"""Operations that savers are made of, the model's own and others."""
_PRINT, _INTO_FILE = "PrintV2", b"file://"
_CALLED = 10  # AttrValue.func, of which field 1 is the name

# Names lie in one piece, however a message is encoded; one search for what they share is enough for nearly
# all nodes.
_STEMS = re.compile(
    b"PyFunc|CustomCall|File|Dataset|Record|Reader|Writer|Save|Restore|Checkpoints|Dump|Debug|"
    b"PrintV2|ImmutableConst|Remap|Skipgram|Rpc"
)
may_reach = _STEMS.search
"""Says whether the bytes of a node may hold the name of an operation that counts."""


@cache
def kinds() -> dict[str, str]:
    """Return what each operation does, by its name."""
    return {name: kind for kind, names in KINDS.items() for name in names}


class Operations:
    """The operations of a model's graphs that reach beyond it.

    Args:
        graphs: Where each graph lies, and the names of the nodes of normal savers (`MetaGraph.savers`).
    """

    def __init__(self, graphs: Sequence[tuple[Field, frozenset[str]]]) -> None:
        self.counts: Counter[str] = Counter()
        self._graphs = graphs
        self._functions: dict[int, frozenset[str]] = {}

    def meet(self, source: Ahead, graph: int, function: str, node: Field) -> None:
        """Count a node, if it is of such a kind.

        Args:
            source: saved_model.pb.
            graph: The number of its graph, from 0.
            function: The function that it is in; empty for none.
            node: Where it lies.

        Raises:
            ReadError: The node is malformed.
        """
        # Of a field that is there twice, the last counts, as in protobuf.
        parts = {part[0]: part for part in source.walk(*node[1:])}
        held = source.small(parts.get(OPERATION))
        operation = held.decode(errors="replace")
        if operation not in kinds():
            return
        if operation in SAVERS and self._saves(source, graph, function, parts.get(NAME)):
            return
        if operation == _PRINT and not _prints_into_file(source, node):
            return
        self.counts[operation] += 1

    def defects(self, label: str) -> Iterator[Defect]:
        """Yield one sentence about all that were met; nothing if none was."""
        told = [
            f"{kind} ({', '.join(f'{self.counts[one]} {one}' for one in sorted(names & self.counts.keys()))})"
            for kind, names in KINDS.items()
            if names & self.counts.keys()
        ]
        if told:
            yield Defect(Flaw.REACH, f"{label} has operations that, where they are run, {', '.join(told)}.")

    def _saves(self, source: Ahead, graph: int, function: str, name: Field | None) -> bool:
        """Say whether a node of a saver is normal."""
        place, saver = self._graphs[graph]
        if not function:
            return source.text(name) in saver
        if graph not in self._functions:
            self._functions[graph] = frozenset(_called(source, place, saver))
        return function in self._functions[graph]


def _prints_into_file(source: Ahead, node: Field) -> bool:
    _, start, end = node
    return end - start > AHEAD or _INTO_FILE in source.read(start, end)


def _called(source: Ahead, graph: Field, names: frozenset[str]) -> Iterator[str]:
    """Yield the functions that nodes of these names call, outside of functions."""
    for part in source.walk(*graph[1:]):
        if part[0] != NODES:
            continue
        first = next(source.walk(*part[1:]), None)
        if first is None or first[0] != NAME or source.text(first) not in names:
            continue
        for attribute in source.walk(*part[1:]):
            if attribute[0] == ATTRIBUTES and attribute[2] - attribute[1] <= AHEAD:
                value = Message(source.small(attribute), source.label).message(2)
                called = value.message(_CALLED) if value else None
                if called:
                    yield called.text(1)
