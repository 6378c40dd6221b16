"""Plans: the requests that the example files make, kept in tests/plans/ for people to review.

KENNEL_WRITE_PLANS=1 writes them again; what changed is then seen in the diff.
"""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aws_words import complaints, model_of

from control.aws.call import Call, calls_json

PLANS = Path(__file__).parent / "plans"
WRITE = "KENNEL_WRITE_PLANS"
# What differs from one minute to the next.
VARYING = (
    (re.compile(r"\b\d{8}-\d{6}\b"), "STAMP"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\+00:00)?"), "TIME"),
    (re.compile(r'("kennel:version",?:?\s*(?:"Value":)?\s*)"[^"]*"'), r'\1"VERSION"'),
)


def check_plan(name: str, calls: Iterable[Call] | list[dict[str, Any]]) -> None:
    """The calls are those of tests/plans/NAME.json, and AWS's own model allows each of them.

    `calls` as objects, or as what `--show` printed.
    """
    found = [one if isinstance(one, dict) else calls_json([one])[0] for one in calls]
    for one in found:
        validate(one["service"], one["operation"], one["parameters"])
    text = json.dumps(found, indent=2, ensure_ascii=True) + "\n"
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    path = PLANS / f"{name}.json"
    if os.environ.get(WRITE):
        PLANS.mkdir(exist_ok=True)
        path.write_text(text, encoding="ascii")
    assert path.is_file(), f"{path} is missing: {WRITE}=1 writes it"
    assert path.read_text(encoding="ascii") == text


def validate(service: str, operation: str, parameters: dict[str, Any]) -> None:
    """Raises AssertionError: AWS's model of the service refuses the parameters.

    More than botocore checks: patterns, enumerations and the most of a size, too. Bytes stand in
    printed plans as "(N bytes)", which a blob accepts as text, too.
    """
    from botocore.validate import ParamValidator

    shape = model_of(service).operation_model(operation).input_shape
    if shape is None:
        assert not parameters, f"{operation} takes no parameters"
        return
    report = ParamValidator().validate(parameters, shape)
    assert not report.has_errors(), f"{service} {operation}: {report.generate_report()}"
    wrong = list(complaints(parameters, shape, operation))
    assert not wrong, f"{service}: {'; '.join(wrong)}"
