"""Memory that is no longer needed goes back to the system at once.

What belongs here: how large pieces of memory are allocated. What does not: how many there are
(`grouping.py`, `limits.buffer_bytes` of a feed). Apache Arrow documentation: "Memory
Management" (memory pools). GNU C Library Reference Manual: "Malloc Tunable Parameters".

Arrow's own pools and, after the first large piece, that of the C library keep what is freed for
the next of its size. A run takes pieces of many sizes in several threads, and would hold a
hundred MB and more that nobody uses. `rwt_assets/__init__.py` has Arrow take all of its memory
from the C library, which can be told here to give it back.
"""

import ctypes
from typing import Final

import pyarrow as pa

LARGE_BYTES: Final = 1 << 20  # a piece from this size on is a mapping of its own
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of <malloc.h>
_ARENAS: Final = 2


def give_back_large_pieces() -> None:
    """Have this process give large pieces back when they are freed; elsewhere than on glibc, not.

    It may be called more than once.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_TRIM_THRESHOLD, LARGE_BYTES)
        mallopt(_ARENA_MAX, _ARENAS)


def give_back_small_pieces() -> None:
    """Give back the pieces that are free now; it takes some milliseconds, and only on glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
