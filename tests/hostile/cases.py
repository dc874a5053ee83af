"""Every hostile input."""

from __future__ import annotations

from tests.hostile import hdf5_bytes, hdf5_links, hdf5_sizes
from tests.hostile.case import Case

CASES: tuple[Case, ...] = (*hdf5_links.CASES, *hdf5_sizes.CASES, *hdf5_bytes.CASES)
