import itertools
import os
import resource
import subprocess
import sys
import threading

import numpy as np
import pytest
from training import REPOSITORY, WAIT_SECONDS

from contract.errors import HostError
from train.cache import Cache, digest_of
from train.segment import SUFFIX

KEY = {"trunk": "a", "size": 32}


def name(number):
    return digest_of(str(number).encode())


def filled(folder, entries, *, key=KEY, limit=None):
    cache = Cache(folder, limit)
    shelf = cache.shelf("features", key)
    for number, data in entries.items():
        shelf.put(name(number), data)
    shelf.flush()
    return cache


def found(folder, number, *, key=KEY, kind="features"):
    """By a process that knows nothing yet."""
    return Cache(folder).shelf(kind, key).get(name(number))


def segments(folder):
    return sorted(folder.glob(f"*/*/*{SUFFIX}"))


def test_what_was_put_is_found_by_whoever_asks_by_the_same_key(tmp_path):
    shelf = filled(tmp_path, {1: b"one", 2: b""}).shelf("features", KEY)
    assert (shelf.get(name(1)), shelf.get(name(2)), shelf.get(name(3))) == (b"one", b"", None)
    assert found(tmp_path, 1) == b"one"
    assert found(tmp_path, 1, key={"size": 32, "trunk": "a"}) == b"one"  # in any order
    assert found(tmp_path, 1, key={**KEY, "size": 33}) is None
    assert found(tmp_path, 1, kind="pictures") is None


def test_others_see_nothing_before_the_segment_is_finished(tmp_path):
    shelf = Cache(tmp_path).shelf("features", KEY)
    shelf.put(name(1), b"one")
    assert found(tmp_path, 1) is None
    shelf.flush()
    assert found(tmp_path, 1) == b"one"
    assert shelf.get(name(1)) is None or shelf.get(name(1)) == b"one"


def test_a_large_entry_starts_the_next_segment(tmp_path):
    shelf = Cache(tmp_path, 10**9).shelf("features", KEY)
    for number in range(3):
        shelf.put(name(number), bytes(65_000_000))
    assert len(segments(tmp_path)) == 3


@pytest.mark.parametrize("damage", ["empty", "half", "end", "table", "bytes", "other"])
def test_a_damaged_file_is_no_answer_and_goes(tmp_path, damage):
    filled(tmp_path, {1: b"1" * 1000, 2: b"2" * 1000})
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    place = {"end": -1, "table": 2010, "bytes": 10}.get(damage)
    if place is not None:
        data[place] ^= 1
    data = {"empty": b"", "half": data[:1000], "other": b"x" * 50}.get(damage, data)
    path.write_bytes(bytes(data))
    assert found(tmp_path, 1) is None
    assert segments(tmp_path) == []


def test_every_flipped_bit_is_noticed(tmp_path):
    filled(tmp_path, {1: b"one"})
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    for place, bit in itertools.product(range(len(whole)), (1, 128)):
        damaged = bytearray(whole)
        damaged[place] ^= bit
        path.write_bytes(bytes(damaged))
        assert found(tmp_path, 1) is None, place


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    for number in range(4):
        filled(tmp_path, {number: bytes([number]) * 1000}, key={"number": number})
        for path in segments(tmp_path):
            os.utime(path, (path.stat().st_mtime - 60,) * 2)
    assert found(tmp_path, 0, key={"number": 0})  # used just now
    filled(tmp_path, {9: b"9" * 1000}, key={"number": 9}, limit=3500)
    left = [number for number in (0, 1, 2, 3, 9) if found(tmp_path, number, key={"number": number})]
    assert left == [0, 3, 9]
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 3500


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path):
    filled(tmp_path, {1: b"1" * 100})
    filled(tmp_path, {2: b"2" * 5000}, key={"other": 1}, limit=4000)
    assert found(tmp_path, 1) is not None
    assert found(tmp_path, 2, key={"other": 1}) is None
    assert not list(tmp_path.glob("*/*/.*"))


def test_a_lowered_limit_holds_also_where_the_next_segment_does_not_fit(tmp_path):
    for number in (1, 2):
        filled(tmp_path, {number: b"x" * 2000})
    assert len(segments(tmp_path)) == 2
    filled(tmp_path, {3: b"x" * 5000}, limit=3000)
    assert sum(path.stat().st_size for path in segments(tmp_path)) <= 3000
    assert found(tmp_path, 2)
    assert found(tmp_path, 3) is None


