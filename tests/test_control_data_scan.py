"""Many pictures are looked at in several processes, as in one, and nothing stays behind."""

import subprocess
import sys
import time
from pathlib import Path

from kinds import kind
from serving import REPOSITORY

from control.data.pictures import find_gallery
from control.data.scan import ALONE, scan


def pictures(folder: Path, count: int) -> None:
    for number in range(count):
        path = folder / ("cat", "dog")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(kind("jpeg") if number % 7 else b"bad %d" % number)


def test_processes_answer_in_order_what_one_answers(tmp_path):
    pictures(tmp_path, ALONE + 20)
    found = find_gallery(tmp_path).pictures
    told: list[int] = []
    looks = scan(found, 3, told.append)
    assert looks == scan(found, 1)
    assert told == list(range(1, ALONE + 21))
    assert sum(bool(look.problem) for look in looks) == -(-(ALONE + 20) // 7)


def test_processes_end_with_the_one_that_started_them(tmp_path):
    """Killed so that it can tell nobody."""
    pictures(tmp_path, 1500)
    child = subprocess.Popen(
        [sys.executable, "-m", "control", "data", "check", str(tmp_path), "--processes", "2"],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    deadline = time.monotonic() + 60
    workers: list[str] = []
    # Two that have begun to decode; one more process counts what they share.
    while sum(map(decodes, workers)) < 2 and child.poll() is None and time.monotonic() < deadline:
        workers = children.read_text().split()
        time.sleep(0.002)
    child.kill()
    child.wait(60)
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(workers) == 3
    assert not any(map(is_running, workers))


def decodes(pid: str) -> bool:
    try:
        return "_imaging" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def is_running(pid: str) -> bool:
    """False for one that has ended, even when nobody has asked how."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
