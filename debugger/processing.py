"""A rule as a processing job in AWS: our train image as RuleEvaluatorImage, one rule a container.

Known, and followed here: the job is described in /opt/ml/config/processingjobconfig.json with the
fields of CreateProcessingJob; the tensors are its input `Tensors` (a public report of AWS's names
/opt/ml/processing/input/tensors as its folder); results belong in /opt/ml/processing/output/rule/;
rule_to_invoke, source_s3_uri, other_trial_0, ..., start_step, end_step and the rule's own
parameters are RuleParameters, all text; the first kilobyte of /opt/ml/output/message becomes
ExitMessage; a file named by SAGEMAKER_ENV_RULE_STOP_SIGNAL_FILE among the tensors asks for an end.

Not known, since AWS's evaluator images are closed and no account was at hand: that RuleParameters
arrive as environment variables (we read them there and in the description's Environment), whether
the folder of the input is filled while training goes on (where it does not exist we read S3), and
from what the service tells IssuesFound from Error. We exit as the command does (0, 1 found, 2, 3)
and begin the message as AWS's own StatusDetails begin.
Source: SageMaker developer guide, debugger rules; SageMaker API reference, CreateProcessingJob,
DebugRuleConfiguration.
"""

import ast
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from contract.errors import SpecError
from contract.files import read_json, write_bytes, write_text
from contract.opt_ml import DEFAULT_BASE, PROCESSING_CONFIG, base_dir
from contract.rule_request import (
    ACTIONS,
    INVOKE,
    OTHER_TRIAL,
    SOURCE,
    STOP_TRAINING,
    rule_of_request,
)
from contract.rules import STOP, RuleSpec, kind_of
from debugger.evaluate import Request, evaluate
from debugger.folders import S3
from debugger.tensors import read_object, stop_training

log = logging.getLogger(__name__)

MESSAGE = Path("output") / "message"
MESSAGE_BYTES = 1024
OUTPUT = Path("processing") / "output" / "rule"
INPUT = "Tensors"
STOP_VARIABLE = "SAGEMAKER_ENV_RULE_STOP_SIGNAL_FILE"
_RANGE = ("start_step", "end_step")
_NO_STEP = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingJob:
    """What SageMaker laid out."""

    source: str  # folder or s3:// prefix of the tensors
    out: Path
    spec: RuleSpec
    steps: range | None
    stop_file: Path | None
    stops: str  # beginning of the training job's name that a rule stops