def test_files_of_killed_processes_go_after_a_day(tmp_path):
    filled(tmp_path, {1: b"one"})
    old, new = (segments(tmp_path)[0].with_name(text) for text in (".old.tmp", ".new.tmp"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    filled(tmp_path, {2: b"two"})
    assert not old.exists()
    assert new.exists()


def test_a_folder_that_cannot_be_written_costs_the_cache_and_a_line(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    caplog.set_level("INFO")
    cache = filled(tmp_path / "file" / "cache", {1: b"one", 2: b"two"})
    assert not cache.is_on
    assert cache.shelf("features", KEY).get(name(1)) is None
    assert caplog.text.count("no cache") == 1


def test_a_folder_that_may_not_be_searched_costs_the_cache_and_a_line(tmp_path):
    """As a user without rights: root may search everything."""
    closed = tmp_path / "closed"
    filled(closed, {1: b"one"})
    closed.chmod(0)
    code = (
        "import logging, os, sys; from pathlib import Path; logging.basicConfig(level='INFO');"
        "from train.cache import Cache; cache = Cache(Path(sys.argv[1]), 10**9);"
        "os.getuid() or os.seteuid(65534);"
        "print(cache.shelf('features', {}).get(bytes(32)), cache.is_on)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(closed)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False,
    )  # fmt: skip
    closed.chmod(0o755)
    assert (done.returncode, done.stdout) == (0, "None False\n"), done.stderr
    assert "no cache" in done.stderr


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, "tests")
from train.cache import Cache, digest_of
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
cache = Cache(Path(sys.argv[1]), 10**9)
shelf = cache.shelf("features", {})
for number in range(300):
    shelf.put(digest_of(bytes(number)), bytes(1000))
shelf.flush()
print(cache.is_on, [path.name for path in Path(sys.argv[1]).glob("*/*/*")])
"""


def test_a_full_disk_costs_the_cache_alone(tmp_path):
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "False []\n"), done.stderr


WRITER = """
import sys
from pathlib import Path
from train.cache import Cache, digest_of
first = int(sys.argv[2])
shelf = Cache(Path(sys.argv[1]), 10**9).shelf("features", {"a": 1})
for number in range(first, first + 1500):
    data = str(number).encode() * 50
    shelf.put(digest_of(str(number).encode()), data)
    if number % 50 == 0:
        shelf.flush()
        got = Cache(Path(sys.argv[1]), 10**9).shelf("features", {"a": 1})
        assert got.get(digest_of(str(number).encode())) == data
shelf.flush()
"""


def test_processes_write_the_same_shelf_at_once(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    both = [
        subprocess.Popen([*command, first], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        for first in ("0", "1000")
    ]
    for process in both:
        _, errors = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, errors
    shelf = Cache(tmp_path).shelf("features", {"a": 1})
    for number in range(2500):
        assert shelf.get(name(number)) == str(number).encode() * 50


def test_threads_may_put_and_get_together(tmp_path):
    shelf = Cache(tmp_path, 10**9).shelf("features", KEY)
    wrong = []

    def work(first):
        for number in range(first, 600, 3):
            shelf.put(name(number), bytes([number % 256]) * 100)
            if number % 20 == 0:
                shelf.flush()
            data = shelf.get(name(number // 2))
            if data not in (None, bytes([number // 2 % 256]) * 100):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shelf.flush()
    assert not wrong
    assert all(found(tmp_path, number) for number in range(600))


def test_the_environment_says_where_and_how_much(tmp_path):
    home = {"HOME": str(tmp_path)}
    of = Cache.of
    assert of({**home, "KENNEL_CACHE_DIR": "off"}).is_on is False
    assert of({**home, "KENNEL_CACHE_BYTES": "0"}).is_on is False
    assert of({}).is_on is False  # no home
    assert of({**home, "KENNEL_CACHE_BYTES": "12345"}).limit_bytes == 12345
    places = {
        tmp_path / ".cache" / "kennel": home,
        tmp_path / "x" / "kennel": {**home, "XDG_CACHE_HOME": str(tmp_path / "x")},
        tmp_path / "y": {**home, "KENNEL_CACHE_DIR": str(tmp_path / "y")},
    }
    for folder, environment in places.items():
        shelf = of(environment | {"KENNEL_CACHE_BYTES": "99999"}).shelf("features", KEY)
        shelf.put(name(1), b"one")
        shelf.flush()
        assert found(folder, 1) == b"one"
    with pytest.raises(HostError, match="KENNEL_CACHE_BYTES: expected a number of bytes"):
        of({**home, "KENNEL_CACHE_BYTES": "10 GB"})


def test_without_a_limit_a_small_part_of_the_disk_is_taken(tmp_path):
    room = os.statvfs(tmp_path)
    assert 0 < Cache(tmp_path).limit_bytes <= 0.11 * room.f_bavail * room.f_frsize
    assert Cache(tmp_path).limit_bytes <= 10**10


def test_random_contents_come_back_to_the_byte(tmp_path):
    random = np.random.default_rng(0)
    entries = {
        number: random.bytes(int(size)) for number, size in enumerate(random.integers(0, 999, 200))
    }
    filled(tmp_path, entries)
    shelf = Cache(tmp_path).shelf("features", KEY)
    assert all(shelf.get(name(number)) == data for number, data in entries.items())
