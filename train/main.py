"""The command: read the job, run it, and say in one line why it failed if it did.

Two ways in: `python -m train` calls `run`; sagemaker-training's own `train` command calls `main`
(SAGEMAKER_TRAINING_MODULE=train.main:main, docs/decisions/0002).
"""

import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from contract.errors import HyperparameterError, InterruptedJobError, KennelError
from contract.job import TrainingJob
from contract.opt_ml import DEFAULT_BASE, OptMl, base_dir, read_job, write_failure
from contract.strict import to_bool, unquote
from contract.tuning import FIND_LR_KEY, TUNING_KEY
from train.agent_process import AgentProcess, host_agent
from train.attempt import attempt
from train.options import job_from_flags
from train.threads import limit_spinning

log = logging.getLogger("train")


def main() -> None:
    """Entry point of sagemaker-training's `train`. Raises KennelError when the job failed.

    The toolkit turns the exception into exit code 1 and keeps the failure file that we wrote.
    """
    from train.toolkit import run_user_script, user_script

    paths = OptMl(base_dir())
    if user_script(paths) is not None:
        run_user_script()
        return
    code, reason = _attempt(lambda: read_job(paths.base), paths.failure_file)
    if code == InterruptedJobError.exit_code:
        raise SystemExit(0)  # told to stop, not failed: the toolkit then writes no failure file
    if code:
        raise KennelError(reason)
    # All is saved. Local Mode sends SIGTERM to whoever is still here once the first host has ended;
    # the toolkit would take it for a failure.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def run(arguments: Sequence[str]) -> int:
    """Run a job and return its exit code.

    0 done, 2 the job is described wrongly, 143 told to stop before there was a model, 1 otherwise.

    With flags the job is what they say (`python -m train --help`); without any it is what
    SageMaker laid out below /opt/ml or SAGEMAKER_BASE_DIR.
    """
    if arguments:
        return _attempt(lambda: job_from_flags(arguments), None, arguments)[0]
    paths = OptMl(base_dir())
    code, _ = _attempt(lambda: read_job(paths.base), paths.failure_file)
    return code


def _attempt(
    read: Callable[[], TrainingJob], failure_file: Path | None, arguments: Sequence[str] = ()
) -> tuple[int, str]:
    """Read and run one job; every end passes here. Returns exit code and reason."""
    _log_to_stdout()
    where = [failure_file]

    def work() -> None:
        with hear_stop():
            job = read()
            where[0] = job.outputs.failure_file
            _run_job(job, arguments)

    ended = attempt(work)
    if ended.is_stopped:
        log.warning("stopped: %s", ended.reason)
    elif ended.code:
        _fail(ended.reason, where[0])
    return ended.code, ended.reason


def _run_job(job: TrainingJob, arguments: Sequence[str]) -> None:
    limit_spinning()
    with host_agent(job) as agent:  # before torch is loaded: that, too, is a part of the job
        _run_measured_job(job, arguments, agent)


def _run_measured_job(
    job: TrainingJob, arguments: Sequence[str], agent: AgentProcess | None
) -> None:
    if TUNING_KEY in job.hyperparameters.reserved:
        from train.tuner import run_study

        with tempfile.TemporaryDirectory(prefix="kennel-train-") as work_dir:
            run_study(job, Path(work_dir))
        return
    finds_lr = _finds_lr(job)
    from train.launch import num_processes, run_processes

    count = num_processes(job.hyperparameters.values)
    if count > 1:
        run_processes(job, arguments, count)
        return
    with tempfile.TemporaryDirectory(prefix="kennel-train-") as work_dir:
        if finds_lr:
            from train.lr_finder import run_lr_finder

            run_lr_finder(job, Path(work_dir))
            return
        from train.process import run_process  # takes seconds: torch

        # SDK Local Mode gives containers a terminal; bars belong to people at their own.
        bars = job.outputs.model_dir != OptMl(DEFAULT_BASE).model_dir
        run_process(job, Path(work_dir), bars=bars, agent=agent)


def _finds_lr(job: TrainingJob) -> bool:
    text = job.hyperparameters.reserved.get(FIND_LR_KEY, "false")
    try:
        return to_bool(unquote(text))
    except ValueError:
        raise HyperparameterError(FIND_LR_KEY, text, "true or false") from None


@contextmanager
def hear_stop() -> Iterator[None]:
    """SIGTERM and Ctrl-C raise InterruptedJobError meanwhile; the loop has a gentler way.

    As process 1 of a container a program without a handler would not hear it at all.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise InterruptedJobError("told to stop before training began")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(reason: str, failure_file: Path | None) -> None:
    log.error("failed: %s", reason)
    if failure_file is not None:
        try:
            write_failure(failure_file, reason)
        except KennelError as error:
            log.error("the reason could not be written to %s: %s", failure_file, error)


def _log_to_stdout() -> None:
    """One handler, line by line: SageMaker's metric regexes read stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("train")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
