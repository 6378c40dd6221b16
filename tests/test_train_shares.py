"""Which process reads which picture."""

from pathlib import Path

import numpy as np
import pytest

from train.data import Picture
from train.found import Found, FoundSplit, pool
from train.group import Group
from train.shares import Shares
from train.world import World


def pictures(*hosts):
    return [
        Picture(path=Path(f"{number}.png"), class_index=0, host=host)
        for number, host in enumerate(hosts)
    ]


def every_share(chosen, held, *, num_hosts=2, local_size=1):
    """The places of `chosen` that each process takes."""
    names = tuple(f"algo-{number}" for number in range(1, num_hosts + 1))
    worlds = [
        World(hosts=names, host_index=host, local_rank=local, local_size=local_size)
        for host in range(num_hosts)
        for local in range(local_size)
    ]
    return [Shares(held, Group(world)).of_step(chosen).tolist() for world in worlds]


@pytest.mark.parametrize(("num_hosts", "local_size"), [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_a_step_is_dealt_out_evenly_and_nothing_twice(num_hosts, local_size, size):
    chosen = np.random.default_rng(0).permutation(100)[:size]
    shares = every_share(
        chosen, pictures(*[None] * 100), num_hosts=num_hosts, local_size=local_size
    )
    assert sorted(place for share in shares for place in share) == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_pictures_of_one_host_are_read_there():
    held = pictures(0, 1, 1, 0, 1, None)
    assert every_share(np.arange(5), held) == [[0, 3], [1, 2, 4]]
    assert every_share(np.array([4, 0, 1]), held) == [[1], [0, 2]]
    both = every_share(np.arange(6), held)
    assert sorted(both[0] + both[1]) == list(range(6))


def test_the_processes_of_a_host_divide_what_lies_there():
    shares = every_share(np.arange(8), pictures(*[0] * 4, *[1] * 4), local_size=2)
    assert shares == [[0, 2], [1, 3], [4, 6], [5, 7]]


def found(*entries, root="/data"):
    split = FoundSplit(root=Path(root), source=Path(root), entries=entries)
    return Found(splits={"train": split}, notes=("seen",))


A, B, C = ("a", "a/1.png"), ("a", "a/2.png"), ("b", "b/1.png")


def test_what_lies_on_every_host_belongs_to_none():
    pooled = pool([found(A, B), found(A, B, root="/other")], ours=1)["train"]
    assert pooled.entries == ((*A, None), (*B, None))
    assert pooled.root == Path("/other")
    assert pooled.counts == ()


def test_shards_are_joined_and_what_two_hosts_hold_counts_once():
    pooled = pool([found(A, B), found(B, C), found(C)], ours=0)["train"]
    assert set(pooled.entries) == {(*A, 0), (*B, 0), (*C, 1)}
    assert pooled.counts == (2, 2, 1)


def test_a_picture_that_is_listed_twice_stays_so():
    assert pool([found(A, A)], ours=0)["train"].entries == ((*A, None), (*A, None))
    assert len(pool([found(A, A), found(C)], ours=0)["train"].entries) == 3


def test_what_a_host_found_survives_the_way_to_another():
    name = ("a", "a/\udce4.png")  # a file name that is not UTF-8
    assert Found.of_json(found(A, name).to_json()) == found(A, name)
