from functools import partial

import numpy as np
import pytest
import torch
from training import tiny_run

from classifier.preprocess import decode_picture
from train.batches import FeatureBatches, Order

TARGETS = np.array([0] * 20 + [1] * 3 + [2] * 10)


def order(**changes):
    return Order(**{"targets": TARGETS, "batch_size": 8, "seed": 0, **changes})


def test_an_epoch_visits_every_picture_once_in_its_own_order():
    first, second = order().of_epoch(1), order().of_epoch(2)
    assert sorted(first) == sorted(second) == list(range(len(TARGETS)))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, order().of_epoch(1))
    assert not np.array_equal(first, order(seed=1).of_epoch(1))


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(8, [8, 8, 8, 9]), (11, [11, 11, 11]), (31, [31, 2]), (32, [33]), (100, [33]), (1, [1] * 33)],
)
def test_the_steps_of_an_epoch_cover_it_and_leave_no_picture_alone(batch_size, sizes):
    """Batch norm cannot learn from a batch of one."""
    parts = order(batch_size=batch_size)
    visits = parts.of_epoch(1)
    steps = [parts.of_step(visits, step) for step in range(parts.steps_per_epoch)]
    assert [len(step) for step in steps] == sizes
    assert np.array_equal(np.concatenate(steps), visits)
    features = FeatureBatches(torch.zeros(1, 33, 2), parts)
    assert [len(batch.targets) for batch in features.of_epoch(1)] == sizes


def test_the_sampler_draws_classes_evenly():
    even = order(even_classes=True)
    drawn = np.concatenate([TARGETS[even.of_epoch(epoch)] for epoch in range(100)])
    shares = np.bincount(drawn) / len(drawn)
    # 3,300 draws: three standard deviations of a share are 0.025.
    assert shares == pytest.approx([1 / 3] * 3, abs=0.025)
    assert len(even.of_epoch(1)) == len(TARGETS)


def test_the_sampler_skips_a_class_without_pictures():
    even = order(targets=np.array([0, 0, 2]), even_classes=True)
    assert set(even.of_epoch(1)) <= {0, 1, 2}


def same(left, right):
    pairs = list(zip(left, right, strict=True))
    return bool(pairs) and all(
        torch.equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True)
    )


def test_feature_batches_continue_in_the_middle_of_an_epoch():
    views = torch.arange(2 * 33 * 4).reshape(2, 33, 4).float()
    batches = FeatureBatches(views, order())
    whole = list(batches.of_epoch(3))
    assert same(whole[2:], batches.of_epoch(3, 2))
    assert not same(whole, batches.of_epoch(4))


def test_feature_batches_show_each_picture_by_one_of_its_views():
    views = torch.stack([torch.arange(33.0), torch.arange(33.0) + 100])[..., None]
    features = torch.cat([batch.inputs for batch in FeatureBatches(views, order()).of_epoch(1)])
    assert sorted((features % 100).flatten().tolist()) == list(range(33))
    assert 5 < int((features >= 100).sum()) < 28


@pytest.mark.parametrize("augment", ["none", "crop_color_transform"])
def test_the_number_of_worker_processes_changes_no_bit(pictures, tmp_path, augment):
    epochs = []
    for workers in ("0", "2"):
        run = tiny_run(
            pictures,
            tmp_path,
            unfreeze="all",
            augment=augment,
            num_workers=workers,
            randaugment="9",
        )
        batches = run.learner.task.batches
        assert batches._num_workers == int(workers)
        epochs.append(list(batches.of_epoch(1)))
    assert same(*epochs)
    inputs, targets, *_ = epochs[0][0]
    assert (inputs.shape, inputs.dtype) == ((8, 32, 32, 3), torch.uint8)
    assert targets.dtype == torch.int64


def test_picture_batches_continue_in_the_middle_of_an_epoch(pictures, tmp_path):
    batches = tiny_run(pictures, tmp_path, unfreeze="all", augment="crop").learner.task.batches
    whole = list(batches.of_epoch(2))
    assert same(whole[3:], batches.of_epoch(2, 3))
    assert not same(whole, batches.of_epoch(1))


def test_pictures_come_with_the_classes_of_their_folders(pictures, tmp_path):
    run = tiny_run(pictures, tmp_path, unfreeze="all")
    task = run.learner.task
    decode = partial(decode_picture, preprocess=run.start.preprocess)
    by_pixels = {
        decode(picture.path.read_bytes()).tobytes(): picture.class_index
        for picture in run.data.train.pictures
    }
    for inputs, targets, *_ in task.batches.of_epoch(1):
        found = [by_pixels[pixels.numpy().tobytes()] for pixels in inputs]
        assert found == targets.tolist()


def test_an_epoch_that_was_left_early_disturbs_none_that_follows(pictures, tmp_path):
    """The same worker processes go on: what they had prepared for it must not come later."""
    epochs = {}
    for workers in ("0", "2"):
        run = tiny_run(pictures, tmp_path, unfreeze="all", augment="crop", num_workers=workers)
        batches = run.learner.task.batches
        left = batches.of_epoch(1)
        first = [next(left), next(left)]
        left.close()
        epochs[workers] = [*first, *batches.of_epoch(2, 1), *batches.of_epoch(1)]
    assert same(epochs["0"], epochs["2"])
