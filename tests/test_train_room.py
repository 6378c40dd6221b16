import os

import pytest
from training import CPU

from train.crew import Crew
from train.room import Room
from train.world import SHARERS

GB = 1_000_000_000


@pytest.mark.parametrize("sharers", [1, 2, 7])
def test_steps_that_fit_into_a_room_fit_into_every_room_of_its_size(sharers):
    total = 80 * GB
    rooms = [Room.of_gpu(free, total, sharers) for free in range(0, total, GB // 10)]
    for room in rooms:
        least = min(one.limit_bytes for one in rooms if one.size == room.size)
        left_free = 0.1 * total / sharers
        assert room.limit_bytes <= least + left_free


def test_workers_that_share_a_gpu_take_no_more_than_it_has():
    total = 24 * GB
    alone, shared = (Room.of_gpu(total, total, sharers) for sharers in (1, 3))
    assert alone.limit_bytes == pytest.approx(0.9 * total)
    assert 3 * shared.limit_bytes < 0.9 * total
    assert (alone.size, alone.sharers) != (shared.size, shared.sharers)


def test_a_gpu_that_somebody_else_has_filled_is_another_room():
    sizes = [Room.of_gpu(free * GB, 80 * GB, 1).size for free in (79, 78, 40, 0)]
    assert sizes[0] == sizes[1] > sizes[2] > sizes[3] == 0


def test_workers_on_a_cpu_share_its_memory():
    assert Room.of_host(10 * GB, 1).limit_bytes == 4 * Room.of_host(10 * GB, 4).limit_bytes
    room = Room.of(CPU, {SHARERS: "4"})
    assert (room.sharers, room.limit_bytes > 0) == (4, True)


def test_a_worker_hears_how_many_share_its_device(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    crew = Crew(3, {}, tmp_path)
    try:
        crew.fill(3)
        told = [_environment(hand.process.pid) for hand in crew.hands]
    finally:
        crew.end()
    assert [one[SHARERS] for one in told] == ["2", "1", "2"]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in told] == ["0", "1", "0"]


def _environment(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        pairs = [os.fsdecode(item).partition("=") for item in file.read().split(b"\0") if item]
    return {name: text for name, _, text in pairs}
