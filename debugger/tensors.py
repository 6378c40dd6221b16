"""The reader fence: the only file of this room that knows smdebug, and around what it works.

What smdebug 1.0.34 does that a reader must know:

- imported, it greets on stdout, warns about its own protobuf code, and loads torch (seconds) only
  to ask which rank it is; its logger writes to stdout and drops what it has seen three times;
- it waits for ever for collections that never come, also where nobody writes any more;
- one broken index file loses all the files that were read with it;
- a damaged record ends in whatever Python raises, a NameError of smdebug's own among them;
- `no_refresh` stays in force after an exception, and then no new step is ever seen: we look for
  new steps ourselves;
- its Rule demands an `action_str` that the documentation's own examples do not pass.

Source: smdebug 1.0.34's readers and rules.
"""

import io
import json
import logging
import struct
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from contract.errors import HostError, JobError
from contract.stand_in import stand_in
from debugger.smdebug_log import hand_over_logs

log = logging.getLogger(__name__)


@contextmanager
def _quietly() -> Iterator[None]:
    stand_in("pyinstrument_cext", "setstatprofile")  # C code of a profiler that is not used here
    hidden = [name for name in ("torch",) if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _quietly():
    from smdebug.core.access_layer.s3handler import ReadObjectRequest, S3Handler
    from smdebug.core.access_layer.utils import has_training_ended
    from smdebug.core.s3_utils import list_s3_objects
    from smdebug.core.utils import (
        get_path_to_collections,
        is_s3,
        list_collection_files_in_directory,
    )
    from smdebug.exceptions import (
        IndexReaderException,
        MissingCollectionFiles,
        NoMoreData,
        RuleEvaluationConditionMet,
        SMDebugError,
        StepUnavailable,
        TensorUnavailable,
        TensorUnavailableForStep,
    )
    from smdebug.rules.action.stop_training_action import StopTrainingAction
    from smdebug.rules.rule import Rule
    from smdebug.trials.trial import Trial
    from smdebug.trials.utils import create_trial

__all__ = ["EagerRule", "Rule", "Trial"]

Values = NDArray[Any]

# What reading one damaged record has been seen to raise, besides smdebug's own.
_DAMAGED = (struct.error, IndexError, KeyError, ValueError, NameError, OSError, DecodeError)
_NOT_THERE = (TensorUnavailable, TensorUnavailableForStep, StepUnavailable)
_FETCH_RETRIES = 5  # times 2 s, for an event file that comes later than its index


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What one worker saved of one tensor at one step."""

    has_value: bool  # and not only reductions
    reductions: frozenset[str]  # mean, abs_mean, l2, ...


def lacking(path: str) -> str:
    """Why saved tensors at `path` cannot be opened yet; empty when they can."""
    try:
        files = _collection_files(path)
    except (SMDebugError, OSError) as error:
        return f"{path} cannot be read: {_line(error)}"
    if not files:
        return f"{path} has no collections: no step was saved"
    missing = _num_workers(files[0]) - len(files)
    return f"{path}: the collections of {missing} more workers are missing" if missing > 0 else ""


def open_trial(path: str) -> Trial:
    """Open saved tensors: a local folder, or s3://bucket/prefix.

    Raises JobError: there are none, or they are damaged. Ask `lacking` first where somebody is
    still writing: smdebug would wait for ever.
    """
    hand_over_logs()
    try:
        # Without its index: broken files in it must not keep us from opening the rest.
        trial = create_trial(path, index_mode=False)
        trial.index_mode = True
        _forgive(trial.index_reader)
        trial.index_reader.event_file_retry_limit = _FETCH_RETRIES
        trial.dynamic_refresh = False
        trial.refresh_data()
    except MissingCollectionFiles:
        raise JobError(f"{path}: the job has ended and saved no tensors") from None
    except (SMDebugError, *_DAMAGED, TypeError) as error:
        raise JobError(f"{path} cannot be opened as saved tensors: {_line(error)}") from error
    return trial


def has_ended(path: str) -> bool:
    """training_job_end.ts is there: no more steps follow."""
    try:
        return bool(has_training_ended(path))
    except SMDebugError as error:
        raise HostError(f"{path} cannot be read: {_line(error)}") from error


def refresh(trial: Trial) -> None:
    """Take in the steps that were written meanwhile. Raises HostError: not now."""
    try:
        if not trial.loaded_all_steps:
            trial.refresh_data()
    except (SMDebugError, *_DAMAGED) as error:
        raise HostError(f"{trial.path} cannot be read: {_line(error)}") from error


def end(trial: Trial) -> None:
    """Nothing follows: steps that lack a worker count as complete, and nobody waits any more."""
    refresh(trial)
    trial.loaded_all_steps = True
    trial.index_reader.event_file_retry_limit = 0


def place_of(trial: Trial, step: int) -> tuple[str, int]:
    """Mode and step of that mode, of a global step."""
    mode, mode_step = trial.mode_modestep(step)
    return mode.name, int(mode_step)


def stored(trial: Trial, name: str, step: int) -> Mapping[str, Stored]:
    """By worker, what was saved at a global step; nothing is read."""
    tensor = trial.tensor(name)
    mode, mode_step = trial.mode_modestep(step)
    # smdebug tells only by reading everything, or by an exception.
    by_worker = tensor._get_step_dict(mode_step, mode) or {}
    return {
        worker: Stored(
            has_value=by_worker[worker].location is not None,
            reductions=frozenset(
                f"abs_{name}" if is_abs else name
                for name, is_abs in by_worker[worker].reduction_locations()
            ),
        )
        for worker in sorted(by_worker)
    }


def fetch(trial: Trial, name: str, step: int, worker: str) -> Values:
    """Read a raw value. Raises HostError: it is damaged or gone."""
    try:
        return np.asarray(trial.tensor(name).value(step, worker=worker))
    except (SMDebugError, *_DAMAGED) as error:
        raise HostError(f"{name} at step {step} cannot be read: {_line(error)}") from error


def fetch_reduction(trial: Trial, name: str, step: int, worker: str, reduction: str) -> float:
    """Read a reduction that was saved. Raises HostError."""
    plain = reduction.removeprefix("abs_")
    try:
        tensor = trial.tensor(name)
        value = tensor.reduction_value(step, plain, worker=worker, abs=plain != reduction)
        return float(np.asarray(value).reshape(-1)[0])
    except (SMDebugError, *_DAMAGED) as error:
        raise HostError(f"{reduction} of {name} at step {step}: {_line(error)}") from error


class EagerRule(Rule):  # type: ignore[misc]  # smdebug has no types
    """A rule that asks the disk only about steps which it does not know to be there."""

    def make_sure_of(self, step: int) -> None:
        """Called before a step is looked at: it may not be known yet."""
        raise NotImplementedError

    def invoke(self, step: int) -> None:
        """As smdebug's own, which would list a folder for every rule and step."""
        self.make_sure_of(step)
        if self.invoke_at_step(step):
            self._actions.invoke()
            raise RuleEvaluationConditionMet(self.rule_name, step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoked:
    """What came of asking a rule about a step."""

    is_hit: bool = False
    is_last: bool = False  # the rule wants no further steps


def invoke(rule: Rule, step: int) -> Invoked:
    """Ask a rule about a saved global step, as smdebug's invoker does.

    Tensors that are not there are no answer, and NoMoreData is an end like any other. What the
    rule's own code raises comes through.
    """
    try:
        rule.invoke(step)
    except RuleEvaluationConditionMet as met:
        return Invoked(is_hit=True, is_last=met.end_of_rule)
    except NoMoreData:
        return Invoked(is_last=True)
    except _NOT_THERE as error:
        log.debug("%s at step %d: %s", rule.rule_name, step, error)  # AWS's passes over it
    finally:
        for trial in rule.trials:  # a rule of the user's leaves it on or off, as it ended
            trial.dynamic_refresh = False
    return Invoked()


def allow_short_init() -> None:
    """`super().__init__(base_trial)` works in a user's rule, as AWS's documentation writes it."""
    Rule.__init__.__defaults__ = ("", None)


def _collection_files(path: str) -> list[str]:
    on_s3, bucket, prefix = is_s3(path)
    if on_s3:
        prefix = prefix if prefix.endswith("/") else f"{prefix}/"
        keys, _ = list_s3_objects(bucket, get_path_to_collections(prefix))
        return [f"s3://{bucket}/{key}" for key in keys]
    return sorted(list_collection_files_in_directory(get_path_to_collections(path)))


def stop_training(rule: str, prefix: str) -> bool:
    """Have SageMaker stop the one training job in progress whose name begins so; False: none."""
    action = StopTrainingAction(rule, prefix)
    action.invoke("")
    return len(action._found_jobs) == 1


def read_object(uri: str) -> bytes:
    """A whole object of S3. Raises HostError."""
    try:
        return bytes(S3Handler.get_objects([ReadObjectRequest(uri)])[0])
    except (SMDebugError, OSError, IndexError) as error:
        raise HostError(f"{uri} cannot be read: {_line(error)}") from error


def _num_workers(file: str) -> int:
    """Of a local file; smdebug waits for the others on S3, where the service writes the end."""
    if is_s3(file)[0]:
        return 0
    try:
        return int(json.loads(Path(file).read_text(encoding="utf-8"))["_meta"]["num_workers"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0  # opening it says what is wrong


def _forgive(reader: Any) -> None:
    """A broken index file costs its own step, not all those that were read with it."""
    parse = reader._update_tensors_from_json

    def forgiving(tensors: Any, step: int, *rest: Any) -> Any:
        try:
            return parse(tensors, step, *rest)
        except (IndexReaderException, KeyError, TypeError, AttributeError) as error:
            log.warning("the index of step %d cannot be read and is left out: %s", step, error)
            return tensors

    reader._update_tensors_from_json = forgiving


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
