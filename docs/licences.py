"""Which licences the packages that weightaudit brings may have, and how to read a package's licence."""

from __future__ import annotations

import re
from importlib.metadata import PackageMetadata

_PERMISSIVE = "permissive: keep the notice"
ALLOWED = {
    "0BSD": _PERMISSIVE,
    "Apache-2.0": _PERMISSIVE,
    "BSD-2-Clause": _PERMISSIVE,
    "BSD-3-Clause": _PERMISSIVE,
    "CC0-1.0": "no conditions",
    "ISC": _PERMISSIVE,
    "MIT": _PERMISSIVE,
    "MIT-0": "no conditions",
    "MIT-CMU": _PERMISSIVE,
    "PSF-2.0": _PERMISSIVE,
    "Unlicense": "no conditions",
    "Zlib": _PERMISSIVE,
    "MPL-2.0": "copyleft by file, for who changes one of its files: we change none, and none is in our wheel",
}
"""Licences by their SPDX identifier, each with why it may be there. Any other has to be looked at first."""

_WORDS = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "MPL-2.0 and MIT and BSD-3-Clause": "MPL-2.0 AND MIT AND BSD-3-Clause",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""How packages without an SPDX expression say it."""

_LOOKED_AT = {
    "astunparse": "BSD-3-Clause AND PSF-2.0",
    "colorama": "BSD-3-Clause",
    "contourpy": "BSD-3-Clause",
    "cycler": "BSD-3-Clause",
    "gitdb": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "kiwisolver": "BSD-3-Clause",
    "matplotlib": "PSF-2.0",
    "namex": "Apache-2.0",
    "nodeenv": "BSD-3-Clause",
    "pyasn1-modules": "BSD-2-Clause",
    "sigstore-models": "MIT",
    "sqlparse": "BSD-3-Clause",
}
"""Those whose metadata say no more than "BSD", or nothing: by the text of the licence that they bring."""


def normalized(name: str) -> str:
    """Return a distribution's name as indexes compare it: ``Foo.Bar_baz`` is ``foo-bar-baz``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(metadata: PackageMetadata) -> str:
    """Return the licence of a distribution as an SPDX expression.

    Returns:
        The expression; empty if its metadata say nothing that is known here.
    """
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    name = normalized(metadata["Name"])
    if name in _LOOKED_AT:
        return _LOOKED_AT[name]
    words = metadata.get_all("License") or []
    classifiers = metadata.get_all("Classifier") or []
    words += [word.rpartition(" :: ")[2] for word in classifiers if word.startswith("License :: ")]
    found = (_WORDS.get(word, word if is_allowed(word) else "") for word in words)
    return next(filter(None, found), "")


def is_allowed(expression: str) -> bool:
    """Say whether all licences that an SPDX expression names are allowed, or one of those to choose from."""
    ways = expression.replace("(", " ").replace(")", " ").split(" OR ")
    return any(all(one.strip() in ALLOWED for one in way.split(" AND ")) for way in ways)
