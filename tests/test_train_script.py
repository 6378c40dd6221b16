"""A user's script: found, launched, run, and what it said last. Containers show the rest."""

import os
import signal
import socket
import sys
import threading
import time

import pytest
from scripts import pack, write_code
from serving import free_port

from contract.errors import HostError, JobError
from train.script import Kind, Script, fetch_code, find_script
from train.script_farewell import Farewell
from train.script_hosts import ScriptHosts, await_addresses
from train.script_launch import torchrun_command, wants_torchrun
from train.script_process import last_words, run_process
from train.stop import Stop

HOSTS = ScriptHosts(names=("algo-1", "algo-2"), current="algo-2", interface="none-of-ours")


def refuse(address, folder):
    raise AssertionError(f"{address} was to be downloaded")


def script(folder, program, *arguments):
    return Script(folder=folder, program=program, arguments=arguments)


@pytest.mark.parametrize(
    ("files", "program", "kind"),
    [
        (("mine.py",), "mine.py", Kind.PROGRAM),
        (("mine.py", "setup.py"), "mine.py", Kind.PACKAGE),
        (("mine.sh", "setup.py"), "mine.sh", Kind.COMMAND),
        (("mine",), "mine", Kind.COMMAND),
    ],
)
def test_files_decide_what_an_entry_point_is(tmp_path, files, program, kind):
    write_code(tmp_path, dict.fromkeys(files, ""))
    assert find_script(tmp_path, program, ()).kind is kind


def test_a_module_of_a_package_is_run_by_its_dotted_name(tmp_path):
    write_code(tmp_path, {"setup.py": "", "mine/__main__.py": "", "mine/go.py": ""})
    assert find_script(tmp_path, "mine", ()).target == ["-m", "mine"]
    assert find_script(tmp_path, "mine/go.py", ()).target == ["-m", "mine.go"]


def test_a_path_of_another_machine_counts_by_its_last_part(tmp_path):
    write_code(tmp_path, {"mine.py": ""})
    assert find_script(tmp_path, "/home/someone/mine.py", ()).program == "mine.py"


@pytest.mark.parametrize("form", ["folder", "file://", "archive"])
def test_code_is_brought_from_folders_and_archives(tmp_path, form):
    code = write_code(tmp_path / "mine", {"mine.py": "", "more/data.txt": "x"})
    source = pack(code, tmp_path / "sourcedir.tar.gz") if form == "archive" else code
    prefix = form if form == "file://" else ""
    fetch_code(tmp_path / "code", "mine.py", f"{prefix}{source}", refuse)
    assert (tmp_path / "code" / "more" / "data.txt").read_text() == "x"


def test_code_that_is_there_already_is_not_brought_again(tmp_path):
    write_code(tmp_path, {"mine.py": "kept"})
    fetch_code(tmp_path, "mine.py", "s3://bucket/sourcedir.tar.gz", refuse)
    assert (tmp_path / "mine.py").read_text() == "kept"


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_code_that_is_not_there_is_one_line(tmp_path, content):
    source = tmp_path / "sourcedir.tar.gz"
    if content:
        source.write_bytes(content)
    expected = "is no tar.gz" if content else "expected a folder or a tar.gz"
    with pytest.raises(JobError, match=f"sagemaker_submit_directory .*{expected}"):
        fetch_code(tmp_path / "code", "mine.py", str(source), refuse)


@pytest.mark.parametrize(
    "name",
    [
        "sagemaker_torch_distributed_enabled",
        "sagemaker_pytorch_ddp_enabled",
        "sagemaker_distributed_dataparallel_enabled",
    ],
)
def test_flags_of_the_sdk_mean_torchrun(name):
    assert wants_torchrun({name: True, "sagemaker_mpi_enabled": False})
    assert wants_torchrun({name: "True"})
    assert not wants_torchrun({name: "False"})


def test_launchers_that_the_image_lacks_are_refused():
    with pytest.raises(JobError, match=r"sagemaker_mpi_enabled: this image has no MPI.*torchrun"):
        wants_torchrun({"sagemaker_mpi_enabled": True, "sagemaker_torch_distributed_enabled": True})
    with pytest.raises(JobError, match="expected true or false, got 7"):
        wants_torchrun({"sagemaker_torch_distributed_enabled": 7})


