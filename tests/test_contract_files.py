import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contract.errors import HostError, JobError
from contract.files import read_json, replacing, sha256_of, write_bytes, write_json, write_text

ROOT = Path(__file__).resolve().parents[1]
ENDLESS_WRITER = """
import sys
from pathlib import Path
from contract.files import write_bytes
for turn in range(10**9):
    write_bytes(Path(sys.argv[1]), bytes([turn % 251]) * 300_000)
"""


def test_a_file_appears_whole_and_readable(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "gr\u00fcn")
    assert path.read_bytes() == b"gr\xc3\xbcn"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file_and_leaves_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_bytes(b"half" * (1 // 0))
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


def test_a_parent_that_is_a_file_is_the_hosts_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match=r"cannot write .*file/a.txt: "):
        write_bytes(tmp_path / "file" / "a.txt", b"")


@pytest.mark.parametrize("milliseconds", [20, 45, 90])
def test_a_killed_writer_leaves_a_whole_file(tmp_path, milliseconds):
    path = tmp_path / "a.bin"
    command = [sys.executable, "-c", ENDLESS_WRITER, str(path)]
    with subprocess.Popen(command, cwd=ROOT) as writer:
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(milliseconds / 1000)
        writer.kill()
    data = path.read_bytes()
    assert data == data[:1] * 300_000


def test_json_is_written_without_nan_and_read_back(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, "\u00e4"]})
    assert read_json(tmp_path / "a.json", JobError) == {"a": [1, "\u00e4"]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, "\u00e4"]}


@pytest.mark.parametrize("data", [None, b"", b"{", b"\xff\xfe"])
def test_unreadable_json_raises_the_callers_error_with_the_path(tmp_path, data):
    path = tmp_path / "a.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(JobError, match=r"a\.json"):
        read_json(path, JobError)


def test_the_digest_is_sha256_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
