"""Script mode on two hosts: who waits for whom, and what their scripts compute together."""

import pytest
from containers import build_images
from scripts import HOSTS, started, two_hosts, write_code, write_opt_ml

pytestmark = pytest.mark.container


@pytest.fixture(scope="module", autouse=True)
def _images():
    build_images()


def test_waiting_for_a_host_is_told_in_one_line_and_sigterm_is_heard(tmp_path):
    hyperparameters = {"sagemaker_program": "mine.py"}
    base = write_opt_ml(tmp_path / "ml", hyperparameters, hosts=("localhost", "x.invalid"))
    config = base / "input" / "config" / "resourceconfig.json"
    config.write_text(config.read_text().replace("algo-1", "localhost"))
    write_code(base / "code", {"mine.py": "print('never')"})
    with started(base) as running:
        line = "waiting for the address of host x.invalid, for 900 s at most"
        running.wait_until(lambda: line in running.log(), "it does not say what it waits for")
        assert running.stop() == 0, running.log()
        assert "never" not in running.log()
    assert not (base / "output" / "failure").exists()


# What AWS's scripts do without a launcher: ranks from SM_HOSTS, the rest from the environment.
TOGETHER = """
    import json, os, time
    import torch, torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    hosts = json.loads(os.environ["SM_HOSTS"])
    if "RANK" not in os.environ:
        os.environ["RANK"] = str(hosts.index(os.environ["SM_CURRENT_HOST"]))
        os.environ["WORLD_SIZE"] = str(len(hosts))
    assert os.environ["MASTER_ADDR"] == "algo-1" and os.environ["MASTER_PORT"] == "7777"
    assert "GLOO_SOCKET_IFNAME" not in os.environ  # there is no ethwe
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    number = torch.tensor([rank + 1.0])
    dist.all_reduce(number)
    word = torch.tensor([7.0 if rank == 0 else 0.0])
    dist.broadcast(word, 0)
    torch.manual_seed(rank)
    model = DistributedDataParallel(torch.nn.Linear(2, 1))
    model(torch.full((4, 2), rank + 1.0)).sum().backward()
    gradient = model.module.weight.grad[0, 0].item()
    print("result", number.item(), word.item(), gradient, flush=True)
    if rank == 0:
        time.sleep(2)  # the other one is done long before
        torch.save(model.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
    dist.destroy_process_group()
"""


@pytest.mark.parametrize(
    ("order", "flags"),
    [
        (HOSTS, {}),
        (HOSTS[::-1], {}),
        (HOSTS[::-1], {"sagemaker_torch_distributed_enabled": "true"}),
    ],
    ids=["leader first", "leader last", "torchrun"],
)
def test_two_hosts_compute_together_and_the_leader_saves(tmp_path, order, flags):
    with two_hosts(tmp_path, {"mine.py": TOGETHER}, order, **flags) as running:
        for host in HOSTS:
            assert running[host].wait() == 0, running[host].log()
            # 1 + 2; from rank 0; the mean of 4 x 1 and 4 x 2
            assert running[host].log().count("result 3.0 7.0 6.0") == 1
            assert (tmp_path / host / "output" / "success").exists()
    assert (tmp_path / "algo-1" / "model" / "model.pth").exists()
    assert not list((tmp_path / "algo-2" / "model").iterdir())


def test_no_host_leaves_before_the_others_have_saved(tmp_path):
    source = """
        import os, time
        if os.environ["SM_CURRENT_HOST"] == "algo-1":
            time.sleep(8)
        print("my end", flush=True)
    """
    with two_hosts(tmp_path, {"mine.py": source}) as running:
        early, late = running["algo-2"], running["algo-1"]
        early.wait_until(lambda: "done here; waiting for algo-1" in early.log(), "it does not wait")
        assert "my end" not in late.log()
        assert [early.wait(), late.wait()] == [0, 0]


def test_a_host_that_fails_is_not_waited_for(tmp_path):
    source = """
        import os, time
        if os.environ["SM_CURRENT_HOST"] == "algo-1":
            time.sleep(8)
            raise SystemExit("broken")
    """
    with two_hosts(tmp_path, {"mine.py": source}) as running:
        assert running["algo-1"].wait() == 1
        assert running["algo-2"].wait() == 0, running["algo-2"].log()
    assert "broken" in (tmp_path / "algo-1" / "output" / "failure").read_text()
