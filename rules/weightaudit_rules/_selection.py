"""How a policy selects the tensors that must meet a demand of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.globs import matches
from weightaudit.rule import Rule
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit_rules._roles import is_weight

if TYPE_CHECKING:
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class SelectiveRule(Rule):
    """Applies to the tensors that all given selectors match; without any, to kernels and embeddings.

    A demand that the policy states holds however well the role is known, so a finding is
    never lowered.
    """

    tensors: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    layer_classes: tuple[str, ...] = ()

    relies_on_role = False

    @property
    def selects(self) -> bool:
        """Whether any selector is given."""
        return bool(self.tensors or self.roles or self.layer_classes)

    def goes_by_kind(self) -> bool:
        return not self.tensors

    def applies(self, info: TensorInfo) -> bool:
        if not self.selects:
            return is_weight(info) and info.role in MATRIX_ROLES
        # Only a name or a role asked for can mean bookkeeping; a layer class means its weights.
        chosen = is_weight(info) or (info.is_floating and bool(self.tensors or self.roles))
        return (
            chosen
            and (not self.tensors or matches(info.name, self.tensors))
            and (not self.roles or info.role in self.roles)
            and (not self.layer_classes or matches(info.layer_class, self.layer_classes))
        )
