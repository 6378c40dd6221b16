"""Master: gives a study's trials to this host's workers, and sees each of them through."""

import logging
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import HostError, InterruptedJobError, KennelError
from contract.job import TrainingJob
from contract.ranges import text_for
from contract.setting import Value
from contract.study import StudyStatus, Trial, TrialStatus
from train.completion import best_of, why_complete, why_hopeless
from train.crew import Crew, Hand
from train.finishing import finish_best
from train.ledger import Ledger, last_metrics
from train.orders import TrialOrder
from train.record import Record, curve_row, finite
from train.stop import Stop
from train.study import OpenStudy
from train.study_lines import tell_beginning, tell_end, tell_epoch, tell_trial

log = logging.getLogger(__name__)

Message = dict[str, Any]

_POLL_SECONDS = 0.2
_STOP_SECONDS = 25.0  # for trials to save themselves
_ASK_AGAIN_SECONDS = 1.0  # another host may give a trial back
_QUIET_SECONDS = 30.0  # of a long trial, until its next epoch is told
_MOST_DEATHS = 2  # of workers, one after another, that never got ready
# These are the same for all trials: the next would fail likewise.
_FATAL = frozenset({"ChannelError", "DataError"})


class Master:
    """One session of a study on one host."""

    def __init__(
        self, job: TrainingJob, study: OpenStudy, crew: Crew, stop: Stop, work_dir: Path
    ) -> None:
        self._job, self._study, self._crew, self._stop = job, study, crew, stop
        self._spec = study.spec
        self._ledger = Ledger(job, study, work_dir)
        self._why: str | None = None  # no more trials are given out
        self._failure: KennelError | None = None
        self._kill_at: float | None = None  # of monotonic: after a signal, or at the time limit
        self._nothing_until = 0.0  # of monotonic: no trial was left when we last asked
        self._beat_at = 0.0
        self._deaths = 0
        self._has_told = False
        # The first worker fills the cache with all CPUs; the others wait, and find it there.
        self._is_prepared = crew.size == 1

    def run(self) -> None:
        """To the end of the study, or of this session. Raises as `run_study` does."""
        trials = self._study.trials()
        ended = sum(one.status != "InProgress" for one in trials)
        tell_beginning(self._spec, self._study.place, ended)
        self._look(trials)
        while not self._is_over():
            self._beat()
            self._obey()
            self._hand_out()
            self._ledger.show(self._running)
            for hand, message in self._crew.hear(_POLL_SECONDS):
                if message is None:
                    self._on_death(hand)
                else:
                    self._on(hand, message)
        self._conclude()

    @property
    def _running(self) -> dict[int, Record]:
        hands = self._crew.hands
        return {one.claim.number: one.record for one in hands if one.claim is not None}

    def _is_over(self) -> bool:
        if self._failure is not None:
            return True
        if any(hand.claim is not None for hand in self._crew.hands):
            return False
        if self._stop.signalled:
            return True
        has_more = self._why is None and time.monotonic() > self._nothing_until
        # Those of other hosts are waited for: one of them may be the best, or be given back.
        return not has_more and not self._study.num_running()

    def _beat(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + self._study.place.heartbeat_seconds
        self._study.beat(hand.claim for hand in self._crew.hands if hand.claim is not None)
        if self._study.place.is_shared:
            self._look(self._study.trials())

    def _obey(self) -> None:
        """A signal, or the end of the study's time: trials end, and those that do not are ended."""
        limit = self._spec.max_runtime_seconds
        if self._why is None and limit is not None and self._ledger.seconds > limit:
            self._why = f"max_runtime_seconds ({limit}) are over"
            self._stop_trials()
        if self._stop.signalled and self._kill_at is None:
            log.info("stop   told to stop: trials under way are saved")
            self._stop_trials()
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            for hand in [hand for hand in self._crew.hands if hand.claim is not None]:
                self._crew.drop(hand)
                self._on_interrupted(hand, {"reason": "it did not end in time"})

    def _stop_trials(self) -> None:
        self._kill_at = time.monotonic() + _STOP_SECONDS
        for hand in self._crew.hands:
            if hand.claim is not None:
                hand.terminate()

    def _hand_out(self) -> None:
        is_waiting = time.monotonic() < self._nothing_until
        if is_waiting or self._why is not None or self._stop.signalled:
            return
        self._crew.fill(self._crew.size)
        for hand in self._crew.hands:
            if not hand.is_ready or (self._running and not self._is_prepared):
                continue
            worker = f"{socket.gethostname()} worker {hand.index + 1}"
            claim = self._study.claim(worker)
            if claim is None:
                self._nothing_until = time.monotonic() + _ASK_AGAIN_SECONDS
                return
            hand.begin(claim, worker)
            hand.order(self._order(claim.number, claim.values))

    def _order(self, number: int, values: Mapping[str, Value]) -> TrialOrder:
        texts = {name: text_for(name, value) for name, value in values.items()}
        folder = self._ledger.checkpoints(number)
        is_first, self._has_told = not self._has_told, True
        return TrialOrder(
            number=number,
            name=self._job.name,
            hyperparameters={**self._spec.static, **texts},
            kept_dir=str(self._ledger.kept(number)),
            checkpoint_dir=str(folder) if folder else None,
            scores_test=self._spec.objective.metric.startswith("test:"),
            tells=is_first,
            prepares=is_first and not self._is_prepared,
            cpus=tuple(self._crew.cpus),
        )

    def _on(self, hand: Hand, message: Message) -> None:
        if message["event"] == "ready":
            hand.is_ready, self._deaths = True, 0
        elif message["event"] == "prepared":
            self._is_prepared = True
        elif message["event"] == "epoch":
            self._on_epoch(hand, message)
        elif message["event"] == "done":
            self._on_done(hand, message)
        elif message["event"] == "kept":
            objective = hand.record.metrics[self._spec.objective.metric]
            self._settle(hand, "Completed", objective)
        elif message["event"] == "failed":
            self._on_failed(hand, message)
        elif message["event"] == "interrupted":
            self._on_interrupted(hand, message)

    def _on_epoch(self, hand: Hand, message: Message) -> None:
        """Answer at once: the worker waits."""
        assert hand.claim is not None
        row = curve_row(message["row"])
        hand.record.curves.append(row)
        epoch, band = int(row["epoch"]), self._spec.hyperband
        if self._study.report(hand.claim, epoch, row.get(self._spec.objective.metric)):
            hand.cut_reason = f"not promising after {epoch} epochs"
        hand.cut_reason = self._why or hand.cut_reason
        hand.is_whole = band is not None and epoch >= band.max_resource
        hand.send({"do": "end" if hand.cut_reason or hand.is_whole else "go"})
        if time.monotonic() - hand.told_at > _QUIET_SECONDS:
            hand.told_at = time.monotonic()
            tell_epoch(hand.claim.number, row)

    def _on_done(self, hand: Hand, message: Message) -> None:
        assert hand.claim is not None
        record, target = hand.record, self._spec.objective
        record.metrics = finite(message["metrics"])
        record.curves = [curve_row(row) for row in message["rows"]]
        objective = record.metrics.get(target.metric)
        if message["is_cut"] and not hand.is_whole:
            record.reason = hand.cut_reason
            self._settle(hand, "Stopped", objective)
        elif objective is None:
            record.reason = f"{target.metric} is not a finite number"
            self._settle(hand, "Failed", None)
        else:
            best = best_of(self._spec, self._study.trials())
            if best is None or target.is_better(objective, best.objective or 0.0):
                # Weights first: a study must not name a best trial whose weights are lost.
                hand.send({"do": "keep", "folder": str(self._ledger.kept(hand.claim.number))})
            else:
                self._settle(hand, "Completed", objective)

    def _on_failed(self, hand: Hand, message: Message) -> None:
        hand.record.reason = message["reason"]
        if message["kind"] in _FATAL and best_of(self._spec, self._study.trials()) is None:
            self._failure = KennelError(message["reason"])
            self._failure.exit_code = message["code"]
        self._settle(hand, "Failed", None)
        hand.is_ready = not message["leaves"]

    def _on_interrupted(self, hand: Hand, message: Message) -> None:
        if self._stop.signalled:
            self._release(hand)
        elif self._why is not None:
            hand.record.reason, hand.record.metrics = self._why, last_metrics(hand.record)
            self._settle(hand, "Stopped", hand.record.metrics.get(self._spec.objective.metric))
        else:
            hand.record.reason = f"{message['reason']}, by a signal to its process"
            self._settle(hand, "Failed", None)

    def _on_death(self, hand: Hand) -> None:
        """Its trial is lost and nothing else: another worker takes the next."""
        if hand not in self._crew.hands:
            return
        words = self._crew.drop(hand)
        if hand.claim is None:
            self._deaths += not hand.is_ready
            if self._deaths >= _MOST_DEATHS:
                self._failure = HostError(f"workers cannot start: {words} (see above)")
        elif self._stop.signalled:
            self._on_interrupted(hand, {})
        else:
            hand.record.reason = words
            self._settle(hand, "Failed", None)

    def _release(self, hand: Hand) -> None:
        """Its trial goes back to the queue, with its number and its values."""
        assert hand.claim is not None
        self._study.release(hand.claim)
        hand.claim, hand.is_ready = None, True

    def _settle(self, hand: Hand, status: TrialStatus, objective: float | None) -> None:
        """A trial has ended: tell the storage, then people, then see what follows from it."""
        claim = hand.claim
        assert claim is not None
        hand.claim, hand.is_ready, self._is_prepared = None, True, True
        hand.record.seconds = time.monotonic() - hand.began
        self._study.finish(claim, status, objective, hand.record)
        trials = self._ledger.settle(claim.number, self._running)
        tell_trial(self._spec, trials[claim.number - 1], best_of(self._spec, trials))
        self._look(trials)

    def _look(self, trials: tuple[Trial, ...]) -> None:
        """Is there any point in going on?"""
        reason = why_hopeless(self._spec, trials)
        if reason is not None and self._failure is None:
            self._failure = KennelError(reason)
        if self._why is None:
            self._why = why_complete(self._spec, trials)

    def _conclude(self) -> None:
        """The best trial's bundle, the study's page, the last lines; then raise what went wrong."""
        for hand in [hand for hand in self._crew.hands if hand.claim is not None]:
            self._crew.drop(hand)
            self._release(hand)
        self._ledger.save()
        best = best_of(self._spec, self._study.trials())
        if self._failure is None and best is None and not self._stop.signalled:
            self._failure = KennelError(f"no trial was completed: {self._why or 'all failed'}")
        has_bundle = False
        if best is not None and self._failure is None:
            has_bundle = self._finish(best)
        if not has_bundle:
            self._publish(has_bundle=False)
        tell_end(self._ledger.close(), has_bundle=has_bundle)
        if self._failure is not None:
            raise self._failure
        if best is None:
            raise InterruptedJobError("told to stop before a trial was completed")

    def _publish(self, *, has_bundle: bool) -> None:
        status: StudyStatus = "Stopped" if self._stop.signalled else "Completed"
        reason = "told to stop" if self._stop.signalled else self._why
        if self._failure is not None:
            status, reason = "Failed", str(self._failure)
        self._ledger.publish(status, reason, has_bundle=has_bundle)

    def _finish(self, best: Trial) -> bool:
        """False: it failed, or another host of this job has the weights and makes the bundle."""
        order = self._order(best.number, best.hyperparameters)
        if len(self._job.cluster.hosts) > 1 and not Path(order.kept_dir).is_dir():
            log.info("note   trial %d ran on another host, which makes the bundle", best.number)
            return False
        order = order.finishing(self._job.outputs, is_hurried=self._stop.signalled)
        try:
            finish_best(self._crew, order, meanwhile=lambda: self._publish(has_bundle=True))
        except KennelError as error:
            self._failure = error
        return self._failure is None
