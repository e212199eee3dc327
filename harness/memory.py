"""Memory that was freed is kept: every case needs as much as the last one did.

To get pages from the system anew, each time, may take longer than to compute on them. Dask goes further and sets its
processes up to give back whatever they can, for programs that hold large arrays once: with that, a case takes 1.5 times
as long.
"""

from __future__ import annotations

import ctypes

#: Arrays smaller than this are not mapped one by one, in bytes.
MAPPED_FROM = 2**25

#: How much that was freed may lie at the end of the heap before it is given back. Here it is as much as the arrays of a
#: case of 3 x 1024 neurons, so that a rare large case is forgotten; an implementation may keep what it had.
KEPT, KEPT_BY_CHILDREN = 2**24, 2**29

#: What a process that is yet to be started finds in its environment.
VARIABLES = {"MALLOC_MMAP_THRESHOLD_": str(MAPPED_FROM), "MALLOC_TRIM_THRESHOLD_": str(KEPT_BY_CHILDREN)}

#: Their names in malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_memory() -> None:
    """Have the C library of this process keep what is freed, where it is one that can be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
