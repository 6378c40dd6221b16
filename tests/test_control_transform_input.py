"""Where pictures are found, and in which order."""

import os
from collections import Counter

import pytest

from contract.channel_files import PICTURE_SUFFIXES
from contract.errors import ImageError, UsageError
from control.transform_input import find_input
from control.transform_plan import read_plan, write_plan

ODD = [b"sp ace.jpg", b"line\nbreak.png", "\u00fcn\u00efcode \u72ac.webp".encode(), b"raw\xff.gif"]


def put(folder, *names):
    for name in names:
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"content of " + name)


def names_of(source, **options):
    return list(find_input(str(source), 1, **options).names())


def test_a_tree_is_walked_in_order_and_only_pictures_are_taken(tmp_path):
    put(
        tmp_path,
        b"b.jpg",
        b"a.PNG",
        b"z/deep/1.webp",
        b"m/2.jpeg",
        b"notes.txt",
        b"x.csv",
        b"LICENSE",
    )
    put(tmp_path, b".hidden.jpg", b".git/3.jpg")
    pictures = find_input(str(tmp_path), 1)
    assert list(pictures.names()) == [b"a.PNG", b"b.jpg", b"m/2.jpeg", b"z/deep/1.webp"]
    assert pictures.left_out == Counter({".txt": 1, ".csv": 1, "no suffix": 1})


def test_what_training_takes_as_a_picture_is_sent_too(tmp_path):
    put(tmp_path, *(f"a{suffix}".encode() for suffix in PICTURE_SUFFIXES))
    assert len(names_of(tmp_path)) == len(PICTURE_SUFFIXES)


def test_any_name_is_found_read_and_kept(tmp_path):
    put(tmp_path, *ODD)
    pictures = find_input(str(tmp_path), 1)
    assert sorted(pictures.names()) == sorted(ODD)
    assert [pictures.read(name) for name in ODD] == [b"content of " + name for name in ODD]
    counts = list(write_plan(tmp_path / "plan", pictures.names()))
    assert counts == [len(ODD)]
    assert sorted(read_plan(tmp_path / "plan")) == sorted(ODD)


def test_links_are_followed_but_no_folder_is_entered_twice(tmp_path):
    put(tmp_path / "real", b"a.jpg")
    put(tmp_path / "in", b"b.jpg")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "c.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    assert names_of(tmp_path / "in") == [b"b.jpg", b"c.jpg", b"linked/a.jpg"]


def test_the_result_is_not_part_of_the_input(tmp_path):
    put(tmp_path, b"a.jpg", b"out/b.jpg")
    assert names_of(tmp_path, without=tmp_path / "out") == [b"a.jpg"]


def test_a_list_names_pictures_beside_it_or_anywhere(tmp_path):
    put(tmp_path, b"photos/a.jpg", b"b")
    elsewhere = os.fsencode(tmp_path / "photos" / "a.jpg")
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfphotos/a.jpg\r\n\nb\n" + elsewhere)
    pictures = find_input(str(tmp_path / "list.txt"), 1)
    assert list(pictures.names()) == [b"photos/a.jpg", b"b", elsewhere]
    assert pictures.read(b"b") == b"content of b"
    assert pictures.read(elsewhere) == b"content of photos/a.jpg"


def test_one_picture_is_an_input_too(tmp_path):
    put(tmp_path, b"dog.jpg")
    assert names_of(tmp_path / "dog.jpg") == [b"dog.jpg"]


def test_what_cannot_be_read_is_one_pictures_error(tmp_path):
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(101 * 1024 * 1024)
    pictures = find_input(str(tmp_path), 1)
    told = {}
    for name in pictures.names():
        with pytest.raises(ImageError) as caught:
            pictures.read(name)
        told[name] = str(caught.value)
    assert told[b"broken.jpg"] == "it cannot be read: No such file or directory"
    assert told[b"pipe.jpg"] == "it is not a file"
    assert "the limit is 104,857,600" in told[b"huge.jpg"]


def test_an_input_that_is_not_there_is_impossible(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        find_input(str(tmp_path / "nowhere"), 1)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '["a.jpg"]', '[{"prefix": 7}]', '[{"prefix": "s3://b/"}, 7]']
)
def test_a_manifest_that_is_none_says_what_one_is(tmp_path, text):
    (tmp_path / "list.manifest").write_text(text)
    with pytest.raises(UsageError, match="is no manifest: expected"):
        find_input(str(tmp_path / "list.manifest"), 1)


def test_a_list_in_another_encoding_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is the list UTF-8 text"):
        list(write_plan(tmp_path / "plan", iter(["a.jpg".encode("utf-16-le")])))


def test_a_plan_is_read_from_any_name_on_whatever_its_size(tmp_path):
    names = [b"%d/" % number + b"n" * (number % 200) for number in range(30_000)]
    assert list(write_plan(tmp_path / "plan", iter(names))) == [10_000, 20_000, 30_000, 30_000]
    assert list(read_plan(tmp_path / "plan")) == names
    offset = sum(len(name) + 1 for name in names[:17_000])
    assert list(read_plan(tmp_path / "plan", offset)) == names[17_000:]
