"""What training says about the GPU, with drivers that are too old, broken, or never answer.

The driver is a real shared library in its real place: torch loads it and asks it as it would ask
NVIDIA's. It is compiled here, with the two functions that decide.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training import flags, run_command

from train.device import choose_device

DRIVER = """
#include <unistd.h>
int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
int cuInit(unsigned flags) { while (RESULT < 0) sleep(1 + flags); return RESULT; }
"""
# cuda.h
SYSTEM_DRIVER_MISMATCH, NEVER = 803, -1
NEW = 99000
FIND_GPU = "from classifier.gpu import find_gpu; print(find_gpu(1.0).why)"

needs_cuda = pytest.mark.skipif(
    torch.version.cuda is None or not shutil.which("gcc"), reason="needs torch for CUDA, and gcc"
)


def driver(folder: Path, version: int, result: int = 0) -> dict[str, str]:
    """The environment in which this libcuda.so.1 is found first."""
    (folder / "driver.c").write_text(DRIVER)
    words = [f"-DVERSION={version}", f"-DRESULT={result}", "-Wl,-soname,libcuda.so.1"]
    command = ["gcc", "-shared", "-fPIC", *words, "driver.c", "-o", "libcuda.so.1"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    return {"LD_LIBRARY_PATH": str(folder)}


@needs_cuda
def test_a_driver_that_is_too_old_is_one_clear_line_and_the_cpu_trains(pictures, tmp_path):
    words = flags(pictures, tmp_path, epochs="1")
    done = run_command([sys.executable, "-m", "train", *words], driver(tmp_path, version=11040))
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "NVIDIA" in line]
    assert re.fullmatch(
        r"warning: the CPU trains, not the GPU: the NVIDIA driver is too old: it supports CUDA "
        rf"11\.4, torch \S+ needs CUDA {torch.version.cuda}; update the driver, take .*",
        line,
    )
    assert re.search(r"^job    local on cpu, fp32, \d+ cpus; GPU unusable$", done.stdout, re.M)
    assert done.stderr == ""


@needs_cuda
@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (
            SYSTEM_DRIVER_MISMATCH,
            "the NVIDIA driver refuses: Error 803: system has unsupported display driver",
        ),
        (NEVER, "HostError: the NVIDIA driver has not answered for 1 s (libcuda.so.1, cuInit): re"),
    ],
)
def test_a_driver_that_refuses_or_never_answers_is_named(tmp_path, result, answer):
    done = run_command([sys.executable, "-c", FIND_GPU], driver(tmp_path, NEW, result))
    assert answer in done.stdout + done.stderr
    assert "UserWarning" not in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_reason_is_given():
    threads = torch.get_num_threads()
    try:
        assert re.fullmatch(r"cpu, fp32, \d+ cpus; (no GPU|.* no CUDA)", choose_device("fp32").why)
    finally:
        torch.set_num_threads(threads)
