"""Reports that people look at: one HTML file each, which opens offline and loads nothing.

Python turns a report into plain data (`tables`, `depth`, `grouping`), jinja2 writes it into a template, and a
little plain JavaScript beside it draws what is looked at closely. Nothing in here reads a model.
"""

from __future__ import annotations
