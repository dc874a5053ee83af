"""Seeds faults, audits the hurt models, and says which faults were found and which healthy models accused."""

from __future__ import annotations

import tempfile
from collections import deque
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

import weightaudit
from benchmarks.detection.harm import Harm, is_changed
from benchmarks.detection.peers import PEERS, WHOLE
from benchmarks.detection.weights import Weights, load, write
from weightaudit.errors import WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.random import Generator

    from benchmarks.detection.faults import Fault
    from benchmarks.detection.models import Model
    from benchmarks.detection.peers import Flag
    from weightaudit import Finding, ModelReport, Severity

TRIES = 8
"""How often a fault may choose again where it changed nothing, or what cannot be written."""

Key = tuple[str, str | None, int]
"""What makes two findings the same one: rule, tensor and severity. A sentence may have other numbers."""


@dataclass(frozen=True)
class Patient:
    """A clean model, and what is found in it as it is.

    Attributes:
        model: The model.
        weights: Its stored numbers.
        report: Its audit.
        peers: What each of the other tools flags in it.
    """

    model: Model
    weights: Weights
    report: ModelReport
    peers: Mapping[str, AbstractSet[Flag]]


@dataclass(frozen=True, slots=True)
class Case:
    """One fault in one model.

    Attributes:
        kind: Class of the fault.
        grade: Its grade.
        model: Name of the model.
        hurt: Names of the tensors that were changed.
        detail: What is worth knowing if it was missed.
        severity: The worst new finding that is about it: ``error``, ``warning``, ``note`` or empty.
        codes: Rules of the new findings that are about it.
        referred: As `severity`, when the model is compared with the one before; None if it was not.
        peers: The other tools that flag it.
    """

    kind: str
    grade: str
    model: str
    hurt: tuple[str, ...]
    detail: str
    severity: str
    codes: tuple[str, ...]
    referred: str | None
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Clean:
    """A model that is healthy as far as anyone knows, and what is said of it.

    Attributes:
        model: Its name.
        origin: Where it is from.
        findings: Severity, rule, tensor and message of what was found.
        peers: How many flags each of the other tools raises.
        failure: Why it could not be audited whole; empty if it was.
        nbytes: Bytes of its files.
        audit: Seconds of processor time of its audit.
        reading: Seconds of processor time that reading its files took.
    """

    model: str
    origin: str
    findings: tuple[tuple[str, str, str, str], ...]
    peers: Mapping[str, int]
    failure: str = ""
    nbytes: int = 0
    audit: float = 0.0
    reading: float = 0.0


@dataclass
class Outcome:
    """Everything that one run found out."""

    cases: list[Case] = field(default_factory=list[Case])
    clean: list[Clean] = field(default_factory=list[Clean])


def examine(model: Model) -> Patient:
    """Load a clean model and see what is found in it as it is.

    Raises:
        WeightauditError: It cannot be read.
    """
    weights = load(model)
    flags = {name: peer(weights.arrays, weights.infos) for name, peer in PEERS.items()}
    return Patient(model, weights, audited(model.path), flags)


def audited(path: Path, reference: Path | None = None) -> ModelReport:
    """Audit one model with all rules as they come, against a reference if there is one."""
    audit: Callable[..., Any] = weightaudit.audit
    report = audit(path) if reference is None else audit(path, reference=reference)
    model: ModelReport = report.models[0]
    return model


def knows_references() -> bool:
    """Say whether the library can compare a model with another one while it audits."""
    return "reference" in signature(weightaudit.audit).parameters


def clean(patient: Patient) -> Clean:
    """Return what is said of a healthy model, and what the audit costs beside reading its files."""
    report, files = patient.report, _files(patient.model.path)
    failure = report.failure or "; ".join(f"{one.tensor}: {one.reason}" for one in report.skipped)
    return Clean(
        patient.model.name,
        patient.model.origin,
        tuple((one.severity.label, one.code, one.tensor or "", one.message) for one in report.findings),
        {name: len(flags) for name, flags in patient.peers.items()},
        failure,
        sum(file.stat().st_size for file in files),
        min(_seconds(lambda: audited(patient.model.path)) for _ in range(3)),
        min(_seconds(lambda: _read(files)) for _ in range(3)),
    )


