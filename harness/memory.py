"""Memory that was freed is kept while a shard is judged, and given back between shards.

Every case needs about as much as the last one did, and to get pages from the system anew may take longer than to
compute on them. Dask sets its processes up to give back whatever they can, which takes half as long again. But one
large case would keep its memory for good, since what is freed lies between what is not: so between shards all of it is
given back, which takes a fortieth of the time. And all threads take memory from one heap: with heaps of their own,
cases of 3 x 1024 neurons took some 600 new pages each, however many there had been; with one they come to take none.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

#: Arrays smaller than this are not mapped one by one, and so much that was freed may lie at the end of the heap, in
#: bytes.
MAPPED_FROM, KEPT = 2**25, 2**29

#: The same for a process that is yet to be started.
VARIABLES = {"MALLOC_MMAP_THRESHOLD_": str(MAPPED_FROM), "MALLOC_TRIM_THRESHOLD_": str(KEPT)}

#: Their names in malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def keep_memory() -> None:
    """Have the C library of this process keep what is freed, where it is one that can be told."""
    if mallopt := _of_glibc("mallopt"):
        mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Have it give back whatever is free."""
    if malloc_trim := _of_glibc("malloc_trim"):
        malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(ctypes.CDLL(None), name, None)
    return found
