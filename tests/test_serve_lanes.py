import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from contract.errors import ImageError, RequestError
from serve.lanes import Lanes, Work


def work(batch_size: int = 1, seen: list | None = None, gate: threading.Event | None = None):
    """Sources are numbers, and the answer is the number; a negative one cannot be decoded."""

    def decode(source):
        if source < 0:
            raise ImageError("damaged")
        return np.full((2, 2, 3), source, np.uint8)

    def compute(images):
        if seen is not None:
            seen.append(len(images))
        if gate is not None:
            assert gate.wait(10)
        return images[:, 0, 0, :1].astype(np.float32)

    return Work(decode=decode, compute=compute, batch_size=batch_size)


def wait_until(happened):
    for _ in range(1000):
        if happened():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it does not happen")


def test_rows_come_in_the_order_of_the_pictures():
    lanes = Lanes(3, 100, 10)
    assert lanes.run(work(), list(range(50)))[:, 0].tolist() == list(range(50))


def test_pictures_that_wait_are_computed_in_batches_and_a_lone_one_at_once():
    seen, gate = [], threading.Event()
    lanes, model = Lanes(1, 100, 10), work(4, seen, gate)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(lanes.run, model, [0])
        wait_until(lambda: seen == [1])
        others = [pool.submit(lanes.run, model, [value]) for value in range(1, 7)]
        wait_until(lambda: len(lanes._waiting) == 6)
        gate.set()
        assert {int(item.result(10)[0, 0]) for item in (first, *others)} == set(range(7))
    assert seen == [1, 4, 2]


def test_pictures_of_two_models_are_never_in_one_batch():
    one, two, gate = [], [], threading.Event()
    lanes, blocked = Lanes(1, 100, 10), work(gate=gate)
    models = work(8, one), work(8, two)
    with ThreadPoolExecutor(9) as pool:
        begun = pool.submit(lanes.run, blocked, [0])
        futures = [pool.submit(lanes.run, models[value % 2], [value]) for value in range(6)]
        wait_until(lambda: len(lanes._waiting) >= 6)
        gate.set()
        begun.result(10)
        assert [int(item.result(10)[0, 0]) for item in futures] == list(range(6))
    assert (sum(one), sum(two)) == (3, 3)


def test_the_queue_is_bounded_and_says_when_to_come_again():
    gate = threading.Event()
    lanes, model = Lanes(1, 3, 10), work(gate=gate)
    with ThreadPoolExecutor(9) as pool:
        futures = [pool.submit(lanes.run, model, [1])]
        wait_until(lambda: lanes._threads and not lanes._waiting)
        futures += [pool.submit(lanes.run, model, [1]) for _ in range(3)]
        wait_until(lambda: len(lanes._waiting) == 3)
        with pytest.raises(RequestError) as caught:
            lanes.run(model, [1])
        gate.set()
        assert [item.result(10).shape for item in futures] == [(1, 1)] * 4
    assert (caught.value.status, caught.value.retry_after_seconds) == (503, 1)


def test_who_waits_too_long_is_told_and_not_computed_any_more():
    seen, gate = [], threading.Event()
    lanes, model = Lanes(1, 10, 0.2), work(1, seen, gate)
    with ThreadPoolExecutor(2) as pool:
        begun = pool.submit(lanes.run, model, [1])
        wait_until(lambda: seen == [1])
        with pytest.raises(RequestError, match="busy with earlier requests"):
            lanes.run(model, [2])
        gate.set()
        with pytest.raises(RequestError):
            begun.result(10)
    assert lanes.run(model, [3])[0, 0] == 3
    assert seen == [1, 1]


def test_a_damaged_picture_is_named_and_harms_no_other():
    lanes, model = Lanes(2, 100, 10), work(4)
    with pytest.raises(ImageError, match="picture 2 of 3: damaged"):
        lanes.run(model, [1, -1, 2])
    with pytest.raises(ImageError, match=r"^damaged"):
        lanes.run(model, [-1])
    assert lanes.run(model, [1, 2]).shape == (2, 1)


def test_a_failing_network_fails_its_batch_and_the_lane_lives_on():
    def broken(_images):
        raise RuntimeError("CUDA error: gone")

    lanes = Lanes(1, 100, 10)
    with pytest.raises(RuntimeError, match="CUDA error"):
        lanes.run(Work(decode=work().decode, compute=broken), [1])
    assert lanes.run(work(), [7])[0, 0] == 7
