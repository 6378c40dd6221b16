"""Ledger: the results of all rules, in files and as events; and what follows when one fires."""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.files import write_json
from contract.rule_result import REPORT_NAME, RULES_NAME, RuleResult
from contract.rules import STOP, WEBHOOK, Action, RuleSpec

log = logging.getLogger(__name__)

Emit = Callable[[Mapping[str, Any]], None]
WEBHOOK_SECONDS = 5.0
FOUND = "IssuesFound"
NAME = "RuleConfigurationName"
STOP_PARAMETER = "stop_training_on_fire"  # of StalledTrainingRule


def _rows_in(out: Path) -> list[dict[str, Any]]:
    """What rules.json says so far of rules whose results are there; a damaged one says nothing."""
    try:
        rows = json.loads((out / RULES_NAME).read_text(encoding="utf-8"))["rules"]
        return [one for one in rows if (out / one[NAME] / REPORT_NAME).is_file()]
    except (OSError, ValueError, KeyError, TypeError):
        return []


class Ledger:
    """Writes `out`/rules.json and `out`/NAME/report.json whenever a status changes.

    Args:
        emit: gets every event, a plain dict.
    """

    def __init__(self, out: Path, specs: Sequence[RuleSpec], emit: Emit) -> None:
        self._out, self._emit = out, emit
        self._specs = {spec.name: spec for spec in specs}
        self._results: dict[str, RuleResult] = {
            spec.name: RuleResult(name=spec.name, rule=spec.rule, status="InProgress")
            for spec in specs
        }
        self._written: dict[str, RuleResult] = {}
        self._has_acted: set[str] = set()
        self._others = [one for one in _rows_in(out) if one.get(NAME) not in self._specs]

    @property
    def results(self) -> tuple[RuleResult, ...]:
        """As they were told last, in the order of the specs."""
        return tuple(self._results.values())

    def tell(self, result: RuleResult, *, is_final: bool = False) -> None:
        """How a rule stands. An event, files and actions follow when that is news."""
        before = self._results[result.name]
        self._results[result.name] = result
        if not is_final and before.status == result.status:
            return
        self._write(result)
        self._emit({"event": "result", "result": result.to_json()})
        if result.status == FOUND and result.name not in self._has_acted:
            self._has_acted.add(result.name)
            for action in self._actions(result):
                self._act(action, result)

    def write_all(self) -> None:
        """rules.json, also where nothing has happened yet. Rules of an earlier look stay in it."""
        rows = [
            {
                NAME: one.name,
                "RuleEvaluationStatus": one.status,
                "StatusDetails": one.details,
                "LastModifiedTime": one.modified_at,
            }
            for one in self._results.values()
        ]
        write_json(self._out / RULES_NAME, {"rules": [*self._others, *rows]})

    def exit_code(self) -> int:
        """0 no issue, 1 at least one rule fired, 3 none fired and one could not be judged."""
        statuses = {one.status for one in self._results.values()}
        if FOUND in statuses:
            return 1
        return 3 if "Error" in statuses else 0

    def _write(self, result: RuleResult) -> None:
        write_json(self._out / result.name / REPORT_NAME, result.to_json())
        self.write_all()

    def _actions(self, result: RuleResult) -> list[Action]:
        actions = list(self._specs[result.name].actions)
        asks = result.parameters.get(STOP_PARAMETER) is True
        if asks and not any(one.name == STOP for one in actions):
            actions.append(Action(name=STOP))
        return actions

    def _act(self, action: Action, result: RuleResult) -> None:
        if action.name == WEBHOOK:
            _post(action.url, result)
            return
        reason = result.findings[0].message if result.findings else result.details
        self._emit(
            {
                "event": "action",
                "action": action.name,
                "rule": result.name,
                "reason": " ".join(reason.split()),
            }
        )


def _post(url: str, result: RuleResult) -> None:
    """Tell somebody. That nobody answers changes nothing."""
    request = urllib.request.Request(
        url,
        data=json.dumps(result.to_json(), allow_nan=False).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "kennel-debugger"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_SECONDS) as reply:
            log.info("webhook of rule %s: %s answered %d", result.name, url, reply.status)
    except (OSError, ValueError, urllib.error.URLError) as error:
        log.warning("webhook of rule %s: %s: %s", result.name, url, error)