def run_processing(answers: TextIO, environment: Mapping[str, str] = os.environ) -> int:
    """Evaluate the one rule of a processing job, live, and return the exit code.

    Raises SpecError: the description cannot be read, or names no rule that we know.
    """
    base = base_dir(environment)
    try:
        job = read_processing(base, environment)
    except SpecError as error:
        _leave(base, f"ClientError: {error}")
        raise
    said = {"details": ""}

    def emit(event: Mapping[str, Any]) -> None:
        if event["event"] == "result":
            said["details"] = str(event["result"]["details"])
        elif event["action"] == STOP:
            _stop(job)
        answers.write(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n")
        answers.flush()

    request = Request(
        source=job.source,
        specs=(job.spec,),
        out=job.out,
        follow=True,
        steps=job.steps,
        stop_file=job.stop_file,
    )
    code = evaluate(request, emit)
    _leave(base, said["details"] if code != 3 else f"ClientError: {said['details']}")
    return code


def read_processing(base: Path, environment: Mapping[str, str]) -> ProcessingJob:
    """The job below `base`, which is /opt/ml in a container. Raises SpecError."""
    config = read_json(base / PROCESSING_CONFIG, SpecError)
    if not isinstance(config, dict):
        raise SpecError(
            f"{base / PROCESSING_CONFIG}: expected a JSON object, got {type(config).__name__}"
        )
    given = {**(config.get("Environment") or {}), **environment}
    inputs = {
        str(one.get("InputName")): one.get("S3Input") or {}
        for one in config.get("ProcessingInputs") or ()
    }
    if INPUT not in inputs:
        raise SpecError(
            f"{base / PROCESSING_CONFIG}: expected an input {INPUT}, got {sorted(inputs)}"
        )
    rule = given.get(INVOKE)
    if not rule:
        raise SpecError(f"{INVOKE}: expected the name of a rule, got none")
    source = _place_of(base, inputs[INPUT])
    stop = environment.get(STOP_VARIABLE)
    spec = _spec(base, rule, given, inputs)
    return ProcessingJob(
        source=source,
        out=_out(base, config),
        spec=spec,
        steps=_steps(given) if not _knows(spec, _RANGE[0]) else None,
        stop_file=Path(source) / stop if stop and not source.startswith(S3) else None,
        stops=_stops(given.get(ACTIONS, "[]")),
    )


def _spec(
    base: Path, rule: str, given: Mapping[str, str], inputs: Mapping[str, Mapping[str, Any]]
) -> RuleSpec:
    uri = given.get(SOURCE, "")
    source = _own_source(base, uri, inputs) if uri else None
    names = _names_in(source, rule) if source else [one.name for one in kind_of(rule).parameters]
    kept = [*names, *filter(OTHER_TRIAL.fullmatch, given), INVOKE, ACTIONS]
    parameters = {name: given[name] for name in kept if name in given}
    if source:
        parameters[SOURCE] = str(source)
    # The rule's name stands in for the configuration's, which the container is not told.
    return rule_of_request({"RuleConfigurationName": rule, "RuleParameters": parameters})


def _own_source(base: Path, uri: str, inputs: Mapping[str, Mapping[str, Any]]) -> Path:
    """The user's file: an input that holds it, a path, or fetched from S3."""
    name = uri.rstrip("/").rpartition("/")[2]
    for one in inputs.values():
        place = _moved(base, str(one.get("LocalPath") or ""))
        if str(one.get("S3Uri") or "").rstrip("/") == uri.rstrip("/") and place.exists():
            return place / name if place.is_dir() else place
    if not uri.startswith(S3):
        return _moved(base, uri)
    target = base / "processing" / "source" / name
    write_bytes(target, read_object(uri))
    return target


def _names_in(source: Path, rule: str) -> list[str]:
    """Parameters of the class's constructor, without running the file. Raises SpecError."""
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"), str(source))
    except (OSError, SyntaxError, ValueError) as error:
        raise SpecError(f"{source} cannot be read as Python: {error}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == rule:
            inits = [
                one
                for one in node.body
                if isinstance(one, ast.FunctionDef) and one.name == "__init__"
            ]
            arguments = [
                one.arg for init in inits for one in (*init.args.args, *init.args.kwonlyargs)
            ]
            return [one for one in arguments if one not in ("self", "base_trial", "other_trials")]
    raise SpecError(f"{source}: expected a class {rule}, and there is none")


def _place_of(base: Path, given: Mapping[str, Any]) -> str:
    """The input's folder where it exists, else its address."""
    local, uri = str(given.get("LocalPath") or ""), str(given.get("S3Uri") or "")
    if local and _moved(base, local).is_dir():
        return str(_moved(base, local))
    if not uri.startswith(S3):
        raise SpecError(f"input {INPUT}: there is neither a folder {local!r} nor an s3:// address")
    return uri


def _out(base: Path, config: Mapping[str, Any]) -> Path:
    outputs = (config.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
    paths = [str((one.get("S3Output") or {}).get("LocalPath") or "") for one in outputs]
    return _moved(base, next((one for one in paths if one), "")) if any(paths) else base / OUTPUT


def _moved(base: Path, path: str) -> Path:
    """A path of a container, where its /opt/ml lies elsewhere."""
    try:
        return base / Path(path).relative_to(DEFAULT_BASE)
    except ValueError:
        return Path(path)


def _steps(given: Mapping[str, str]) -> range | None:
    if not any(given.get(name) for name in _RANGE):
        return None
    try:
        first, last = (int(given.get(name) or -1) for name in _RANGE)
    except ValueError:
        values = ", ".join(f"{name} {given.get(name)!r}" for name in _RANGE)
        raise SpecError(f"{values}: expected whole numbers") from None
    return range(max(0, first), last if last >= 0 else _NO_STEP)


def _knows(spec: RuleSpec, name: str) -> bool:
    """Whether a parameter belongs to the rule itself, as Overfit's start_step does."""
    return name in spec.parameters or bool(spec.kind and spec.kind.parameter(name))


def _stops(actions: str) -> str:
    """Of a text that `rule_of_request` has taken; names keep their case."""
    found = json.loads(actions)
    listed = found if isinstance(found, list) else [found]
    names = [
        str(one.get("training_job_prefix") or "")
        for one in listed
        if str(one.get("name", "")).lower() == STOP_TRAINING
    ]
    return next(iter(names), "")


def _stop(job: ProcessingJob) -> None:
    """As smdebug's action does, which lower-cases the job's name when it is left to read it."""
    if not job.stops:
        log.warning("rule %s: nobody said which training job to stop", job.spec.name)
    elif not stop_training(job.spec.rule, job.stops):
        log.warning("rule %s: not one training job in progress begins %s: none is stopped",
                    job.spec.name, job.stops)  # fmt: skip


def _leave(base: Path, details: str) -> None:
    text = details.encode()[:MESSAGE_BYTES].decode(errors="ignore")
    if text:
        write_text(base / MESSAGE, text)
