"""What a job finds of an earlier one, and what it must never take for its own."""

import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from kinds import encode
from PIL import Image
from training import CPU, REPOSITORY, WAIT_SECONDS, job_for

from classifier.preprocess import decode_resized
from contract.hyperparameters import parse_hyperparameters
from train.cache import Cache, digest_of
from train.channels import read_data
from train.data import Split
from train.features import compute_features
from train.frozen import FrozenTrunk, Speeds
from train.head_learner import HeadLearner
from train.memo import Memo
from train.network_learner import NetworkLearner
from train.picture_cache import KeptDecode
from train.progress import Progress
from train.start import start_network
from train.views import Views


@pytest.fixture
def data(pictures, tmp_path):
    """A copy of the pictures that may be written to."""
    return shutil.copytree(pictures, tmp_path / "data")


def starting(data, tmp_path, **changes):
    job = job_for(data, tmp_path / "out", **changes)
    found = read_data(job, tmp_path / "work")
    return start_network(job, found.labels, tmp_path / "work"), found


class Trunk:
    """Counts the pictures that a trunk computes, without the blanks that fill a batch."""

    def __init__(self, trunk):
        self._trunk, self._counts = trunk, []  # a list: several threads call

    def __getattr__(self, name):
        return getattr(self._trunk, name)

    @property
    def num_images(self):
        return sum(self._counts)

    def __call__(self, images):
        self._counts.append(int(images.any(axis=(1, 2, 3)).sum()))
        return self._trunk(images)


def computed(data, tmp_path, *, start=None, **changes):
    """How many views of the train pictures went through the trunk, and their features."""
    own, found = starting(data, tmp_path, **changes)
    start = start or own
    frozen = FrozenTrunk(start, CPU, Cache(tmp_path / "cache"))
    views = Views(start.values, start.preprocess)
    source = frozen.source(views, len(found.train))
    counting = Trunk(source.trunk)
    table = compute_features(
        replace(source, trunk=counting),
        found.train,
        CPU,
        max_unreadable=0.5,
        on_picture=lambda count: None,
    )
    return counting.num_images, table.views_VND


def test_a_second_job_computes_nothing_and_has_the_same_bits(data, tmp_path):
    first, cold = computed(data, tmp_path)
    second, warm = computed(data, tmp_path)
    assert (first, second) == (36, 0)
    assert torch.equal(cold, warm)


def test_one_changed_pixel_is_another_picture(data, tmp_path):
    _, before = computed(data, tmp_path)
    path = sorted((data / "train" / "bars").glob("*.png"))[2]
    pixels = np.array(Image.open(path))
    pixels[20, 24, 1] ^= 255
    path.write_bytes(encode(Image.fromarray(pixels), "PNG"))
    count, after = computed(data, tmp_path)
    assert count == 1
    assert int((before != after).any(dim=2).sum()) == 1


def test_a_moved_or_renamed_picture_is_the_same_picture(data, tmp_path):
    computed(data, tmp_path)
    path = next((data / "train" / "bars").iterdir())
    path.rename(data / "train" / "disc" / f"moved{path.suffix}")
    assert computed(data, tmp_path)[0] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": "40"},
        {"seed": "1"},  # of random weights
        {"arch": "resnet18"},
        {"views": "2"},
        {"augment": "crop"},
    ],
)
def test_what_the_features_depend_on_is_in_the_key(data, tmp_path, changes):
    computed(data, tmp_path)
    count, _ = computed(data, tmp_path, **changes)
    assert count == 36 * {"views": 2, "augment": 4}.get(next(iter(changes)), 1)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"seed": "5"}, False),
        ({"augment": "crop_color"}, False),
        ({"randaugment": "3"}, False),
        ({"random_erasing": "0.5"}, False),
        ({"lr": "0.1", "batch_size": "4"}, True),
    ],
)
def test_random_views_are_found_again_by_all_that_draws_them(data, tmp_path, changes, same):
    given = {"augment": "crop", "views": "2"}
    start, _ = starting(data, tmp_path, **given)
    computed(data, tmp_path, start=start)
    raw = {name.replace("_", "-"): text for name, text in {**given, **changes}.items()}
    other = parse_hyperparameters({"image-size": "32", "arch": "squeezenet1_1", **raw}).values
    count, _ = computed(data, tmp_path, start=replace(start, values=other), **given)
    assert count == (0 if same else 72)


@pytest.mark.parametrize("part", ["weight", "statistics", "normalisation"])
def test_a_changed_weight_is_another_trunk(data, tmp_path, part):
    changes = {"arch": "resnet18"}
    start, _ = starting(data, tmp_path, **changes)
    computed(data, tmp_path, start=start, **changes)
    network = start.network
    tensor = {
        "weight": network.trunk.conv1.weight,
        "statistics": network.trunk.bn1.running_var,
        "normalisation": network.mean,
    }[part]
    with torch.no_grad():
        tensor[(0,) * tensor.ndim] += 1e-3
    assert computed(data, tmp_path, start=start, **changes)[0] == 36


