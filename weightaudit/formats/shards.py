"""The data files of a TensorFlow checkpoint: which are there, which are not, and which are stale."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from weightaudit.catalog import Absent, Defect, Extent, Flaw
from weightaudit.errors import ReadError
from weightaudit.limits import Limits
from weightaudit.source import Files


@dataclass(slots=True)
class _Damage:
    """What is wrong with one shard, and how many stored tensors it costs."""

    reason: str
    tensors: int = 0


class Shards:
    """The shards ``prefix.data-NNNNN-of-MMMMM`` of a checkpoint, opened when first needed.

    Args:
        files: Opens them.
        prefix: Path of the checkpoint below the root; its last part may be empty.
        count: How many shards the index says there are.
    """

    def __init__(self, files: Files, prefix: str, count: int) -> None:
        self._files = files
        self._prefix = prefix
        self._count = count
        self._claimed = 0
        self._open: dict[int, tuple[int, int]] = {}
        """Number and size of the file of each shard that is there."""
        self._damage: dict[int, _Damage] = {}

    def place(self, shard: int, offset: int, nbytes: int) -> Extent | Absent:
        """Return where the bytes of a stored tensor are, or why they are not there.

        Args:
            shard: Number of the shard, below `count`.
            offset: Position of the first byte in it.
            nbytes: Number of bytes.
        """
        if shard not in self._open and shard not in self._damage:
            self._find(shard)
        number, size = self._open.get(shard, (-1, -1))
        if offset + nbytes <= size:
            self._claimed += nbytes
            return Extent(number, offset, nbytes)
        if shard not in self._damage:
            self._damage[shard] = _Damage(f"{self._name(shard)} is too short ({size} bytes)")
        damage = self._damage[shard]
        damage.tensors += 1
        return Absent(f"{damage.reason}.")

    def check_budget(self, limits: Limits) -> None:
        """Raise ReadError if tensors claim the same bytes so often that reading them would never end."""
        stored = sum(size for _, size in self._open.values())
        if self._claimed > max(limits.min_budget, 2 * stored):
            raise ReadError(
                f"{self._prefix}.index declares {self._claimed} bytes of tensors in shards of {stored} "
                "bytes, which is not plausible."
            )

    def defects(self) -> tuple[Defect, ...]:
        """Return one defect for each shard that some tensor needs and that is missing or too short."""
        return tuple(
            Defect(
                Flaw.MISSING_DATA,
                f"{damage.reason}: {damage.tensors} {'tensor' if damage.tensors == 1 else 'tensors'} of the "
                "checkpoint cannot be read; copy the whole checkpoint again.",
            )
            for _, damage in sorted(self._damage.items())
        )

    def notes(self) -> tuple[str, ...]:
        """Return a sentence on shards of other saves that lie beside the checkpoint, if there are any."""
        folder, base = os.path.split(self._prefix)
        shape = re.compile(re.escape(base) + r"\.data-\d{5}-of-(\d{5})")
        found = [shape.fullmatch(name) for name in self._files.listing(folder)]
        stale = sorted(match[0] for match in found if match and int(match[1]) != self._count)
        if not stale:
            return ()
        names = ", ".join(stale[:3]) + (" and more" if len(stale) > 3 else "")
        note = (
            f"{names}: left over from a save with another number of shards ({self._count} in use), not read."
        )
        return (note,)

    def _name(self, shard: int) -> str:
        return f"{self._prefix}.data-{shard:05d}-of-{self._count:05d}"

    def _find(self, shard: int) -> None:
        name = self._name(shard)
        if not self._files.exists(name, even_dangling=True):
            self._damage[shard] = _Damage(f"{name} is missing")
            return
        try:
            number = self._files.open(name)
            self._open[shard] = number, self._files[number].size
        except ReadError as error:
            self._damage[shard] = _Damage(str(error).removesuffix("."))
