"""What a declared regularizer may have done to a whole tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit_rules._declared import number

if TYPE_CHECKING:
    from weightaudit.tensor import TensorInfo

_STRONG = {"l1": 1e-3, "l2": 1e-2}
"""Ten times and more what is usual. Measured: L1 of 0.05 and L2 of 0.5 divide gains by 600 and 24,000 where
targets are noise, and L1 of 0.01 by less than 20."""


def shrunk_by(info: TensorInfo) -> str:
    """Return the regularizer that may have driven a tensor to next to nothing; empty if none is so strong."""
    declared = info.regularizer
    if declared is None or not declared.builtin:
        return ""
    try:
        strong = any(number(declared.config, key, 0.0) >= least for key, least in _STRONG.items())
    except ValueError:
        return ""
    return declared.name if strong else ""
