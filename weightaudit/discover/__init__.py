"""Finds the saved models that paths, directories and globs stand for, each once."""

from weightaudit.discover.naming import addressed
from weightaudit.discover.searching import discover, gather, search
from weightaudit.discover.target import Search, Target
from weightaudit.discover.walking import stripped

__all__ = ["Search", "Target", "addressed", "discover", "gather", "search", "stripped"]
