"""Reports as text, one module per format. A renderer returns a string and never writes it anywhere."""

from __future__ import annotations
