"""Master: gives a study's trials to this host's workers, and sees each of them through."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract.errors import HostError, KennelError
from contract.job import TrainingJob
from contract.ranges import text_for
from contract.setting import Value
from contract.study import Trial, TrialStatus
from train.blame import OF_PICTURES, lies_around
from train.completion import best_of, why_complete, why_hopeless
from train.conclusion import Conclusion, Verdict
from train.crew import Crew, Hand
from train.curfew import Curfew
from train.ledger import Ledger, last_metrics
from train.orders import TrialOrder
from train.record import Record, curve_row
from train.stop import Stop
from train.study import OpenStudy
from train.study_lines import tell_aside, tell_beginning, tell_epoch, tell_trial

Message = dict[str, Any]

_POLL_SECONDS = 0.2
_ASK_AGAIN_SECONDS = 1.0  # another host may give a trial back
_QUIET_SECONDS = 30.0  # of a long trial, until its next epoch is told
_MOST_DEATHS = 2  # of workers, one after another, that never got ready


class Master:
    """One session of a study on one host."""

    def __init__(
        self, job: TrainingJob, study: OpenStudy, crew: Crew, stop: Stop, work_dir: Path
    ) -> None:
        self._job, self._study, self._crew, self._stop = job, study, crew, stop
        self._spec = study.spec
        self._ledger = Ledger(job, study, work_dir)
        self._curfew = Curfew(stop, self._spec.max_runtime_seconds, lambda: self._ledger.seconds)
        self._why: str | None = None  # no more trials are given out
        self._failure: KennelError | None = None
        self._nothing_until = 0.0  # of monotonic: no trial was left when we last asked
        self._beat_at = 0.0
        self._deaths = 0
        self._ended_before: frozenset[int] = frozenset()  # trials of earlier sessions
        self._has_told = False
        # The first worker fills the cache with all CPUs; the others wait, and find it there.
        self._is_prepared = crew.size == 1

    def run(self) -> None:
        """To the end of the study, or of this session. Raises as `run_study` does."""
        trials = self._study.trials()
        ended = frozenset(one.number for one in trials if one.status != "InProgress")
        self._ended_before = ended
        tell_beginning(self._spec, self._study.place, len(ended))
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
        # Those of other hosts are waited for: one of them may be the best, or be given back.
        if self._why is not None:
            return not self._study.num_running()
        return time.monotonic() < self._nothing_until and not self._study.num_open()

    def _beat(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + self._study.place.heartbeat_seconds
        self._study.beat(hand.claim for hand in self._crew.hands if hand.claim is not None)
        if self._study.place.is_shared:
            self._look(self._study.trials())

    def _obey(self) -> None:
        """A signal, or the end of the study's time: trials end, and those that do not are ended."""
        hands = [hand for hand in self._crew.hands if hand.claim is not None]
        if self._curfew.begins():
            self._why = self._why or self._curfew.reason
            for hand in hands:
                hand.terminate()
        if self._curfew.is_over:
            for hand in hands:
                self._crew.drop(hand)
                self._on_interrupted(hand, {"reason": "it did not end in time"})

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
        handlers = {
            "ready": self._on_ready,
            "prepared": self._on_prepared,
            "epoch": self._on_epoch,
            "done": self._on_done,
            "kept": self._on_kept,
            "failed": self._on_failed,
            "interrupted": self._on_interrupted,
        }
        handlers[message["event"]](hand, message)

    def _on_prepared(self, _hand: Hand, _message: Message) -> None:
        self._is_prepared = True

    def _on_ready(self, hand: Hand, _message: Message) -> None:
        hand.is_ready = hand.was_ready = True
        self._deaths = 0

    def _on_epoch(self, hand: Hand, message: Message) -> None:
        """Answer at once: the worker waits."""
        assert hand.claim is not None
        row = curve_row(message["row"])
        hand.record.curves.append(row)
        epoch, band = int(row["epoch"]), self._spec.hyperband
        if self._study.report(hand.claim, epoch, row.get(self._spec.objective.metric)):
            hand.cut_reason = f"not promising after {epoch} epochs"
        if not self._curfew.is_out_of_time:  # then the trial ends by a signal, with a checkpoint
            hand.cut_reason = self._why or hand.cut_reason
        hand.is_whole = band is not None and epoch >= band.max_resource
        hand.send({"do": "end" if hand.cut_reason or hand.is_whole else "go"})
        if time.monotonic() - hand.told_at > _QUIET_SECONDS:
            hand.told_at = time.monotonic()
            tell_epoch(hand.claim.number, row)

    def _on_done(self, hand: Hand, message: Message) -> None:
        assert hand.claim is not None
        record, target = hand.record, self._spec.objective
        record.take(message["metrics"], message["rows"])
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
                self._keep(hand)
            else:
                self._settle(hand, "Completed", objective)

    def _keep(self, hand: Hand) -> None:
        assert hand.claim is not None
        hand.send({"do": "keep", "folder": str(self._ledger.kept(hand.claim.number))})

    def _on_kept(self, hand: Hand, _message: Message) -> None:
        if hand.is_interrupted:
            self._put_aside(hand)
        else:
            objective = hand.record.metrics[self._spec.objective.metric]
            self._settle(hand, "Completed", objective)

    def _on_failed(self, hand: Hand, message: Message) -> None:
        hand.record.reason, kind = message["reason"], message["kind"]
        has_best = best_of(self._spec, self._study.trials()) is not None
        if lies_around(kind, self._spec, self._job.channels, is_proven=has_best):
            self._failure = KennelError(message["reason"])
            self._failure.exit_code = message["code"]
            self._release(hand)
            if kind in OF_PICTURES:
                self._study.let_pictures_change()
            return
        self._settle(hand, "Failed", None)
        hand.is_ready = not message["leaves"]

    def _on_interrupted(self, hand: Hand, message: Message) -> None:
        record = hand.record
        if self._stop.signalled:
            self._release(hand)
        elif self._curfew.is_out_of_time:
            record.reason, record.metrics = self._why, last_metrics(record)
            if "rows" in message:
                record.take(message["metrics"], message["rows"])
            hand.is_interrupted = True
            if "rows" in message and best_of(self._spec, self._study.trials()) is None:
                self._keep(hand)  # should no trial complete, this is all there is
            else:
                self._put_aside(hand)
        else:
            self._crew.drop(hand)  # it was told to begin no trial any more
            record.reason = f"{message['reason']}, by a signal to its process"
            self._settle(hand, "Failed", None)

    def _put_aside(self, hand: Hand) -> None:
        """The time is over. A trial that can go on does so when more time is given."""
        assert hand.claim is not None
        if self._ledger.checkpoints(hand.claim.number) is None:
            objective = hand.record.metrics.get(self._spec.objective.metric)
            self._settle(hand, "Stopped", objective)
            return
        tell_aside(hand.claim.number, hand.record)
        self._release(hand)

    def _on_death(self, hand: Hand) -> None:
        """Its trial is lost and nothing else: another worker takes the next."""
        if hand not in self._crew.hands:
            return
        words = self._crew.drop(hand)
        if hand.claim is None:
            self._deaths += not hand.was_ready
            if self._deaths >= _MOST_DEATHS:
                self._failure = HostError(f"workers cannot start: {words} (see above)")
        elif self._stop.signalled or self._curfew.is_out_of_time:
            self._on_interrupted(hand, {"reason": words})
        else:
            hand.record.reason = words
            self._settle(hand, "Failed", None)

    def _release(self, hand: Hand) -> None:
        """Its trial goes back to the queue, with its number and its values."""
        assert hand.claim is not None
        hand.count_seconds(hand.claim)
        self._study.release(hand.claim, hand.record)
        hand.claim, hand.is_ready = None, True

    def _settle(self, hand: Hand, status: TrialStatus, objective: float | None) -> None:
        """A trial has ended: tell the storage, then people, then see what follows from it."""
        claim = hand.claim
        assert claim is not None
        hand.claim, hand.is_ready, self._is_prepared = None, True, True
        hand.count_seconds(claim)
        self._study.finish(claim, status, objective, hand.record)
        trials = self._ledger.settle(claim.number, self._running)
        tell_trial(self._spec, trials[claim.number - 1], best_of(self._spec, trials))
        self._look(trials)

    def _look(self, trials: tuple[Trial, ...]) -> None:
        """Is there any point in going on?"""
        reason = why_hopeless(self._spec, trials, self._ended_before)
        if reason is not None and self._failure is None:
            self._failure = KennelError(reason)
        if self._why is None:
            self._why = why_complete(self._spec, trials)

    def _conclude(self) -> None:
        for hand in [hand for hand in self._crew.hands if hand.claim is not None]:
            self._crew.drop(hand)
            self._release(hand)
        verdict = Verdict(
            why=self._why,
            failure=self._failure,
            is_stopped=self._stop.signalled,
            is_out_of_time=self._curfew.is_out_of_time,
        )
        conclusion = Conclusion(self._job, self._study, self._crew, self._ledger)
        conclusion.write(verdict, lambda trial: self._order(trial.number, trial.hyperparameters))
