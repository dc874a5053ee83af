"""Every hostile input."""

from __future__ import annotations

from tests.hostile import (
    bundles,
    documents,
    hdf5_bytes,
    hdf5_links,
    hdf5_newer,
    hdf5_sizes,
    places,
    saved_models,
    zips,
)
from tests.hostile.case import Case

_MODULES = (hdf5_links, hdf5_sizes, hdf5_bytes, hdf5_newer, zips, bundles, saved_models, documents, places)
CASES: tuple[Case, ...] = tuple(case for module in _MODULES for case in module.CASES)
