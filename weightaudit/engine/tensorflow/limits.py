"""Sizes that must be known before TensorFlow is imported."""

from __future__ import annotations

MOST_ELEMENTS = 1 << 24
"""Elements of a kernel whose spectral norm TensorFlow computes, 64 MiB of float32; numpy does larger ones."""
