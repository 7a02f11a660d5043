"""What is freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from jmem.core.embed.memory import giving_back

FREE_IN_A_THREAD = """
import ctypes, threading, time
from pathlib import Path
from jmem.core.embed.memory import giving_back, release_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

def private():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) // 1024

def work():
    libc.free(libc.malloc(30 << 20))  # a block as large as a model: glibc keeps as much at the end of a heap from then on
    for n in range(300):
        blocks[n] = libc.malloc(100_000)
        ctypes.memset(blocks[n], 1, 100_000)
    step[0] = 1
    until(2)
    with giving_back():
        for block in blocks:
            libc.free(block)

def until(number):  # a lock would take memory behind the blocks
    while step[0] < number:
        time.sleep(0.01)

blocks, step = (ctypes.c_void_p * 300)(), (ctypes.c_int * 1)()
thread = threading.Thread(target=work)
thread.start()
until(1)
full = private()
step[0] = 2
thread.join()
print(full - private())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the C library gives back as it sees fit")
def test_what_a_thread_frees_at_the_end_of_its_heap_goes_back() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", FREE_IN_A_THREAD], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 27, "MB of 30"


def test_an_error_inside_passes() -> None:
    with pytest.raises(ValueError, match="from inside"), giving_back():
        raise ValueError("from inside")