def _seconds(work: Callable[[], object]) -> float:
    start = process_time()
    work()
    return process_time() - start


def _files(path: Path) -> list[Path]:
    """Return the files of a model: of a directory those in it, of a checkpoint those with its prefix."""
    below = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.name}*")
    return [one for one in below if one.is_file()]


def _read(files: Sequence[Path]) -> None:
    """Read files once, in blocks of 1 MiB."""
    block = bytearray(1 << 20)
    for file in files:
        with file.open("rb", buffering=0) as stream:
            while stream.readinto(block):
                pass


def seed_faults(fault: Fault, patients: Sequence[Patient], seed: int, count: int) -> list[Case]:
    """Seed one fault into several models, one after the other, and judge what comes of it.

    Args:
        fault: The fault.
        patients: Clean models; each is used again only when every other one was.
        seed: Decides models, tensors and places; a fault has the same cases whatever else is run.
        count: How many cases are wanted; there are fewer where no model has what is to be hurt.
    """
    number = crc32(f"{fault.kind}/{fault.grade}".encode())
    random = np.random.default_rng([seed, number])
    cases: list[Case] = []
    order: list[int] = random.permutation(len(patients)).tolist()
    waiting = deque(patients[place] for place in order)
    while waiting and len(cases) < count:
        patient = waiting.popleft()
        case = _attempt(fault, patient, random)
        if case is not None:
            cases.append(case)
            waiting.append(patient)
    return cases


def _attempt(fault: Fault, patient: Patient, random: Generator) -> Case | None:
    """Hurt a model and judge it; None if it has nothing that this fault can hurt."""
    for _ in range(TRIES):
        harm = fault.seed(patient.weights, random)
        if harm is None:
            return None
        if harm.changes and is_changed(patient.weights, harm):
            with tempfile.TemporaryDirectory(prefix="weightaudit-detection-") as folder:
                try:
                    path = write(patient.model, harm.changes, Path(folder))
                except WriteError:
                    continue
                return judged(fault, patient, harm, path)
    return None


def judged(fault: Fault, patient: Patient, harm: Harm, path: Path) -> Case:
    """Audit a hurt copy of a model and say what was found.

    Args:
        fault: What was seeded.
        patient: The model as it was.
        harm: What was changed.
        path: The copy.
    """
    about = new_findings(audited(path), patient, harm)
    referred = None
    if knows_references():
        referred = worst(new_findings(audited(path, patient.model.path), patient, harm))
    return Case(
        fault.kind,
        fault.grade,
        patient.model.name,
        harm.hurt,
        harm.detail,
        worst(about),
        tuple(sorted({one.code for one in about})),
        referred,
        tuple(name for name in PEERS if _is_flagged(name, patient, harm)),
    )


def _is_flagged(name: str, patient: Patient, harm: Harm) -> bool:
    """Say whether another tool newly flags a hurt tensor, or the model."""
    flags = PEERS[name]({**patient.weights.arrays, **harm.changes}, patient.weights.infos)
    return any(tensor in {WHOLE, *harm.hurt} for _, tensor in flags - patient.peers[name])


def new_findings(report: ModelReport, patient: Patient, harm: Harm) -> list[Finding]:
    """Return the findings that are about what was hurt and were not there before.

    They name a hurt tensor, another tensor of its layer, or the model.
    """
    known = {_key(one) for one in patient.report.findings}
    infos = patient.weights.infos
    hurt_layers = {infos[name].layer for name in harm.hurt} - {""}

    def is_about(finding: Finding) -> bool:
        name = finding.tensor
        return (
            name is None
            or name in harm.hurt
            or (name in infos and infos[name].layer in hurt_layers)
            or name in hurt_layers
        )

    return [one for one in report.findings if _key(one) not in known and is_about(one)]


def _key(finding: Finding) -> Key:
    return finding.code, finding.tensor, int(finding.severity)


def worst(findings: Sequence[Finding]) -> str:
    """Return the name of the worst severity, empty if there is no finding."""
    levels: list[Severity] = [one.severity for one in findings]
    return max(levels).label if levels else ""
