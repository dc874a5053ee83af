"""Statistics of models that did not change since they were measured: a second audit reads no weights."""

from __future__ import annotations

from weightaudit.cache.lookup import Recalled, recall, remember
from weightaudit.cache.store import Store

__all__ = ["Recalled", "Store", "recall", "remember"]