def test_an_unreadable_picture_is_tried_again_in_every_job(data, tmp_path):
    path = sorted((data / "train" / "bars").glob("*.png"))[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert computed(data, tmp_path)[0] == 35
    assert computed(data, tmp_path)[1].shape[1] == 35
    path.write_bytes(whole)
    count, table = computed(data, tmp_path)
    assert (count, table.shape[1]) == (1, 36)


def test_a_damaged_cache_is_computed_anew(data, tmp_path):
    _, before = computed(data, tmp_path)
    for path in (tmp_path / "cache").glob("features/*/*"):
        path.write_bytes(path.read_bytes()[:-7])
    count, after = computed(data, tmp_path)
    assert count == 36
    assert torch.equal(before, after)


@pytest.mark.parametrize("changes", [{}, {"augment": "crop"}, {"quantize": "int8"}])
def test_a_job_learns_the_same_with_a_cache_and_without(data, tmp_path, changes):
    """Without, then into an empty one, then from it."""
    finished = []
    for cache in (Cache(None), Cache(tmp_path / "cache"), Cache(tmp_path / "cache")):
        start, found = starting(data, tmp_path, unfreeze="none", **changes)
        learner = HeadLearner(start, found, CPU, Progress(enabled=False), memo=Memo(cache))
        finished.append(learner.task)
        assert learner.unreadable == []
    for task in finished[1:]:
        for left, right in zip(task.batches.of_epoch(1), finished[0].batches.of_epoch(1),
                               strict=True):  # fmt: skip
            assert torch.equal(left.inputs, right.inputs)
        assert torch.equal(task.module.weight, finished[0].module.weight)


def test_whole_pictures_are_decoded_once_for_all_seeds(data, tmp_path):
    paths = sorted((data / "train").glob("*/*"))
    decoded = []

    def decode(content):
        decoded.append(content)
        return decode_resized(content, 37)

    rows = []
    for _ in range(2):
        kept = KeptDecode(Cache(tmp_path / "cache"), decode, 37, len(paths))
        rows.append([kept(path.read_bytes()) for path in paths])
        kept.finish()
    assert len(decoded) == len(paths)
    assert all(np.array_equal(left, right) for left, right in zip(*rows, strict=True))
    assert all(picture.flags.writeable for picture in rows[1])
    other = KeptDecode(Cache(tmp_path / "cache"), decode, 38, len(paths))
    other(paths[0].read_bytes())
    other.finish()
    assert len(decoded) == len(paths) + 1


def test_pictures_that_would_push_one_another_out_are_not_written(tmp_path):
    content = encode(Image.new("RGB", (300, 300)), "PNG")
    for limit, is_written in ((10**6, False), (10**9, True)):
        cache = Cache(tmp_path / str(limit), limit)
        kept = KeptDecode(cache, lambda data: decode_resized(data, 300), 300, 100)
        kept(content)
        kept.finish()
        assert any((tmp_path / str(limit)).glob("*/*/*")) == is_written


def test_fine_tuning_finds_its_pictures_decoded(data, tmp_path):
    batches = []
    for _ in range(2):
        start, found = starting(data, tmp_path, unfreeze="all", augment="crop")
        memo = Memo(Cache(tmp_path / "cache"))
        learner = NetworkLearner(start, found, CPU, Progress(enabled=False), memo=memo)
        batches.append(list(learner.task.batches.of_epoch(1)))
    assert any((tmp_path / "cache").glob("pictures/*/*"))
    for left, right in zip(*batches, strict=True):
        assert torch.equal(left.inputs, right.inputs)


def test_rows_join_those_that_another_process_has_written(data, tmp_path):
    """Two processes share the pictures of a split by the folder alone."""
    start, found = starting(data, tmp_path)
    halves = found.train.pictures[::2], found.train.pictures[1::2]
    for half in halves:
        frozen = FrozenTrunk(start, CPU, Cache(tmp_path / "cache"))
        source = frozen.source(None, len(half))
        split = Split(name="train", pictures=half)
        compute_features(source, split, CPU, max_unreadable=0, on_picture=lambda count: None)
    assert computed(data, tmp_path)[0] == 0


def test_a_measured_speed_is_believed_for_a_day(tmp_path):
    days = [0.0]
    cache, key = Cache(tmp_path), {"chip": "a"}
    speeds = Speeds(cache, key, lambda: days[0] * 86_400)
    assert speeds.get("int8") is None
    speeds.put("int8", 90.5)
    assert Speeds(cache, key, lambda: 80_000.0).get("int8") == 90.5
    days[0] = 1.5
    assert speeds.get("int8") is None
    speeds.put("int8", 70.0)
    assert Speeds(Cache(tmp_path), key, lambda: 2.4 * 86_400).get("int8") == 70.0


SHARER = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_train_cache_features import computed
from train.cache import digest_of
_, table = computed(Path(sys.argv[1]), Path(sys.argv[2]), augment="crop")
print(digest_of(table.numpy().tobytes()).hex())
"""


def test_two_processes_at_once_share_a_cache(data, tmp_path):
    command = [sys.executable, "-c", SHARER, str(data), str(tmp_path)]
    both = [
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=WAIT_SECONDS)[0].strip() for process in both]
    count, table = computed(data, tmp_path, augment="crop")
    assert count == 0
    assert said == [digest_of(table.numpy().tobytes()).hex()] * 2
