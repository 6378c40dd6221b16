"""TensorRule: what all our rules over saved tensors share, on smdebug's own Rule.

So smdebug's `invoke_rule` runs them, too, and a user's own rule runs beside them.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from contract.errors import SpecError
from contract.hook_config import READY_REGEXES
from contract.rule_kind import RuleKind
from contract.rule_parameter import ParameterValue
from contract.rule_result import Finding
from contract.rules import RuleSpec
from debugger.saved import Moment, SavedTensors, Values, check_regex
from debugger.tensors import EagerRule, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What a job's own folder says of it."""

    fine_tuned: bool | None = None  # None: nobody knows
    has_evaluations: bool = False  # it surely evaluates, sooner or later


class TensorRule(EagerRule):
    """A built-in rule: `look` says what it finds at a step.

    Args:
        base_trial: saved tensors, or smdebug's trial.
        given: the rule's parameters by name; text as AWS sends it, or values.

    Raises SpecError: an unknown parameter or a wrong value.
    """

    kind: ClassVar[RuleKind]

    def __init__(
        self,
        base_trial: SavedTensors | Trial,
        action_str: str = "",
        other_trials: list[Any] | None = None,
        **given: Any,
    ) -> None:
        self.saved = _saved(base_trial)
        self.others = [_saved(one) for one in other_trials or ()]
        super().__init__(self.saved.trial, action_str, [one.trial for one in self.others] or None)
        self.given = frozenset(given)  # the others have their defaults
        texts = {name: str(value) for name, value in given.items()}
        self.values = RuleSpec(name=self.kind.name, rule=self.kind.name, parameters=texts).values()
        self.report["RuleParameters"] = "\n".join(
            f"{name}:{value}" for name, value in self.values.items()
        )
        self.found: list[Finding] = []  # of steps that were looked at since it was last emptied
        self.datapoints = 0  # steps that had what it looks at
        self.only_reduced: set[str] = set()  # tensors whose values it would need
        self.frozen: set[str] = set()  # parameters that were skipped: nothing learns them
        self.check_all(self.values)
        self.start()

    @classmethod
    def check_all(cls, values: Mapping[str, ParameterValue]) -> None:
        """Raises SpecError for parameters that make no sense, before anything is read."""
        for name, value in values.items():
            if name.endswith("regex"):
                check_regex(f"rule {cls.kind.name}: {name}", str(value or ""))
        cls.check(values)

    @classmethod
    def check(cls, values: Mapping[str, ParameterValue]) -> None:
        """Raises SpecError for parameters that make no sense together."""

    def start(self) -> None:
        """Nothing seen so far."""

    def learn(self, facts: JobFacts) -> None:
        """Called before the first step, where a job's folder is at hand."""

    @abstractmethod
    def look(self, moment: Moment) -> Finding | None:
        """What is wrong at this step; None: nothing, or it cannot be judged."""

    def finish(self) -> Finding | None:
        """The job has ended: what could not be judged before?"""
        return None

    def idle(self, seconds: float) -> Finding | None:  # noqa: ARG002
        """No new step has come for some time, while the job runs."""
        return None

    def missing(self) -> str:
        """What the job never saved, and what would save it; empty: enough to judge by.

        Asked at the end. It makes the rule's status Error.
        """
        return "" if self.datapoints else self.nothing_saved()

    @abstractmethod
    def nothing_saved(self) -> str:
        """`missing` of a rule that never had anything to look at."""

    def shortage(self) -> str:
        """Why it could not judge although there was something; empty: it could."""
        return ""

    def remarks(self) -> str:
        """What else somebody should know who reads that nothing was found."""
        return ""

    def invoke_at_step(self, step: int) -> bool:
        """smdebug's way to ask."""
        return self.take(self.look(self.saved.moment(step)))

    def take(self, finding: Finding | None) -> bool:
        """Keep a finding; True when there is one."""
        self.report["Datapoints"] = self.datapoints
        if finding is None:
            return False
        self.found.append(finding)
        self.report["RuleTriggered"] += 1
        self.report["Violations"] += 1
        return True

    def make_sure_of(self, step: int) -> None:
        """The runner knows all steps that it asks about; smdebug's invoker counts them."""
        if not self.saved.has(step):
            self.base_trial.wait_for_steps([step])
            self.saved.refresh()

    # ---- what rules are written with ----

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        return float(self._numeric(name))

    def count(self, name: str) -> int:
        """A parameter that is a whole number."""
        return int(self._numeric(name))

    def _numeric(self, name: str) -> float:
        value = self.values[name]
        assert isinstance(value, int | float)  # as its RuleParameter says
        return value

    def texts(self, name: str) -> list[str]:
        """A parameter that is a list, separated by commas."""
        return [one.strip() for one in str(self.values[name] or "").split(",") if one.strip()]

    def named(self, step: int, parameter: str, collection: str) -> list[str]:
        """Tensors that match a parameter; unless it was changed, also all of a collection.

        A ReLU may have any name, in SqueezeNet a number: training puts it into the collection.
        """
        known = self.kind.parameter(parameter)
        is_usual = known is not None and self.values[parameter] == known.default
        return self.saved.select(step, (collection,) if is_usual else (), self.texts(parameter))

    def arrays(self, names: list[str], step: int) -> Iterator[tuple[str, Values]]:
        """Values of tensors at every worker; remembers those that were saved as reductions only."""
        for name in names:
            if not self.saved.has_value(name, step):
                self.only_reduced.add(name)
            yield from self.saved.arrays(name, step)

    def finding(
        self,
        moment: Moment,
        tensor: str,
        *,
        value: float | None,
        threshold: float | None,
        message: str,
        advice: str,
    ) -> Finding:
        """A finding at a step. JSON knows no NaN or infinity: they become None."""
        return Finding(
            step=moment.mode_step,
            mode=moment.mode,
            tensor=tensor,
            value=value if value is not None and math.isfinite(value) else None,
            threshold=threshold,
            message=message,
            advice=advice,
        )


