"""Give freed memory back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

_MADV_DONTNEED = 4


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
