import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from train.memory import give_back_freed_memory
from train.peak import PeakMemory, is_out_of_memory, resident_now

MB = 1_000_000
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")

# torch and numpy with so little address space that neither can have what it asks for.
FULL = """
import resource, numpy, torch
from train.peak import is_out_of_memory
resource.setrlimit(resource.RLIMIT_AS, (8 * 10**9, resource.RLIM_INFINITY))
for take in (lambda: torch.empty(10**10), lambda: numpy.empty(10**10)):
    try:
        take()
    except (RuntimeError, MemoryError) as error:
        print(is_out_of_memory(error))
"""


@pytest.mark.parametrize("forget", ["/proc/self/clear_refs", "/proc/self/no-such-file"])
def test_the_peak_of_a_block_is_seen_although_the_process_once_had_more(forget):
    del_me = np.ones(400 * MB, np.uint8)
    del del_me
    give_back_freed_memory()
    before = resident_now()
    with PeakMemory(Path(forget)) as peak:
        for _ in range(20):  # long enough for who looks again and again
            np.ones(150 * MB, np.uint8).sum()
    assert 140 * MB < peak.bytes - before < 220 * MB


def test_a_full_memory_is_told_from_other_errors():
    done = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["True", "True"]
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
