"""sagemaker-training: its `train`, and users' own scripts. The only file that imports it.

The toolkit reads the job, downloads from S3 and writes the files `success` and `failure`. The
script itself is started by us: the toolkit lets no SIGTERM through to it, joins its arguments for a
shell, and waits for hosts in silence (CONTRACT A.10).
"""

import logging
import os
import signal
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contract.errors import InterruptedJobError, JobError, KennelError
from contract.files import read_json
from contract.opt_ml import FAILURE_CHARACTERS, OptMl, base_dir
from contract.strict import unquote
from train.script import Kind, Script, fetch_code, find_script
from train.script_farewell import Farewell
from train.script_hosts import ScriptHosts, await_addresses
from train.script_launch import torchrun_command, wants_torchrun
from train.script_packages import REQUIREMENTS, install_packages
from train.script_process import Ended, last_words, run_process
from train.stop import Stop

log = logging.getLogger(__name__)

_COMMAND_CHARACTERS = 200  # of the failure text; the rest belongs to the script's last words


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptJob:
    """What the toolkit has read of a job with a script."""

    arguments: tuple[str, ...]  # hyperparameters as flags
    variables: dict[str, str]  # SM_*
    flags: dict[str, Any]  # sagemaker_*, decoded
    hosts: ScriptHosts  # all of the job
    team: ScriptHosts  # those that a distribution flag is for
    code_dir: Path
    num_gpus: int


def user_script(paths: OptMl) -> str | None:
    """The user's entry point, from SAGEMAKER_PROGRAM or the hyperparameter, or None."""
    return os.environ.get("SAGEMAKER_PROGRAM") or _hyperparameter(paths, "sagemaker_program")


def run_user_script() -> None:
    """Run it as AWS's framework containers do: code, packages, hosts, script.

    Raises the toolkit's ClientError, which its `train` reports, and SystemExit(0) when the job
    was told to stop: that is no failure, and no success either.
    """
    from sagemaker_training import errors

    paths = OptMl(base_dir())
    program = user_script(paths)
    assert program is not None
    try:
        job = _read_script_job()
        farewell = Farewell(job.hosts.current, job.hosts.others)
        with farewell.listening(), tempfile.TemporaryDirectory(prefix="kennel-script-") as work_dir:
            _run(job, program, _source(paths), Path(work_dir))
            stop = Stop()
            with stop.on_signals():
                farewell.wait(stop)
    except InterruptedJobError as error:
        log.warning("script  stopped: %s", error)
        raise SystemExit(0) from None
    except KennelError as error:
        raise errors.ClientError(str(error)) from error
    # Nothing is left to stop: the toolkit writes its file and ends.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _run(job: ScriptJob, program: str, source: str | None, work_dir: Path) -> None:
    is_torchrun = wants_torchrun(job.flags)
    fetch_code(job.code_dir, program, source, _download)
    script = find_script(job.code_dir, program, job.arguments)
    command = (
        torchrun_command(script, job.team, job.flags, job.num_gpus)
        if is_torchrun
        else script.command()
    )
    places = install_packages(script, work_dir, _package_index(script))
    if job.hosts.others and os.environ.get("SM_STUDIO_LOCAL_MODE", "").lower() != "true":
        await_addresses(job.hosts.names)
    variables = _variables(job, script, places)
    log.info("script  %s, in %s", " ".join(command), script.folder)
    ended = run_process(
        command, script.folder, variables, is_shell=script.kind is Kind.COMMAND and not is_torchrun
    )
    # torchrun ends with 1 after SIGTERM, however well its processes ended.
    if ended.gave_up or (ended.was_stopped and is_torchrun and ended.code):
        raise InterruptedJobError("the script ended at the signal to stop")
    if ended.code:
        raise _script_failure(ended, command)


