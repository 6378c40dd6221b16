import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from classifier.batching import best_batch, is_long
from classifier.combining import Combiner


def picture(value: int) -> np.ndarray:
    return np.full((1, 2, 2, 3), value, np.uint8)


def test_calls_that_wait_are_computed_together_and_each_gets_its_own_rows():
    sizes, entered, go_on = [], threading.Event(), threading.Event()

    def compute(images):
        sizes.append(len(images))
        if len(sizes) == 1:
            entered.set()
            assert go_on.wait(10)
        return images[:, 0, 0, :1].astype(np.float32)

    combined = Combiner(compute, 4)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(combined, picture(0))
        assert entered.wait(10)
        others = [pool.submit(combined, picture(value)) for value in range(1, 8)]
        while len(combined._waiting) < 7:
            threading.Event().wait(0.01)
        go_on.set()
        got = [int(answer.result(10)[0, 0]) for answer in (first, *others)]
    assert got == list(range(8))
    assert sizes == [1, 4, 3]


def test_the_error_of_a_batch_reaches_its_callers_and_the_next_call_works():
    def compute(images):
        if images.max() == 9:
            raise RuntimeError("no")
        return np.zeros((len(images), 1), np.float32)

    combined = Combiner(compute, 4)
    with pytest.raises(RuntimeError, match="no"):
        combined(picture(9))
    assert combined(picture(1)).shape == (1, 1)


def test_more_pictures_than_a_batch_in_one_call_are_computed():
    combined = Combiner(lambda images: np.ones((len(images), 2), np.float32), 4)
    assert combined(np.zeros((9, 2, 2, 3), np.uint8)).shape == (9, 2)


def costs(seconds_a_call: float, seconds_a_picture: float):
    """Something that takes so long, and says so to nobody but the clock."""

    def compute(images):
        threading.Event().wait(seconds_a_call + seconds_a_picture * len(images))
        return np.zeros((len(images), 1), np.float32)

    return compute


def test_a_batch_is_taken_only_where_it_saves_time():
    example = np.zeros((1, 2, 2, 3), np.uint8)
    assert best_batch(costs(0.02, 0), costs(0.02, 0), example) == 8
    assert best_batch(costs(0, 0.01), costs(0, 0.01), example) == 1
    assert is_long(costs(0.03, 0), example)
    assert not is_long(costs(0, 0), example)
