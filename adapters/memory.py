"""Memory that gradparity and workers of its own both see.

It has no name anywhere, cannot be cut short, and ends with the last process that sees it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..reference.network import Array, Case

#: Arrays begin at multiples of so many bytes, a cache line: at 3 x 1024 JAX's worker takes 40 ms a case, and 44 at 8.
LINE = 64

#: How many bytes a slot has, for a case or for an answer. Pages that nothing was written to do not exist.
SLOT = 2**27

#: How many answers of one worker may have a slot at once: one that is computed, and some that wait for it.
ROOMS = 3

#: How many cases may lie on a shelf: the fastest worker's, and those that the slowest still looks at.
PLACES = 6

# Of Linux 5.1; the standard library names it from Python 3.13 on.
_F_SEAL_FUTURE_WRITE = 0x10


class Memory:
    """Memory that two processes see."""

    def __init__(self, descriptor: int, write: bool = True) -> None:
        self._map = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ | (mmap.PROT_WRITE if write else 0))
        self._bytes = np.frombuffer(self._map, np.uint8)

    def put(self, arrays: list[Array], place: int) -> None:
        """Write arrays one after another, from a place on."""
        for array in arrays:
            bits = array.reshape(-1).view(np.uint8)
            self._bytes[place : place + len(bits)] = bits
            place += padded(len(bits))

    def view(self, place: int, length: int) -> Array:
        """Look at what lies there, without writing to it; it changes when others write there."""
        # NumPy's own flag, on an array of memory that can be written to, can be set again.
        return np.frombuffer(memoryview(self._map).toreadonly(), np.uint8, length, place)

    def copy(self, place: int, length: int) -> Array:
        """Take what lies there now, read-only."""
        taken = self._bytes[place : place + length].copy()
        taken.setflags(write=False)
        return taken


@dataclass(frozen=True)
class Offered:
    """Memory, and the descriptor under which a child may inherit it; closed with the last that holds this."""

    memory: Memory
    descriptor: int


def offered(slots: int, write: bool) -> Offered | None:
    """Make memory that children may look at, and ``write`` to as well; None where the system has no such memory."""
    try:
        descriptor = os.memfd_create("gradparity", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except (AttributeError, OSError):  # not on macOS; or a user may not have as much
        return None
    try:
        os.ftruncate(descriptor, slots * SLOT)
        made = Offered(Memory(descriptor), descriptor)
        # Our own map can be written to still; no other will be, whoever opens it.
        size = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
        content = 0 if write else _F_SEAL_FUTURE_WRITE
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, size | content | fcntl.F_SEAL_SEAL)
    except OSError:
        os.close(descriptor)
        return None
    weakref.finalize(made, os.close, descriptor)
    return made


@dataclass
class _Lying:
    """What lies in a slot: a case, while there is one, how many look at it, and when it was last lent."""

    case: Callable[[], Case | None]
    readers: int = 0
    turn: int = 0


class Shelf:
    """Where cases lie for the workers of one process, who ask for them by and by; each case is put there once.

    None of them can write to it, so that what one does to a case is not what another sees.
    """

    def __init__(self) -> None:
        self._offered = offered(PLACES, write=False)
        self._lying = [_Lying(lambda: None) for _ in range(PLACES)]
        self._lock, self._turn = threading.Lock(), 0

    @property
    def descriptor(self) -> int | None:
        """The descriptor that a child is to inherit; None where the system has no such memory."""
        return self._offered.descriptor if self._offered else None

    def lend(self, case: Case, arrays: list[Array]) -> int | None:
        """Give the place where a case's arrays lie until it is taken back; None where all slots are lent."""
        if self._offered is None:
            return None
        with self._lock:
            self._turn += 1
            slot = next((i for i, one in enumerate(self._lying) if one.case() is case), None)
            if slot is None:
                free = [i for i, one in enumerate(self._lying) if not one.readers]
                if not free:
                    return None
                slot = min(free, key=lambda i: self._lying[i].turn)
                self._offered.memory.put(arrays, slot * SLOT)
                self._lying[slot].case = weakref.ref(case)
            self._lying[slot].readers += 1
            self._lying[slot].turn = self._turn
            return slot * SLOT

    def take_back(self, place: int) -> None:
        """Let another case lie there, once all to whom it was lent have given it back."""
        with self._lock:
            self._lying[place // SLOT].readers -= 1


def padded(length: int, unit: int = LINE) -> int:
    """Give so many bytes with those up to where the next array may begin."""
    return -(-length // unit) * unit
