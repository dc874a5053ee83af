"""An inspection for pipes and logs: one line per tensor or layer, never wrapped, always in one order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.inspection.layers import totals, tree
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.inspect_words import FIGURES, shape_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.inspection.looking import Inspection, Sight


def table_text(seen: Inspection) -> str:
    """Return one line ``name: key=value ...`` per tensor, then what is to be remarked, then the totals."""
    return "".join(f"{line}\n" for line in (*map(tensor_line, seen.sights), *remarks(seen), _total(seen)))


def tree_text(seen: Inspection) -> str:
    """Return one line ``layer: key=value ...`` per layer, those inside others by their whole path."""
    lines: list[str] = []
    for path, node in tree(seen.sights).walk():
        rms = "" if node.sum.rms is None else f" rms={node.sum.rms:.6g}"
        bad = f" nonfinite={node.sum.nonfinite}" if node.sum.nonfinite else ""
        lines.append(
            f"{printable('/'.join(path))}: layer_class={printable(node.layer_class) or '-'} "
            f"tensors={node.sum.tensors} numbers={node.sum.numbers} bytes={node.sum.nbytes}{rms}{bad}"
        )
    return "".join(f"{line}\n" for line in (*lines, *remarks(seen), _total(seen)))


def tensor_line(sight: Sight) -> str:
    """Return what a tensor is and what was measured as ``name: key=value key=value ...``."""
    info, shown = sight.info, sight.portrait
    facts = {
        "role": info.role.value,
        "evidence": info.evidence.value,
        "layer_class": printable(info.layer_class) or "-",
        "shape": shape_text(info),
        "dtype": printable(info.dtype),
    }
    if shown is not None:
        facts |= {name: f"{getattr(shown, name):.6g}" for name in FIGURES}
        facts |= {
            "zeros": str(shown.zeros),
            "nan": str(shown.nan),
            "inf": str(shown.positive_inf + shown.negative_inf),
        }
    line = f"{printable(info.name)}: {' '.join(f'{key}={fact}' for key, fact in facts.items())}"
    return f"{line} not read: {printable(sight.failure, MESSAGE_LIMIT)}" if sight.failure else line


def remarks(seen: Inspection) -> Sequence[str]:
    """Return what is to be said of the model beside its tensors."""
    told = [f"info: {printable(one, MESSAGE_LIMIT)}" for one in seen.notes]
    return [*told, *(f"damaged: {printable(one, MESSAGE_LIMIT)}" for one in seen.damage)]


def _total(seen: Inspection) -> str:
    sums = totals(seen.sights)
    return (
        f"total: tensors={sums.all.tensors} weights={sums.weights.numbers} numbers={sums.all.numbers} "
        f"bytes={sums.all.nbytes} nonfinite={sums.all.nonfinite} not_read={sums.all.failures}"
    )