def needs_values(names: set[str], collection: str) -> str:
    """`missing` of a rule for which reductions are not enough."""
    some = shown(sorted(names))
    return (
        f"only reductions of {some} were saved, and this rule needs the values: "
        f"set save_raw_tensor = true in [debugger.collections.{collection}]"
    )


def asks_for(collection: str, what: str, include_regex: str = "") -> str:
    """`missing` of a rule that needs a collection: what came, what to put into the description."""
    is_ready = collection in READY_REGEXES
    regex = f' with include_regex = "{include_regex}"' if include_regex and not is_ready else ""
    aws = f' ("CollectionConfigurations": [{{"CollectionName": "{collection}"}}] in AWS)'
    return (
        f"the job saved no {what}: add [debugger.collections.{collection}]{regex} to the job "
        f"description{'' if include_regex else aws}"
    )


def needs_selection(rule: str, values: Mapping[str, ParameterValue]) -> None:
    """Raises SpecError when a rule is not told which tensors to look at. AWS refuses it, too."""
    if not values["collection_names"] and not values["tensor_regex"]:
        raise SpecError(
            f"rule {rule}: expected collection_names or tensor_regex, got neither: "
            "say which tensors it shall look at"
        )


def nothing_selected(rule: TensorRule) -> str:
    """`nothing_saved` of a rule that was told where to look."""
    collections, regexes = rule.texts("collection_names"), rule.texts("tensor_regex")
    unknown = [one for one in collections if one not in rule.saved.collections]
    known = ", ".join(rule.saved.collections)
    if unknown:
        return (
            f"the job saved no collection {unknown[0]!r}: add "
            f"[debugger.collections.{unknown[0]}] to the job description; it has {known}"
        )
    wanted = [f"collection {one}" for one in collections] + [f"{one!r}" for one in regexes]
    return (
        f"no saved tensor is in or matches {', '.join(wanted) or 'what it looks at'}: "
        f"see the names with `python -m debugger tensors`; collections: {known}"
    )


def shown(names: list[str], most: int = 3) -> str:
    """A few names of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(count: int, noun: str) -> str:
    """`1 evaluation`, `2 evaluations`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def others(count: int) -> str:
    """` (and 3 more tensors)`."""
    if count < 1:
        return ""
    return f" (and {count} more tensor{'s' if count > 1 else ''})"


def _saved(given: SavedTensors | Trial) -> SavedTensors:
    return given if isinstance(given, SavedTensors) else SavedTensors(given)
