"""Launch of a user's script: plainly once a host, or by torchrun, as the SDK's flags say."""

import sys
from collections.abc import Mapping
from typing import Any

from contract.errors import JobError
from contract.strict import to_bool
from train.script import Kind, Script
from train.script_hosts import MASTER_PORT, ScriptHosts

# What `distribution=` of the SDK becomes (CONTRACT A.9.2). The second pair is AWS's own library
# for the same pattern: a script that does not import it runs as well by torchrun.
TORCHRUN_FLAGS = (
    "sagemaker_torch_distributed_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_distributed_dataparallel_enabled",
)
REFUSED_FLAGS = {
    "sagemaker_mpi_enabled": "MPI, which needs ssh and mpirun",
    "sagemaker_pytorch_xla_multi_worker_enabled": "PyTorch/XLA",
    "sagemaker_parameter_server_enabled": "TensorFlow's parameter server",
    "sagemaker_multi_worker_mirrored_strategy_enabled": "TensorFlow's workers",
}
PROCESSES_FLAG = "sagemaker_mpi_num_of_processes_per_host"


def wants_torchrun(flags: Mapping[str, Any]) -> bool:
    """True when a flag asks for it. Raises JobError for what this image does not have."""
    for name, what in REFUSED_FLAGS.items():
        if _is_on(flags, name):
            raise JobError(
                f"{name}: this image has no {what}; use distribution={{'torch_distributed': "
                "{'enabled': True}} (torchrun), or none: the script then runs once on every host"
            )
    return any(_is_on(flags, name) for name in TORCHRUN_FLAGS)


def torchrun_command(
    script: Script, hosts: ScriptHosts, flags: Mapping[str, Any], num_gpus: int
) -> list[str]:
    """torchrun on this host, one process a GPU, or one. Raises JobError: it starts Python only."""
    if script.kind is Kind.COMMAND:
        raise JobError(
            f"entry point {script.program!r}: torchrun starts Python files and modules, not "
            "commands; send a .py file, or leave `distribution` out"
        )
    try:
        num_processes = int(flags.get(PROCESSES_FLAG) or num_gpus or 1)
    except (TypeError, ValueError):
        raise JobError(
            f"{PROCESSES_FLAG}: expected a number, got {flags[PROCESSES_FLAG]!r}"
        ) from None
    words = [sys.executable, "-m", "torch.distributed.run"]
    words += ["--nnodes", str(len(hosts.names)), "--nproc_per_node", str(num_processes)]
    if hosts.others:
        words += ["--master_addr", hosts.names[0], "--master_port", MASTER_PORT]
        words += ["--node_rank", str(hosts.rank)]
    return [*words, *script.target, *script.arguments]


def _is_on(flags: Mapping[str, Any], name: str) -> bool:
    """The SDK sends `true`, and people who write hyperparameters by hand `True`."""
    try:
        return to_bool(str(flags.get(name, False)))
    except ValueError:
        raise JobError(f"{name}: expected true or false, got {flags[name]!r}") from None
