"""What a shard's end says is believed only when it fits the file."""

import dataclasses
import hashlib
import tarfile

import pytest

from contract.errors import DataError
from contract.shards import (
    BLOCK_BYTES,
    END_BYTES,
    FOOTER_NAME,
    Footer,
    Member,
    check_pack,
    index_to_bytes,
    read_shard,
    shard_name,
)

DIGEST = hashlib.sha256(b"").hexdigest()
GOOD = Member("cat/1.jpg", 0, 500, DIGEST)


def block(data):
    return data.ljust(-(-len(data) // BLOCK_BYTES) * BLOCK_BYTES, b"\0")


def write(folder, *members, index=None, **changes):
    """A shard of 1,024 zero bytes whose index says anything."""
    index = index_to_bytes(members) if index is None else index
    start = bytes(1024) + block(index)
    header = tarfile.TarInfo(FOOTER_NAME)
    header.size = BLOCK_BYTES
    footer = Footer(
        pack="a",
        number=0,
        count=1,
        pictures=len(members),
        num_bytes=len(start) + 2 * BLOCK_BYTES + END_BYTES,
        index_offset=1024,
        index_bytes=len(index),
        index_sha256=hashlib.sha256(index).hexdigest(),
    )
    footer = dataclasses.replace(footer, **changes)
    path = folder / shard_name(0, 1)
    path.write_bytes(
        start + header.tobuf(tarfile.PAX_FORMAT) + footer.to_bytes() + bytes(END_BYTES)
    )
    return path


def test_a_shard_is_read_back(tmp_path):
    path = write(tmp_path, GOOD)
    assert read_shard(path).members == (GOOD,)


@pytest.mark.parametrize(
    "member",
    [
        GOOD._replace(name="../a.jpg"),
        GOOD._replace(name="/etc/passwd"),
        GOOD._replace(name="cat//a.jpg"),
        GOOD._replace(name="a\0.jpg"),
        GOOD._replace(name="\ud800.jpg"),
        GOOD._replace(name=7),
        GOOD._replace(offset=-1),
        GOOD._replace(offset=True),
        GOOD._replace(num_bytes=1025),
        GOOD._replace(offset=1000, num_bytes=100),
        GOOD._replace(num_bytes="1"),
        GOOD._replace(sha256=None),
    ],
)
def test_a_hostile_index_is_refused(tmp_path, member):
    with pytest.raises(DataError, match="is cut or damaged"):
        read_shard(write(tmp_path, GOOD, member))


@pytest.mark.parametrize("deep", [b"[", b'{"a":', b'{"pictures": [['])
def test_an_index_of_brackets_in_brackets_is_refused(tmp_path, deep):
    with pytest.raises(DataError, match="its index cannot be read"):
        read_shard(write(tmp_path, index=deep + b"[" * 200_000))


def test_a_name_that_is_no_text_is_a_name(tmp_path):
    odd = GOOD._replace(name="cat/\udcff.jpg")
    assert read_shard(write(tmp_path, odd)).members == (odd,)


@pytest.mark.parametrize("index", [b"", b"[]", b"{", b'{"pictures": 1}', b'{"pictures": [[1]]}'])
def test_an_index_that_is_none_is_refused(tmp_path, index):
    with pytest.raises(DataError, match="its index cannot be read"):
        read_shard(write(tmp_path, index=index))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"pictures": 2}, "its index has 1 of 2 pictures"),
        ({"num_bytes": 9}, "its footer says 9"),
        ({"index_offset": 10**9}, "outside of it"),
        ({"index_sha256": DIGEST}, "checksum"),
        ({"number": -1}, "its footer cannot be read"),
        ({"count": "1"}, "its footer cannot be read"),
        ({"pack": 1}, "its footer cannot be read"),
        ({"format": 2}, "has format 2, this version reads 1"),
        ({"number": 3, "count": 4}, "give it that name again"),
    ],
)
def test_a_footer_that_does_not_fit_is_refused(tmp_path, changes, line):
    with pytest.raises(DataError, match=line):
        read_shard(write(tmp_path, GOOD, **changes))


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="names a picture twice"):
        read_shard(write(tmp_path, GOOD, GOOD))


def test_a_host_may_have_a_part_of_a_pack(tmp_path):
    footer = read_shard(write(tmp_path, GOOD)).footer
    some = {tmp_path / shard_name(2, 5): dataclasses.replace(footer, number=2, count=5)}
    check_pack(some, is_part=True)
    with pytest.raises(DataError, match=r"4 of 5 shards are missing, the first is shard-00000-of"):
        check_pack(some, is_part=False)
