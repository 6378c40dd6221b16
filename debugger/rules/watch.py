"""TensorWatch: all rules over the saved tensors of one job, step by step, in one pass."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contract.errors import JobError, KennelError, SpecError
from contract.rule_result import RuleResult
from contract.rules import RuleSpec
from debugger.folders import TensorPlace, find_tensors, has_evaluations, is_fine_tuned
from debugger.rules.evaluation import NOTHING_SAVED, OTHER_TRIALS, Evaluation, check_spec
from debugger.rules.rule import JobFacts
from debugger.saved import SavedTensors
from debugger.tensors import lacking, open_trial

log = logging.getLogger(__name__)

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Until when something has to be done."""

    seconds: float
    ends_at: float  # of `clock`
    clock: Clock = time.monotonic

    def is_over(self) -> bool:
        """No more time."""
        return self.clock() >= self.ends_at


class TensorWatch:
    """Evaluates rules over saved tensors; use it in a `with` block.

    Args:
        source: a job's folder, a folder of saved tensors, or an s3:// prefix.
        is_awaited: a job is still writing, or will.
        steps: global steps to look at; None: all.

    Raises SpecError: a rule is told something that makes no sense.
    """

    def __init__(
        self,
        source: str,
        specs: Sequence[RuleSpec],
        *,
        is_awaited: bool,
        steps: range | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        for spec in specs:
            check_spec(spec)
        self.source, self._is_awaited, self._clock = source, is_awaited, clock
        self._evaluations = [Evaluation(spec) for spec in specs]
        self._place: TensorPlace | None = None
        self._saved: SavedTensors | None = None
        self._steps = steps
        self._is_begun = False
        self._last_step_at = 0.0

    def __enter__(self) -> "TensorWatch":
        return self

    def __exit__(self, *_: object) -> None:
        if self._place is not None:
            self._place.close()

    @property
    def results(self) -> list[RuleResult]:
        """As they stand."""
        return [one.result() for one in self._evaluations]

    def has_ended(self) -> bool | None:
        """The job has said that no more steps follow; None: it has not written anything yet."""
        place = self._find()
        if place is None or lacking_everything(place):
            return None
        return place.has_ended()

    def poll(self) -> None:
        """Look at the steps that are new."""
        place = self._find()
        if place is None:
            return
        place.update()
        if self._saved is None and not self._open(place.path):
            return
        assert self._saved is not None
        new = self._new(self._saved.refresh)
        for step in new:
            self._at(step)
        if new:
            self._last_step_at = self._clock()
        else:
            for one in self._evaluations:
                one.idle(self._clock() - self._last_step_at)

    def finish(self, limit: Limit | None = None) -> None:
        """The job is over: look at all that is left, and come to an end."""
        reason = self._open_at_last()
        if self._saved is None:
            for one in self._evaluations:
                one.fail(reason)
            return
        new = self._new(self._saved.end)
        for position, step in enumerate(new):
            if limit is not None and limit.is_over():
                for one in self._evaluations:
                    one.cut_short(len(new) - position, limit.seconds)
                break
            self._at(step)
        for one in self._evaluations:
            one.finish(self._saved)

    def _new(self, look: Callable[[], list[int]]) -> list[int]:
        """Steps that no rule was asked about."""
        assert self._saved is not None
        found = look()
        if self._is_begun:
            return found
        self._is_begun, self._last_step_at = True, self._clock()
        return self._saved.steps

    def _at(self, step: int) -> None:
        assert self._saved is not None
        if self._steps is not None and step not in self._steps:
            return
        moment = self._saved.moment(step)
        for one in self._evaluations:
            one.at(moment)

    def _find(self) -> TensorPlace | None:
        """Hosts may begin to write later than others, so it is found anew until it is opened."""
        if self._saved is None:
            folders = find_tensors(self.source, is_awaited=self._is_awaited)
            if not folders:
                return None
            if self._place is None or self._place.folders != folders:
                if self._place is not None:
                    self._place.close()
                self._place = TensorPlace(folders)
        return self._place

    def _open_at_last(self) -> str:
        """Why there is nothing to open; empty: it is open."""
        place = self._find()
        if place is None:
            return NOTHING_SAVED
        place.update()
        if self._saved is None:
            reason = lacking(place.path)
            if reason:
                return f"{NOTHING_SAVED}; {reason}"
            self._open(place.path)
        return "" if self._saved is not None else f"{place.path} cannot be opened, see the log"

    def _open(self, path: str) -> bool:
        if reason := lacking(path):
            log.debug("%s", reason)
            return False
        try:
            self._saved = SavedTensors(open_trial(path))
        except JobError as error:
            log.warning("%s", error)
            return False
        facts = JobFacts(
            fine_tuned=is_fine_tuned(self.source), has_evaluations=has_evaluations(self.source)
        )
        for one in self._evaluations:
            try:
                others = _others(one.spec)
            except KennelError as error:
                one.fail(str(error))
                continue
            one.begin(self._saved, others, facts)
        return True


def lacking_everything(place: TensorPlace) -> bool:
    """Nothing at all was written at a place so far, the mark of the end included."""
    return bool(lacking(place.path)) and not place.has_ended()


def _others(spec: RuleSpec) -> list[SavedTensors]:
    """Other runs that a rule looks at. Raises SpecError: there are none at the place."""
    found = []
    for source in str(spec.parameters.get(OTHER_TRIALS, "")).split(","):
        if not source.strip():
            continue
        folders = find_tensors(source.strip())
        reason = lacking(folders[0]) if folders else "no saved tensors are there"
        if reason:
            raise SpecError(f"rule {spec.name}: {OTHER_TRIALS}: {source.strip()}: {reason}")
        found.append(SavedTensors(open_trial(folders[0])))
    return found
