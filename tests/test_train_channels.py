import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from contract.errors import ChannelError, DataError, HyperparameterError
from contract.hyperparameters import parse_hyperparameters
from contract.job import Channel, Outputs, TrainingJob
from train.channels import read_data
from train.data import JobData, Split

# The reader goes by names; nothing here opens a picture, so one byte does for each.


def put(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def read(tmp_path: Path, hyperparameters: dict[str, str] | None = None, **folders: Path) -> JobData:
    out = tmp_path / "out"
    job = TrainingJob(
        name="pets",
        hyperparameters=parse_hyperparameters(hyperparameters or {}),
        channels={name: Channel(name=name, path=path) for name, path in folders.items()},
        outputs=Outputs(model_dir=out, data_dir=out, failure_file=out, checkpoint_dir=None),
    )
    return read_data(job, tmp_path / "work")


def names(split: Split | None) -> list[tuple[int, str]]:
    assert split is not None
    return [(picture.class_index, picture.path.name) for picture in split.pictures]


PETS = ("cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg")


def test_three_channels_share_the_labels_of_train(tmp_path):
    train = put(tmp_path / "train", *PETS)
    validation = put(tmp_path / "validation", "cat/5.jpg", "dog/6.jpg")
    data = read(tmp_path, train=train, validation=validation, test=put(tmp_path / "t", "dog/7.jpg"))
    assert data.labels.names == ("cat", "dog")
    assert names(data.validation) == [(0, "5.jpg"), (1, "6.jpg")]
    assert names(data.test) == [(1, "7.jpg")]
    assert not data.held_out
    assert data.notes == ("test: no pictures of cat",)


@pytest.mark.parametrize("wrapper", ["", "dogImages/"])
@pytest.mark.parametrize("valid", ["valid", "val", "validation"])
def test_one_channel_may_hold_all_splits(tmp_path, wrapper, valid):
    root = put(tmp_path / "all", *(f"{wrapper}train/{name}" for name in PETS))
    put(root, f"{wrapper}{valid}/cat/5.jpg", f"{wrapper}test/dog/6.jpg")
    data = read(tmp_path, train=root)
    assert (len(data.train), names(data.validation), names(data.test)) == (
        4,
        [(0, "5.jpg")],
        [(1, "6.jpg")],
    )


def test_the_whole_data_set_may_be_given_as_every_channel(tmp_path):
    root = put(tmp_path / "all", *(f"train/{name}" for name in PETS), "valid/cat/5.jpg")
    data = read(tmp_path, train=root, validation=root)
    assert names(data.validation) == [(0, "5.jpg")]
    assert any("its own channel is read" in note for note in data.notes)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tgz"])
def test_an_archive_of_the_splits_is_unpacked(tmp_path, ending):
    tree = put(tmp_path / "tree", *(f"pets/train/{name}" for name in PETS), "pets/val/cat/5.jpg")
    archive = tmp_path / "channel" / f"pets.{ending}"
    archive.parent.mkdir()
    if ending == "zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for path in tree.rglob("*.jpg"):
                opened.write(path, path.relative_to(tree))
    else:
        with tarfile.open(archive, "w:gz" if ending != "tar" else "w") as opened:
            opened.add(tree / "pets", "pets")
    data = read(tmp_path, train=archive.parent)
    assert (len(data.train), len(data.validation)) == (4, 1)
    assert all(picture.path.is_file() for picture in data.train.pictures)


def test_one_archive_a_split_is_told_by_its_name(tmp_path):
    channel = tmp_path / "channel"
    channel.mkdir()
    for split, members in (("train", PETS), ("valid", ("dog/5.jpg",))):
        with zipfile.ZipFile(channel / f"{split}.zip", "w") as opened:
            for member in members:
                opened.writestr(f"{split}/{member}", b"x")
    data = read(tmp_path, train=channel)
    assert (len(data.train), names(data.validation)) == (4, [(1, "5.jpg")])


def test_an_archive_inside_an_archive_is_not_unpacked(tmp_path):
    channel = tmp_path / "channel"
    channel.mkdir()
    with zipfile.ZipFile(channel / "r.zip", "w") as opened:
        opened.writestr("r.zip", b"PK\x05\x06" + bytes(18))
    with pytest.raises(ChannelError, match=r"found 1 \.zip files"):
        read(tmp_path, train=channel)


def test_pictures_in_subfolders_and_all_endings_are_found_in_order(tmp_path):
    train = put(tmp_path / "train", "b/z.JPG", "b/deep/er/a.webp", "a/1.jp2", "a/0.avif", "a/x.txt")
    put(tmp_path / "validation", "a/1.png", "b/1.png")
    data = read(tmp_path, train=train, validation=tmp_path / "validation")
    assert names(data.train) == [(0, "0.avif"), (0, "1.jp2"), (1, "a.webp"), (1, "z.JPG")]
    assert data.notes == ("train: files outside of classes or not pictures: 1 .txt",)


def test_what_tools_leave_behind_is_ignored_silently(tmp_path):
    train = put(tmp_path / "train", *PETS, "_SUCCESS", ".DS_Store", "cat/._1.jpg", "train-manifest")
    put(train, "__MACOSX/cat/._1.jpg", ".git/x/1.jpg", "cat_$folder$", "lost+found/1.jpg")
    data = read(tmp_path, train=train, validation=put(tmp_path / "v", *PETS))
    assert (data.labels.names, len(data.train), data.notes) == (("cat", "dog"), 4, ())


def test_a_class_may_be_called_train(tmp_path):
    data = read(tmp_path, train=put(tmp_path / "c", "train/a.jpg", "train/b.jpg", "bus/c.jpg"))
    assert data.labels.names == ("bus", "train")


def test_accents_match_whichever_way_an_archiver_wrote_them(tmp_path):
    train = put(tmp_path / "train", "ca\u0302n/1.jpg", "b/1.jpg")
    data = read(tmp_path, train=train, validation=put(tmp_path / "v", "c\u00e2n/1.jpg", "b/1.jpg"))
    assert data.labels.names == ("b", "c\u00e2n")


def test_a_class_that_train_lacks_is_refused_by_name(tmp_path):
    train, test = put(tmp_path / "train", *PETS), put(tmp_path / "test", "cat/1.jpg", "emu/1.jpg")
    with pytest.raises(DataError, match=r"channel 'test' .*classes that train lacks: emu;"):
        read(tmp_path, train=train, test=test)


def test_without_validation_a_share_of_every_class_is_held_out(tmp_path):
    train = put(tmp_path / "train", *(f"{c}/{i}.jpg" for c in "ab" for i in range(10)))
    data = read(tmp_path, {"validation-split": "0.3"}, train=train)
    assert data.held_out
    assert [index for index, _ in names(data.validation)] == [0] * 3 + [1] * 3
    assert not {p.path for p in data.train.pictures} & {p.path for p in data.validation.pictures}
    assert data.notes == ("no validation channel: 6 of 20 pictures are held out",)


def test_a_nested_test_folder_of_loose_pictures_is_noted_and_left(tmp_path):
    root = put(tmp_path / "all", *(f"train/{name}" for name in PETS), "test/1.jpg")
    data = read(tmp_path, train=root)
    assert data.test is None
    assert "train: test/ holds no class folders: it is not read" in data.notes


def test_a_validation_channel_of_one_class_is_not_taken_for_a_wrapper(tmp_path):
    validation = put(tmp_path / "validation", "cat/indoors/1.jpg", "cat/outdoors/2.jpg")
    data = read(tmp_path, train=put(tmp_path / "train", *PETS), validation=validation)
    assert names(data.validation) == [(0, "1.jpg"), (0, "2.jpg")]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((), "found nothing"),
        (("1.jpg", "2.jpg"), "found 2 pictures outside of class folders"),
        (("cat/notes.txt",), r"found folders without pictures \(cat\)"),
        (("labels.csv",), r"found 1 \.csv files"),
    ],
)
def test_an_unreadable_channel_says_what_is_accepted_and_what_was_found(tmp_path, files, found):
    channel = put(tmp_path / "channel", *files)
    channel.mkdir(exist_ok=True)
    with pytest.raises(ChannelError, match=rf"channel 'train' .*class folders.*zip.*{found}"):
        read(tmp_path, train=channel)


