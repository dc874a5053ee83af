"""Bounds on what a stranger's file may make us do. Each is generous for any real model."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may ask for before it is refused.

    What is just allowed is audited within a few seconds, and in 300 MB: 100,000 tensors of a 27 MB file
    in HDF5 took 3.6 s of processor time, and 238 MB.

    Attributes:
        max_tensors: Tensors in one model, and chunks of all tensors in one file; up to ten times as many
            groups, objects of a graph, and values of a document; four times as many nodes of a SavedModel's
            graphs, and fifty times as many fields.
        max_metadata: Bytes of one configuration document, index or attribute table.
        max_depth: Nesting of groups, JSON documents and protocol buffers.
        max_aliases: Names that datasets of an HDF5 file may have, beyond two for each.
        max_chunk: Bytes of one compressed chunk once it is inflated.
        max_ratio: How many times more bytes a whole file may declare than it stores.
        min_budget: Bytes that any file may declare, however small it is.
        timeout: Seconds that listing the tensors of one HDF5 file may take.
        parser_memory: Address space of the process that parses HDF5 metadata, in bytes.
    """

    max_tensors: int = 100_000
    max_metadata: int = 256 * MIB
    max_depth: int = 200
    max_aliases: int = 1000
    max_chunk: int = 64 * MIB
    max_ratio: int = 200
    min_budget: int = GIB
    timeout: float = 60.0
    parser_memory: int = GIB

    def budget(self, stored: int) -> int:
        """Return the bytes that the tensors of a file of `stored` bytes may declare in all."""
        return max(self.min_budget, self.max_ratio * stored)


DEFAULT_LIMITS = Limits()
