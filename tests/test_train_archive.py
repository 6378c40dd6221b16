import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from contract.errors import DataError
from train.archive import ArchiveLimits, archive_stem, is_archive, unpack


def make_tar(path: Path, *members: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as opened:
        for member in members:
            opened.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0):
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


def make_zip(path: Path, *names: str, data: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in names:
            opened.writestr(name, data)
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_of_any_compression_unpacks(tmp_path, mode):
    archive = make_tar(tmp_path / "a.tar", tar_member("a/b.jpg", size=3000), mode=mode)
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/a/b.jpg").stat().st_size == 3000


def test_a_zip_unpacks_also_with_windows_separators(tmp_path):
    archive = make_zip(tmp_path / "a.zip", "a/1.jpg", "a\\2.jpg", "./b/", "c\\")
    unpack(archive, tmp_path / "out")
    assert files_below(tmp_path / "out") == ["a/1.jpg", "a/2.jpg"]


def test_content_decides_not_the_name(tmp_path):
    unpack(make_zip(tmp_path / "wrong.tar.gz", "a.jpg"), tmp_path / "out")
    assert files_below(tmp_path / "out") == ["a.jpg"]


def test_a_tar_that_ends_with_a_zip_is_still_a_tar(tmp_path):
    inner = make_zip(tmp_path / "inner.zip", "hidden.jpg")
    with tarfile.open(tmp_path / "a.tar", "w") as opened:
        opened.add(inner, "inner.zip")
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert files_below(tmp_path / "out") == ["inner.zip"]


@pytest.mark.parametrize(
    "name", ["../x.jpg", "a/../../x.jpg", "/x.jpg", "C:\\x.jpg", "C:x", "..\\x.jpg", "\\\\h\\x"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_escapes_is_refused_and_nothing_is_left(tmp_path, name, kind):
    if kind == "zip":
        archive = make_zip(tmp_path / "a.zip", "good.jpg", name)
    else:
        archive = make_tar(tmp_path / "a.tar", tar_member("good.jpg"), tar_member(name))
    before = files_below(tmp_path)
    with pytest.raises(DataError, match="would land outside") as caught:
        unpack(archive, tmp_path / "work" / "out")
    assert repr(name) in str(caught.value)
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    archive = make_tar(tmp_path / "a.tar", tar_member("odd", kind, "/etc/passwd"))
    with pytest.raises(DataError, match="'odd' is a link or a device"):
        unpack(archive, tmp_path / "out")


def test_a_symlink_in_a_zip_is_refused(tmp_path):
    member = zipfile.ZipInfo("odd")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="'odd' is a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_zip_bomb_is_refused_before_anything_is_written(tmp_path):
    archive = make_zip(tmp_path / "bomb.zip", "a", data=bytes(5_000_000))
    with pytest.raises(DataError, match="looks like a zip bomb"):
        unpack(archive, tmp_path / "out", ArchiveLimits(ratio_from_bytes=1_000_000))


def test_a_compressed_tar_bomb_is_refused_on_the_way(tmp_path):
    archive = make_tar(tmp_path / "b.tgz", tar_member("a", size=5_000_000), mode="w:gz")
    with pytest.raises(DataError, match="looks like a zip bomb"):
        unpack(archive, tmp_path / "out", ArchiveLimits(ratio_from_bytes=1_000_000))


def test_a_zip_whose_directory_lies_about_sizes_writes_no_more_than_the_limit(tmp_path):
    archive = make_zip(tmp_path / "liar.zip", "a", data=bytes(3_000_000))
    data = archive.read_bytes().replace(
        (3_000_000).to_bytes(4, "little"), (9).to_bytes(4, "little")
    )
    archive.write_bytes(data)
    with pytest.raises(DataError):
        unpack(archive, tmp_path / "out", ArchiveLimits(max_bytes=2_000_000))
    assert not (tmp_path / "out").exists()


def test_limits_on_bytes_and_members_are_kept(tmp_path):
    archive = make_zip(tmp_path / "a.zip", "a", "b", "c", data=b"12345")
    with pytest.raises(DataError, match="more than 2 members"):
        unpack(archive, tmp_path / "out", ArchiveLimits(max_members=2))
    with pytest.raises(DataError, match="more than 14 bytes"):
        unpack(archive, tmp_path / "out", ArchiveLimits(max_bytes=14))
    unpack(archive, tmp_path / "out", ArchiveLimits(max_members=3, max_bytes=15))


def test_an_encrypted_zip_is_refused_with_a_remedy(tmp_path):
    archive = make_zip(tmp_path / "a.zip", "a.jpg")
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # general purpose flags of the central directory
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"'a\.jpg' is encrypted"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "noise", "empty"])
def test_damage_is_one_clear_error(tmp_path, kind):
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        make_zip(archive, "a.jpg", data=bytes(range(256)) * 40)
    elif kind.startswith("tar"):
        members = [tar_member(f"{i}.jpg", size=30_000) for i in range(3)]
        make_tar(archive, *members, mode="w:gz" if kind == "tar.gz" else "w")
    else:
        archive.write_bytes(b"not an archive" * 100 if kind == "noise" else b"")
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=r"damaged"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_also_a_folder_is_the_archives_fault(tmp_path):
    with pytest.raises(DataError, match="cannot unpack"):
        unpack(make_zip(tmp_path / "a.zip", "a", "a/b"), tmp_path / "out")


def test_archives_are_known_by_their_endings():
    assert [is_archive(Path(name)) for name in ("a.ZIP", "a.tar.gz", "a.tgz", "a.gz", "tar")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert archive_stem(Path("x/dogs.v2.TAR.GZ")) == "dogs.v2"
