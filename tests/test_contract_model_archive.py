import io
import tarfile

import pytest

from contract.errors import BundleError, HostError
from contract.model_archive import unpack_model


def pack(path, *members):
    """An archive of (name, content or the kind of a special member)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes) and len(content) == 1:
                member.type, member.linkname = content, "/etc/hostname"
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def test_files_and_folders_come_out_as_they_went_in(tmp_path):
    archive = pack(
        tmp_path / "m.tar.gz",
        ("./bundle.json", b"{}"),
        ("code", tarfile.DIRTYPE),
        ("code/lib/a.py", b"A = 1"),
    )
    unpack_model(archive, tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*")}
    assert found == {"bundle.json", "code", "code/lib", "code/lib/a.py"}
    assert (tmp_path / "out/code/lib/a.py").read_bytes() == b"A = 1"


@pytest.mark.parametrize(
    "member",
    [
        ("../escaped", b"hi"),
        ("/etc/escaped", b"hi"),
        ("a/../../escaped", b"hi"),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("pipe", tarfile.FIFOTYPE),
        ("device", tarfile.CHRTYPE),
    ],
)
def test_a_member_that_leads_elsewhere_is_refused_and_nothing_stays(tmp_path, member):
    archive = pack(tmp_path / "m.tar.gz", ("good", b"good"), member)
    with pytest.raises(BundleError, match="cannot be unpacked"):
        unpack_model(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["m.tar.gz"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00junk"])
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "m.tar.gz").write_bytes(content)
    with pytest.raises(BundleError):
        unpack_model(tmp_path / "m.tar.gz", tmp_path / "out")


def test_an_archive_cut_short_is_refused(tmp_path):
    archive = pack(tmp_path / "m.tar.gz", ("a", bytes(range(256)) * 4000))
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(BundleError):
        unpack_model(archive, tmp_path / "out")


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path):
    archive = pack(tmp_path / "m.tar.gz", ("zeros", bytes(3_000_000)), ("more", bytes(3_000_000)))
    unpack_model(archive, tmp_path / "small", ratio_from_bytes=6_000_000)
    with pytest.raises(BundleError, match="over 100 times its size"):
        unpack_model(archive, tmp_path / "out", ratio_from_bytes=5_000_000)
    assert not (tmp_path / "out").exists()


def test_an_archive_that_is_not_there_is_the_machines_fault(tmp_path):
    with pytest.raises(HostError):
        unpack_model(tmp_path / "m.tar.gz", tmp_path / "out")
