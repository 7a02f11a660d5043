"""Give freed memory back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

_MADV_DONTNEED = 4
_M_TRIM_THRESHOLD = -1
_AT_ONCE, _USUAL = 256 << 10, 64 << 20
"""Free bytes at the end of a thread's heap past which glibc gives them back; the usual ones are what it comes to by itself
once blocks of a model's size were freed."""


@contextlib.contextmanager
def giving_back(*, code_of: tuple[str, ...] = ()) -> Iterator[None]:
    """What is freed inside goes back to the system: `release_memory` follows, and ends of heaps, which it does not reach
    but in the first thread's, go as they come free."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _AT_ONCE)
    try:
        yield
    finally:
        if mallopt is not None:
            mallopt(_M_TRIM_THRESHOLD, _USUAL)
    release_memory(code_of=code_of)


def release_memory(*, code_of: tuple[str, ...] = ()) -> None:
    """Collect garbage and return the C heap's free pages (glibc keeps them otherwise); nothing elsewhere.

    `code_of` names libraries that won't run for a while: their code leaves this process's memory too and
    comes back from the page cache, page by page, when it runs again.
    """
    gc.collect()
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    trim = getattr(libc, "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)
    for line in Path("/proc/self/maps").read_text().splitlines() if code_of else ():
        span, access, *_, path = line.split(maxsplit=5)
        # code is never written to, so dropping a page loses nothing; read-only data may hold relocations
        if access == "r-xp" and any(name in path for name in code_of):
            start, end = (int(part, 16) for part in span.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
