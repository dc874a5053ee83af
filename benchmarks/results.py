"""Everything that one run measured, as plain data that goes into JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.measure import Goal, Usual
    from benchmarks.others import Other

PACKAGES = ("weightaudit", "numpy", "h5py", "isal", "tensorflow", "keras")


@dataclass(frozen=True, slots=True)
class Peak:
    """Peak memory of ``weightaudit check``: of which format, for how many MB of tensors, in bytes."""

    label: str
    megabytes: float
    peak: int


@dataclass(frozen=True, slots=True)
class Setting:
    """Where and when something was measured.

    Attributes:
        date: Day, in UTC.
        machine: Processors, memory and system.
        versions: Of Python and of the packages that matter.
        load: Processes that ran beside it, on average over the minute before.
    """

    date: str
    machine: str
    versions: dict[str, str]
    load: float


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured, in the order of the tables."""

    setting: Setting
    goals: list[Goal] = field(default_factory=list["Goal"])
    peaks: list[Peak] = field(default_factory=list[Peak])
    usual: list[Usual] = field(default_factory=list["Usual"])
    others: list[Other] = field(default_factory=list["Other"])

    def json(self) -> str:
        """Return a JSON document; whether a goal is met is in it too."""
        document = asdict(self)
        for goal, entry in zip(self.goals, document["goals"], strict=True):
            entry["is_met"] = goal.is_met
        return f"{json.dumps(document, indent=1, ensure_ascii=False)}\n"


def setting() -> Setting:
    """Describe this machine and this moment."""
    versions = {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    machine = f"{processor()}, {memory:.0f} GiB, {platform.system()}"
    return Setting(f"{datetime.now(UTC):%Y-%m-%d}", machine, versions, round(os.getloadavg()[0], 1))


def processor() -> str:
    """Return number and name of the processors, or their architecture where the system has no names."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()
