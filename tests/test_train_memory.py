import subprocess
import sys

import pytest

from train.memory import keep_freed_memory

# Page faults of writing into a block that was just freed, in a process of its own.
PROGRAM = """
import ctypes, resource, sys
from train.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory({})
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def use():
    block = libc.malloc(100_000_000)
    libc.memset(block, 1, 100_000_000)
    libc.free(block)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how):
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_a_freed_block_is_used_again_without_asking_the_system():
    assert page_faults("keep") < 100 < page_faults("leave")


@pytest.mark.parametrize(
    "own", [{"MALLOC_TRIM_THRESHOLD_": "1"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=9"}]
)
def test_the_users_own_settings_of_malloc_are_left_alone(own):
    assert not keep_freed_memory(own)