def _variables(job: ScriptJob, script: Script, places: tuple[Path, ...]) -> dict[str, str]:
    """The script's environment: ours, less what would hide the script's own folder from it."""
    ours = {name: text for name, text in os.environ.items() if name != "PYTHONSAFEPATH"}
    path = [str(script.folder), *map(str, places)]
    if ours.get("PYTHONPATH"):
        path.append(ours["PYTHONPATH"])
    return {
        **job.hosts.variables(),
        **ours,
        **job.variables,
        "SM_HOSTS": job.hosts.names_as_json(),
        "PYTHONPATH": os.pathsep.join(path),
        # Our packages are called `train` and `contract`: a user's may be, too.
        "KENNEL_HIDDEN": "1",
    }


def _script_failure(ended: Ended, command: list[str]) -> Exception:
    """The toolkit's own error, no longer than what SageMaker keeps of it."""
    from sagemaker_training import errors

    told, info = " ".join(command)[:_COMMAND_CHARACTERS], None
    if ended.code > 128:
        name = _signal_name(ended.code - 128)
        info = f"killed by {name}"
        if name == "SIGKILL":
            info = "OutOfMemory: Process killed by SIGKILL (signal 9): take a larger instance"
    empty = str(errors.ExecuteUserScriptError(told, ended.code, "", info))
    words = last_words(ended.tail, FAILURE_CHARACTERS - len(empty))
    failure: Exception = errors.ExecuteUserScriptError(told, ended.code, words, info)
    return failure


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read_script_job() -> ScriptJob:
    # Imported here: importing the toolkit's environment creates folders below /opt/ml.
    from sagemaker_training import environment

    env = environment.Environment()
    in_team = env.current_instance_group in env.distribution_instance_groups
    for folder in (env.model_dir, env.output_data_dir, env.output_intermediate_dir):
        Path(folder).mkdir(parents=True, exist_ok=True)
    hosts = ScriptHosts(
        names=tuple(sorted(env.hosts)),
        current=env.current_host,
        interface=env.network_interface_name,
    )
    return ScriptJob(
        arguments=tuple(env.to_cmd_args()),
        variables=env.to_env_vars(),
        flags=env.additional_framework_parameters if in_team else {},
        hosts=hosts,
        team=replace(hosts, names=tuple(sorted(env.distribution_hosts))) if in_team else hosts,
        code_dir=Path(environment.code_dir),
        num_gpus=env.num_gpus,
    )


def _source(paths: OptMl) -> str | None:
    """Where the code comes from, or None: it is in the image.

    AWS's toolkit reads the variable and forgets it; people set it all the same.
    """
    given = _hyperparameter(paths, "sagemaker_submit_directory")
    if not given:
        given = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY")
    if given:
        return given
    channel = paths.data_dir / "code"
    archive = channel / "sourcedir.tar.gz"
    return next((str(path) for path in (archive, channel) if path.exists()), None)


def _hyperparameter(paths: OptMl, name: str) -> str | None:
    path = paths.config_dir / "hyperparameters.json"
    given = read_json(path, JobError) if path.exists() else {}
    return unquote(str(given[name])) if given.get(name) else None


def _download(address: str, folder: Path) -> None:
    from sagemaker_training import files

    # The errors of the toolkit's own client, which this room does not import.
    aws = files.boto3.session.botocore.exceptions
    try:
        files.download_and_extract(address, str(folder))
    except (aws.BotoCoreError, aws.ClientError, OSError, ValueError) as error:
        raise JobError(
            f"sagemaker_submit_directory {address} cannot be fetched: {error}"
        ) from error


def _package_index(script: Script) -> str | None:
    """CodeArtifact, where CA_REPOSITORY_ARN names a repository; its address holds a password."""
    if not os.environ.get("CA_REPOSITORY_ARN") or not (script.folder / REQUIREMENTS).is_file():
        return None
    from sagemaker_training import modules

    return str(modules._get_codeartifact_index())


def run_toolkit() -> None:
    """The toolkit's `train` command, which calls SAGEMAKER_TRAINING_MODULE. Does not return."""
    from sagemaker_training.cli.train import main

    sys.argv[:] = ["train"]
    main()