def test_torchrun_is_told_the_hosts_the_rank_and_the_processes(tmp_path):
    write_code(tmp_path, {"mine.py": ""})
    found = find_script(tmp_path, "mine.py", ("--lr", "0.1"))
    words = torchrun_command(found, HOSTS, {}, num_gpus=4)
    assert " ".join(words[1:]) == (
        "-m torch.distributed.run --nnodes 2 --nproc_per_node 4 "
        "--master_addr algo-1 --master_port 7777 --node_rank 1 mine.py --lr 0.1"
    )
    asked = {"sagemaker_mpi_num_of_processes_per_host": 3}
    assert torchrun_command(found, HOSTS, asked, num_gpus=4)[6] == "3"


def test_the_first_of_the_sorted_hosts_is_the_master():
    variables = HOSTS.variables()
    assert (variables["MASTER_ADDR"], variables["MASTER_PORT"]) == ("algo-1", "7777")
    assert variables["NCCL_IB_DISABLE"] == "1"
    assert not {"NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"} & variables.keys()


def test_an_interface_that_exists_is_named_for_gloo_and_nccl():
    (_, interface), *_ = socket.if_nameindex()
    hosts = ScriptHosts(names=("localhost",), current="localhost", interface=interface)
    variables = hosts.variables()
    assert variables["GLOO_SOCKET_IFNAME"] == variables["NCCL_SOCKET_IFNAME"] == interface


def test_a_single_host_without_an_address_is_its_own_master():
    hosts = ScriptHosts(names=("x.invalid",), current="x.invalid", interface="eth0")
    assert hosts.variables()["MASTER_ADDR"] == "127.0.0.1"


def test_a_host_that_never_gets_an_address_is_named():
    with pytest.raises(HostError, match=r"^host x.invalid got no address within 0\.2 s"):
        await_addresses(("localhost", "x.invalid"), seconds=0.2)


TRACEBACK = """epoch 1
Traceback (most recent call last):
  File "mine.py", line 3, in <module>
    load()
mine.errors.DataError: no pictures in /opt/ml/input
"""


def test_the_scripts_error_comes_first_among_its_last_words():
    words = last_words(TRACEBACK, 1000)
    assert words.startswith("mine.errors.DataError: no pictures")
    assert "line 3" in words
    assert len(last_words(TRACEBACK, 20)) <= 20


def test_the_error_of_a_rank_counts_and_not_the_launchers():
    lines = [f"[rank1]: {line}" for line in TRACEBACK.splitlines()]
    noise = (
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n==== mine.py FAILED"
    )
    assert last_words("\n".join([*lines, noise]), 500).startswith("[rank1]: mine.errors.DataError")


def test_without_an_error_the_last_lines_are_the_last_words():
    assert last_words("one\n\ntwo\nthree\n", 9) == "two\nthree"


def test_both_outputs_come_in_order_and_the_code_is_a_shells(tmp_path, capfdbinary):
    source = "import os, sys; print('a', flush=True); print('b', file=sys.stderr); os.abort()"
    ended = run_process([sys.executable, "-c", source], tmp_path, os.environ)
    assert (ended.code, ended.tail.split()) == (128 + signal.SIGABRT, ["a", "b"])
    assert not ended.was_stopped


def test_a_program_that_cannot_be_started_is_one_line(tmp_path):
    with pytest.raises(JobError, match="/none/such cannot be started: No such file"):
        run_process(["/none/such"], tmp_path, os.environ)


def test_a_single_host_waits_for_nobody():
    farewell = Farewell("algo-1", ())
    with farewell.listening():
        farewell.wait(Stop())


def test_hosts_leave_together():
    names = ("127.0.0.1", "127.0.0.2")
    port = free_port()
    farewells = [Farewell(a, (b,), port, a) for a, b in (names, names[::-1])]
    left = []

    def leave(farewell):
        farewell.wait(Stop())
        left.append(farewell)

    early, late = (threading.Thread(target=leave, args=(farewell,)) for farewell in farewells)
    with farewells[0].listening(), farewells[1].listening():
        early.start()
        time.sleep(0.5)
        assert not left
        late.start()
        for thread in (early, late):
            thread.join(10)
    assert set(left) == set(farewells)