def test_a_missing_train_channel_names_those_given(tmp_path):
    with pytest.raises(
        ChannelError, match=r"'train' is missing \(channels given: validation; looked for .*train\)"
    ):
        read(tmp_path, validation=put(tmp_path / "v", *PETS))


def test_splits_without_train_are_not_taken_for_classes(tmp_path):
    root = put(tmp_path / "all", "valid/cat/1.jpg", "test/cat/2.jpg")
    with pytest.raises(ChannelError, match="expected class folders in train/ beside test, valid"):
        read(tmp_path, train=root)


def test_one_class_is_refused(tmp_path):
    with pytest.raises(DataError, match="at least two classes, got only 'cat'"):
        read(tmp_path, train=put(tmp_path / "train", "cat/1.jpg"))


def test_num_classes_must_agree_with_the_train_channel(tmp_path):
    train = put(tmp_path / "train", *PETS)
    assert len(read(tmp_path, {"num_classes": "2"}, train=train).labels) == 2
    with pytest.raises(HyperparameterError, match="expected 2, the classes"):
        read(tmp_path, {"num_classes": "133"}, train=train)


def test_the_channel_itself_may_be_a_link(tmp_path):
    (tmp_path / "link").symlink_to(put(tmp_path / "real", *PETS))
    assert len(read(tmp_path, train=tmp_path / "link").train) == 2


