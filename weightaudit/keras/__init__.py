"""Where training meets the audit: a callback that lets no broken checkpoint replace a good one.

Needs Keras 3 on TensorFlow (``pip install 'weightaudit[tensorflow]'``); see ``docs/training.md``.
"""

from __future__ import annotations

from weightaudit.keras.callback import AuditCheckpoint

__all__ = ["AuditCheckpoint"]
