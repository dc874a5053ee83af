"""The errors that weightaudit raises: one tree, and one exit code per branch."""

from __future__ import annotations

from typing import ClassVar


class WeightauditError(Exception):
    """Base of every error that weightaudit raises on purpose; its text is one sentence for a person."""

    exit_code: ClassVar[int] = 3


class UsageError(WeightauditError):
    """The request itself is wrong: an unknown option, rule or tensor, or a broken policy."""

    exit_code: ClassVar[int] = 2


class PolicyError(UsageError):
    """A policy file cannot be read, or says something that no rule understands."""


class RuleError(WeightauditError):
    """A rule could not be loaded, two rules claim one code, or a rule crashed while it judged."""


class ReadError(WeightauditError):
    """A file cannot be opened, is damaged, or changed while it was read."""


class UnsupportedFormatError(ReadError):
    """The path is not a saved TensorFlow or Keras model, or is one of a kind that is not read."""


class WriteError(WeightauditError):
    """A model cannot be written, or what was written is not what was planned; the old one is untouched."""


class RepairError(WeightauditError):
    """A repair is not possible, or not within the change that is allowed; nothing was written."""


class StoreError(WeightauditError):
    """A version store cannot be used: locked, damaged, or without the version that is asked for."""
