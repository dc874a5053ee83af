"""weightaudit: says whether the weights inside a saved TensorFlow or Keras model are fit to ship.

Names are imported when they are first used, so that ``import weightaudit`` and the command line
start without numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weightaudit.auditor import audit as audit
    from weightaudit.checkpoint import Checkpoint as Checkpoint
    from weightaudit.checkpoint import open_checkpoint as open_checkpoint
    from weightaudit.comparison import Comparison as Comparison
    from weightaudit.comparison import compare as compare
    from weightaudit.comparison import compare_checkpoints as compare_checkpoints
    from weightaudit.errors import PolicyError as PolicyError
    from weightaudit.errors import ReadError as ReadError
    from weightaudit.errors import RepairError as RepairError
    from weightaudit.errors import RuleError as RuleError
    from weightaudit.errors import StoreError as StoreError
    from weightaudit.errors import UnsupportedFormatError as UnsupportedFormatError
    from weightaudit.errors import UsageError as UsageError
    from weightaudit.errors import WeightauditError as WeightauditError
    from weightaudit.errors import WriteError as WriteError
    from weightaudit.limits import Limits as Limits
    from weightaudit.policy import Policy as Policy
    from weightaudit.portrait import Detail as Detail
    from weightaudit.render.library import write_report as write_report
    from weightaudit.repair.library import repair_model as repair_model
    from weightaudit.repair.selection import Request as Request
    from weightaudit.repair.selection import Selector as Selector
    from weightaudit.report import ExitCode as ExitCode
    from weightaudit.report import ModelReport as ModelReport
    from weightaudit.report import Report as Report
    from weightaudit.rule import Example as Example
    from weightaudit.rule import Finding as Finding
    from weightaudit.rule import Measured as Measured
    from weightaudit.rule import Rule as Rule
    from weightaudit.rule import Severity as Severity
    from weightaudit.tensor import Role as Role
    from weightaudit.tensor import TensorInfo as TensorInfo

_HOMES = {
    "Checkpoint": "checkpoint",
    "Comparison": "comparison",
    "Detail": "portrait",
    "Example": "rule",
    "ExitCode": "report",
    "Finding": "rule",
    "Limits": "limits",
    "Measured": "rule",
    "ModelReport": "report",
    "Policy": "policy",
    "PolicyError": "errors",
    "ReadError": "errors",
    "RepairError": "errors",
    "Report": "report",
    "Request": "repair.selection",
    "Role": "tensor",
    "Rule": "rule",
    "RuleError": "errors",
    "Selector": "repair.selection",
    "Severity": "rule",
    "StoreError": "errors",
    "TensorInfo": "tensor",
    "UnsupportedFormatError": "errors",
    "UsageError": "errors",
    "WeightauditError": "errors",
    "WriteError": "errors",
    "audit": "auditor",
    "compare": "comparison",
    "compare_checkpoints": "comparison",
    "open_checkpoint": "checkpoint",
    "repair_model": "repair.library",
    "write_report": "render.library",
}

__all__ = [
    "Checkpoint",
    "Comparison",
    "Detail",
    "Example",
    "ExitCode",
    "Finding",
    "Limits",
    "Measured",
    "ModelReport",
    "Policy",
    "PolicyError",
    "ReadError",
    "RepairError",
    "Report",
    "Request",
    "Role",
    "Rule",
    "RuleError",
    "Selector",
    "Severity",
    "StoreError",
    "TensorInfo",
    "UnsupportedFormatError",
    "UsageError",
    "WeightauditError",
    "WriteError",
    "audit",
    "compare",
    "compare_checkpoints",
    "open_checkpoint",
    "repair_model",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("weightaudit")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'weightaudit' has no attribute {name!r}")
    value = getattr(import_module(f"weightaudit.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # What was not used yet is not in `globals`, and yet an interactive shell should complete it.
    return [*__all__, "__version__"]
