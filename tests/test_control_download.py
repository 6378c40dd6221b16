"""What a server, a disk or an earlier run does wrong never becomes a file of the channel."""

import contextlib
import resource
import shutil

import pytest
from plain_s3 import BUCKET, Thing, plain_s3

from contract.errors import HostError
from control.download import MARK, RANGE_BYTES, Download, partial_name
from control.s3 import S3, S3Object, S3Uri
from control.staging import staged, staged_folder

LARGE = 2 * RANGE_BYTES + 100
URI = S3Uri(BUCKET, "dogs")


@pytest.fixture
def s3(monkeypatch):
    with plain_s3() as running:
        for name, text in running.environment.items():
            monkeypatch.setenv(name, text)
        yield running


def download(s3, folder, thing):
    """One object into `folder`; returns its file."""
    s3.things["dogs/a.bin"] = thing
    files = {"a.bin": S3Object("dogs/a.bin", thing.num_bytes, thing.etag)}
    folder.mkdir(exist_ok=True)
    loading = Download(S3(32), BUCKET, folder, folder.parent / "partial")
    loading.run(files, lambda name: None, lambda count: None)
    return folder / "a.bin"


def stage(runs):
    """Returns the folder of the address above."""
    with staged({"train": URI}, runs):
        return staged_folder(URI, runs)


def partials(runs):
    """Where what is not whole lies."""
    folder = staged_folder(URI, runs).parent / "partial"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def largest_file(num_bytes):
    """As `ulimit -f`: the system writes up to there, and says that it was less than all."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("num_bytes", [0, 1, 1_750_000, RANGE_BYTES, RANGE_BYTES + 1, LARGE])
def test_an_object_comes_whole(s3, tmp_path, num_bytes):
    path = download(s3, tmp_path / "data", Thing(num_bytes=num_bytes))
    assert path.read_bytes() == bytes(num_bytes)
    assert list((tmp_path / "partial").iterdir()) == []


@pytest.mark.parametrize(
    ("num_bytes", "more", "amount"),
    [(1_750_000, -1, "fewer"), (1_750_000, 5, "more"), (LARGE, -1, "fewer")],
)
def test_a_body_of_another_length_is_refused(s3, tmp_path, num_bytes, more, amount):
    with pytest.raises(HostError, match=f"came with {amount} bytes than S3 lists"):
        download(s3, tmp_path / "data", Thing(num_bytes=num_bytes, more_bytes=more))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_server_that_ignores_ranges_is_noticed(s3, tmp_path):
    with pytest.raises(HostError, match="asked for, and the server sent the whole object"):
        download(s3, tmp_path / "data", Thing(num_bytes=LARGE, knows_ranges=False))
    assert list((tmp_path / "data").iterdir()) == []


def test_a_write_that_is_cut_short_is_noticed(s3, tmp_path):
    with (
        largest_file(1_500_000),
        pytest.raises(HostError, match="raise the limit on file sizes"),
    ):
        download(s3, tmp_path / "data", Thing(num_bytes=1_750_000))
    assert list((tmp_path / "data").iterdir()) == []
    path = download(s3, tmp_path / "data", Thing(num_bytes=1_750_000))
    assert path.stat().st_size == 1_750_000


def test_marks_without_their_bytes_are_not_believed(s3, tmp_path):
    item = S3Object("dogs/a.bin", LARGE, "not-an-md5")
    (tmp_path / "partial").mkdir()
    marks = (tmp_path / "partial" / partial_name(item)).with_suffix(".marks")
    marks.write_bytes(MARK * 3)
    path = download(s3, tmp_path / "data", Thing(num_bytes=LARGE))
    assert path.read_bytes() == bytes(LARGE)
    assert path.stat().st_blocks * 512 >= LARGE  # written, no hole


def test_marks_that_cannot_be_read_are_one_line(s3, tmp_path):
    partial = tmp_path / "partial" / partial_name(S3Object("dogs/a.bin", LARGE, "not-an-md5"))
    partial.with_suffix(".marks").mkdir(parents=True)
    partial.touch()
    with pytest.raises(HostError, match=r"^cannot write .*: Is a directory"):
        download(s3, tmp_path / "data", Thing(num_bytes=LARGE))


def test_a_file_of_another_length_than_listed_is_got_again(s3, tmp_path):
    s3.things["dogs/a.jpg"] = Thing(num_bytes=1000)
    path = stage(tmp_path) / "a.jpg"
    manifest = path.parent.parent / "manifest.jsonl"
    path.write_bytes(bytes(10))
    about = path.stat()  # as an earlier version noted a file that had been cut
    manifest.write_text(f'["a.jpg", "not-an-md5", 10, {about.st_mtime_ns}]\n')
    stage(tmp_path)
    assert path.read_bytes() == bytes(1000)


def test_what_a_killed_run_got_needs_no_room_again(s3, tmp_path):
    """An object far larger than the disk, of which all but the end is there: as a hole."""
    ranges = (shutil.disk_usage(tmp_path).free + 10**10) // RANGE_BYTES
    thing = s3.things["dogs/a.bin"] = Thing(num_bytes=ranges * RANGE_BYTES + 100)
    partial = partials(tmp_path) / partial_name(S3Object("dogs/a.bin", thing.num_bytes, thing.etag))
    with partial.open("wb") as file:
        file.truncate(ranges * RANGE_BYTES)
    partial.with_suffix(".marks").write_bytes(MARK * ranges)
    assert (stage(tmp_path) / "a.bin").stat().st_size == thing.num_bytes
    assert not partial.parent.exists()


def test_what_is_of_no_object_any_more_makes_room_before_it_is_counted(s3, tmp_path):
    thing = s3.things["dogs/a.bin"] = Thing(num_bytes=10**15)
    before = S3Object("dogs/a.bin", thing.num_bytes, "an-older-etag")
    old, same = (
        partials(tmp_path) / partial_name(item)
        for item in (before, before._replace(etag=thing.etag))
    )
    for path in (old, same):
        path.write_bytes(b"a part")
        path.with_suffix(".marks").write_bytes(MARK)
    with pytest.raises(HostError, match=r"more bytes and .* free$"):
        stage(tmp_path)
    assert set(partials(tmp_path).iterdir()) == {same, same.with_suffix(".marks")}


def test_a_disk_that_takes_no_more_names_is_one_line(s3, tmp_path):
    for number in range(300):
        s3.things[f"dogs/{number:0100}.jpg"] = Thing(num_bytes=10)
    with largest_file(8000), pytest.raises(HostError, match=r"^cannot write .*: File too large"):
        stage(tmp_path)
    assert len(list(stage(tmp_path).iterdir())) == 300


@pytest.mark.parametrize("name", ["data", "partial", "manifest.jsonl"])
def test_what_lies_in_the_way_is_one_line(s3, tmp_path, name):
    s3.things["dogs/a.jpg"] = Thing(num_bytes=10)
    place = partials(tmp_path).parent
    shutil.rmtree(place / "partial")
    (place / name).mkdir() if name == "manifest.jsonl" else (place / name).touch()
    with pytest.raises(HostError, match=rf"^cannot write .*/{name}: "):
        stage(tmp_path)
