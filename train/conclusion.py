"""Conclusion: how a session of a study ends. Bundle, study.json and page, last lines, exit code."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from contract.errors import InterruptedJobError, KennelError
from contract.job import TrainingJob
from contract.study import StudyStatus, Trial
from train.completion import best_of, best_unfinished
from train.crew import Crew
from train.finishing import finish_best
from train.ledger import Ledger
from train.orders import TrialOrder
from train.study import OpenStudy
from train.study_lines import tell_end

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why no more trials run."""

    why: str | None = None  # in words; None: all have ended, or a signal
    failure: KennelError | None = None
    is_stopped: bool = False  # by a signal
    is_out_of_time: bool = False


class Conclusion:
    """Written when all trials of this host have ended or were given back."""

    def __init__(self, job: TrainingJob, study: OpenStudy, crew: Crew, ledger: Ledger) -> None:
        self._job, self._study, self._crew, self._ledger = job, study, crew, ledger

    def write(self, verdict: Verdict, order_of: Callable[[Trial], TrialOrder]) -> None:
        """The best trial's bundle first: until it is there, the study goes on.

        Raises what the verdict holds; KennelError: no trial was completed, or there is no bundle;
        InterruptedJobError: told to stop before a trial was completed.
        """
        self._ledger.save()
        spec, trials = self._study.spec, self._study.trials()
        best = chosen = best_of(spec, trials)
        if best is None and verdict.failure is None and not verdict.is_stopped:
            chosen = self._unfinished(trials) if verdict.is_out_of_time else None
            if chosen is None:
                verdict = replace(verdict, failure=_nothing(verdict, trials))
        has_bundle = False
        if chosen is not None:
            try:
                has_bundle = self._finish(chosen, order_of(chosen), verdict)
            except KennelError as error:
                verdict = replace(verdict, failure=verdict.failure or error)
        if has_bundle and best is None and chosen is not None:
            epochs = f"{len(chosen.curves)} epoch{'s' if len(chosen.curves) > 1 else ''}"
            verdict = replace(
                verdict,
                why=f"{verdict.why} and no trial was completed: the bundle is trial "
                f"{chosen.number} as it stood after {epochs}",
                is_stopped=True,
            )
        status, reason = _status_of(verdict)
        self._ledger.publish(status, reason, has_bundle=has_bundle)
        tell_end(self._ledger.close(), has_bundle=has_bundle)
        if verdict.failure is not None:
            raise verdict.failure
        if chosen is None:
            raise InterruptedJobError("told to stop before a trial was completed")

    def _unfinished(self, trials: tuple[Trial, ...]) -> Trial | None:
        """SageMaker keeps the model of a job that it stops; so do we."""
        here = [one for one in trials if self._ledger.kept(one.number).is_dir()]
        return best_unfinished(self._study.spec, here)

    def _finish(self, chosen: Trial, order: TrialOrder, verdict: Verdict) -> bool:
        """False: another host of this job has the weights and makes the bundle."""
        if len(self._job.cluster.hosts) > 1 and not Path(order.kept_dir).is_dir():
            log.info("note   trial %d ran on another host, which makes the bundle", chosen.number)
            return False
        order = order.finishing(
            self._job.outputs, len(chosen.curves), is_hurried=verdict.is_stopped
        )
        finish_best(self._crew, order, meanwhile=self._ledger.prepare)
        if chosen.status == "Completed":
            self._ledger.forget(chosen.number)  # it may have been trained again
        return True


def _nothing(verdict: Verdict, trials: tuple[Trial, ...]) -> KennelError:
    failed = [one for one in trials if one.status == "Failed"]
    first = f"trial {failed[0].number} failed: {failed[0].reason}" if failed else "all were stopped"
    return KennelError(f"no trial was completed: {verdict.why or first}")


def _status_of(verdict: Verdict) -> tuple[StudyStatus, str | None]:
    if verdict.failure is not None:
        return "Failed", str(verdict.failure)
    if verdict.is_stopped:
        return "Stopped", verdict.why or "told to stop"
    return "Completed", verdict.why
