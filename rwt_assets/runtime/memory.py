"""Memory that is no longer needed goes back to the system at once.

What belongs here: how large pieces of memory are allocated. What does not: how many there are
(`grouping.py`, `limits.buffer_bytes` of a feed). Apache Arrow documentation: "Memory
Management" (memory pools). GNU C Library Reference Manual: "Malloc Tunable Parameters".

Arrow's own pools and, after the first large piece, that of the C library keep what is freed for
the next of its size. A run takes pieces of many sizes in several threads, and would hold a
hundred MB and more that nobody uses. So Arrow takes all of its memory from the C library, which
can be told here to give it back.
"""

import ctypes
import logging
import os
import sys
from typing import Final

POOL_VARIABLE: Final = "ARROW_DEFAULT_MEMORY_POOL"
SYSTEM: Final = "system"
LARGE_BYTES: Final = 1 << 20  # a piece from this size on is a mapping of its own
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of <malloc.h>
_ARENAS: Final = 2
_LOG: Final = logging.getLogger(__name__)


def choose_pool() -> None:
    """Have Arrow take its memory from the C library, unless the environment names another pool.

    Arrow chooses the pool of Parquet and IPC when it is first imported, and never again. Where that
    has happened, the processes that this one starts have the pool wholly, and this one for what
    Arrow is asked for from Python.
    """
    late = POOL_VARIABLE not in os.environ and "pyarrow" in sys.modules
    if os.environ.setdefault(POOL_VARIABLE, SYSTEM) != SYSTEM:
        return
    import pyarrow as pa  # noqa: PLC0415 - it looks at the variable as it is imported

    pa.set_memory_pool(pa.system_memory_pool())
    if late:
        _LOG.info(
            "Arrow was imported before its memory pool was chosen: Parquet and IPC keep the pool "
            "that they have. Set ARROW_DEFAULT_MEMORY_POOL=system in the environment."
        )


def give_back_large_pieces() -> None:
    """Have this process give large pieces back when they are freed; elsewhere than on glibc, not.

    It may be called more than once.
    """
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
