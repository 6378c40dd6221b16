import errno
import threading

import pytest

from contract.errors import BundleError, RequestError
from contract.manifest import MANIFEST_NAME
from serve.memory import (
    BUNDLE_BYTES,
    GPU_BUNDLE_BYTES,
    GPU_HEADROOM_BYTES,
    GPU_PROCESS_BYTES,
    GPU_WEIGHTS_FACTOR,
    HEADROOM_BYTES,
    MIB,
    PROCESS_BYTES,
    TORCH_BYTES,
    WEIGHTS_FACTOR,
    MemoryBudget,
    Need,
    bundle_need,
    give_back,
    gpu_free_bytes,
    is_out_of_memory,
    process_need,
)


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def hold(budget, name, mib):
    with budget.room_for(name, Need(host=mib * MIB)):
        pass


def refused(budget, name, mib):
    with pytest.raises(RequestError) as caught, budget.room_for(name, Need(host=mib * MIB)):
        pass
    return caught.value


def test_a_model_larger_than_the_free_memory_is_507_with_both_sizes():
    budget = MemoryBudget(0, lambda: HEADROOM_BYTES + 100 * MIB)
    hold(budget, "fits", 100)
    error = refused(budget, "large", 101)
    assert error.status == 507
    assert "needs about 101 MiB and this container has 100 MiB" in error.message


def test_headroom_for_requests_is_never_given_away():
    assert refused(MemoryBudget(0, lambda: HEADROOM_BYTES), "small", 1).status == 507


def test_models_that_load_at_the_same_time_do_not_take_the_same_memory():
    budget = MemoryBudget(0, lambda: HEADROOM_BYTES + 100 * MIB)
    with budget.room_for("first", Need(host=60 * MIB)):
        refused(budget, "second", 60)
    hold(budget, "second", 60)  # the first is loaded: what it took shows in the free memory


def test_the_operators_budget_is_for_all_models_together():
    budget = MemoryBudget(100 * MIB, lambda: 1 << 40)
    hold(budget, "a", 60)
    assert "KENNEL_MODELS_MEMORY leaves 40 MiB" in refused(budget, "b", 41).message
    hold(budget, "b", 40)
    budget.release("a")
    hold(budget, "c", 60)


def test_a_load_that_fails_holds_nothing():
    budget = MemoryBudget(100 * MIB, lambda: 1 << 40)
    with pytest.raises(BundleError), budget.room_for("a", Need(host=100 * MIB)):
        raise BundleError("damaged")
    hold(budget, "a", 100)


def test_many_loads_at_once_never_exceed_the_budget():
    budget = MemoryBudget(10 * MIB, lambda: 1 << 40)
    admitted = []

    def load(name):
        try:
            hold(budget, name, 1)
        except RequestError:
            return
        admitted.append(name)

    threads = [threading.Thread(target=load, args=(str(number),)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(admitted) == 10


def test_a_bundle_is_estimated_by_its_weights_and_a_program_by_all_its_files(tmp_path):
    for name, mib in (("model.bin", 3), ("model.safetensors", 4), ("model.tar.gz", 50)):
        (tmp_path / name).write_bytes(bytes(mib * MIB))
    bundle = int(WEIGHTS_FACTOR * 4 * MIB) + BUNDLE_BYTES
    program = int(WEIGHTS_FACTOR * 7 * MIB) + PROCESS_BYTES + TORCH_BYTES
    on_gpu = int(GPU_WEIGHTS_FACTOR * 4 * MIB) + GPU_BUNDLE_BYTES
    assert bundle_need(tmp_path) == Need(host=bundle, gpu=on_gpu)
    assert process_need(tmp_path).host == program
    (tmp_path / MANIFEST_NAME).touch()
    with_bundle = Need(host=bundle + PROCESS_BYTES, gpu=on_gpu + GPU_PROCESS_BYTES)
    assert process_need(tmp_path) == with_bundle


def on_gpu(name, mib):
    """A model that takes nothing of the host."""
    return name, Need(host=0, gpu=mib * MIB)


def test_a_model_larger_than_what_the_gpu_has_left_is_507():
    left = GPU_HEADROOM_BYTES + 100 * MIB
    budget = MemoryBudget(0, lambda: 1 << 40, lambda: left)
    with (
        budget.room_for(*on_gpu("first", 60)),
        pytest.raises(RequestError) as caught,
        budget.room_for(*on_gpu("second", 60)),
    ):
        pass
    assert caught.value.status == 507
    assert "needs about 60 MiB and the GPU has 40 MiB" in caught.value.message
    with budget.room_for(*on_gpu("second", 60)):  # the first shows in what is left by now
        pass


def test_without_a_gpu_its_memory_is_no_limit():
    with MemoryBudget(0, lambda: 1 << 40, lambda: None).room_for(*on_gpu("any", 1 << 20)):
        pass


@pytest.mark.gpu
def test_what_the_gpu_has_left_shrinks_by_what_a_model_takes():
    import torch

    before = gpu_free_bytes()
    taken = torch.zeros(256 * MIB, dtype=torch.uint8, device="cuda")
    assert 240 * MIB < before - gpu_free_bytes() < 300 * MIB
    del taken
    give_back()
    assert abs(before - gpu_free_bytes()) < 32 * MIB


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (caused(BundleError("model_fn failed"), MemoryError()), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory is only a text here"), False),
        (None, False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_freed_memory_goes_back_to_the_machine():
    pieces = [bytes(1000) for _ in range(100_000)]  # small enough for malloc's heap
    keep = pieces[::5000]
    full = resident_bytes()
    del pieces
    give_back()
    assert full - resident_bytes() > 60 * MIB
    assert len(keep) == 20