@pytest.mark.parametrize("link", ["bird", "cat/9.jpg"])
def test_a_link_that_leaves_the_channel_is_refused(tmp_path, link):
    outside = put(tmp_path / "outside", "9.jpg")
    train = put(tmp_path / "train", *PETS)
    (train / link).symlink_to(outside / "9.jpg" if link.endswith("jpg") else outside)
    with pytest.raises(DataError, match=rf"the link .*{link} leaves the channel"):
        read(tmp_path, train=train)


def test_links_inside_the_channel_are_followed_but_not_in_circles(tmp_path):
    train = put(tmp_path / "train", *PETS)
    (train / "hound").symlink_to(train / "dog")
    assert read(tmp_path, train=train).labels.names == ("cat", "dog", "hound")
    (train / "cat" / "to").symlink_to(train / "dog")
    (train / "dog" / "to").symlink_to(train / "cat")
    with pytest.raises(DataError, match="leads in a circle"):
        read(tmp_path, train=train)


def test_a_dangling_link_is_refused(tmp_path):
    train = put(tmp_path / "train", *PETS)
    (train / "cat" / "9.jpg").symlink_to(train / "gone.jpg")
    with pytest.raises(DataError, match="leads nowhere"):
        read(tmp_path, train=train)


def test_the_dogs_are_read_whole(tmp_path):
    default = Path(__file__).parents[2] / "shared" / "data" / "dogs"
    dogs = Path(os.environ.get("KENNEL_DOGS") or default)
    if not dogs.is_dir():
        pytest.skip("the dog photographs are not here")
    data = read(tmp_path, train=dogs)
    assert data.test is not None
    assert (len(data.labels), len(data.train) + len(data.validation) + len(data.test)) == (105, 949)


def test_a_lone_folder_of_another_split_is_no_wrapper(tmp_path):
    """A host's shard may hold nothing but validation pictures: they must not be trained on."""
    for name in ("cat", "dog"):
        (tmp_path / "channel" / "valid" / name).mkdir(parents=True)
        (tmp_path / "channel" / "valid" / name / "1.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="at least two classes, got only 'valid'"):
        read(tmp_path, train=tmp_path / "channel")
