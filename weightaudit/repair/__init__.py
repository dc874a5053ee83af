"""Repair: which tensors are projected, what that changes, and how the result is written and proved."""
