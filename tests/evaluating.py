"""For the tests of evaluating rules: steps with gradients, descriptions of rules, results."""

from pathlib import Path
from typing import Any

import numpy as np
from tensor_runs import Step

from contract.rule_result import RuleResult
from contract.rules import RuleSpec
from debugger.evaluate import Request, evaluate

SMALL, LARGE = np.full(4, 1e-9, np.float32), np.ones(4, np.float32)


def gradients_of(*values: np.ndarray) -> list[Step]:
    """Steps of training with a loss and one gradient."""
    return [
        ("TRAIN", step, {"loss": np.float32(1.0), "gradient/fc": value})
        for step, value in enumerate(values)
    ]


def spec(name: str, /, **parameters: object) -> RuleSpec:
    """A built-in rule; names of parameters as AWS has them."""
    return RuleSpec(name=name, rule=name, parameters={k: str(v) for k, v in parameters.items()})


def own(file: Path, name: str, /, **parameters: str) -> RuleSpec:
    """A rule of the user's."""
    return RuleSpec(name=name, rule=name, source=str(file), parameters=parameters)


def results_of(
    folder: Path, *specs: RuleSpec, **more: Any
) -> tuple[int, dict[str, RuleResult], list[dict[str, Any]]]:
    """Evaluate afterwards: exit code, the last word on each rule, and all events."""
    events: list[dict[str, Any]] = []
    request = Request(source=str(folder), specs=specs, out=folder / "rule-output", **more)
    code = evaluate(request, events.append)
    told = [RuleResult.from_json(one["result"]) for one in events if one["event"] == "result"]
    return code, {one.name: one for one in told}, events
