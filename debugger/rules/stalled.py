"""StalledTrainingRule: nothing more comes."""

from contract.rule_result import Finding
from contract.tensor_rules import STALLED_TRAINING
from debugger.rules.rule import TensorRule
from debugger.saved import Moment


class StalledTrainingRule(TensorRule):
    """Fires when no new step has come for `threshold` seconds, once for each time that it is so.

    The clock is that of whoever waits, from the first saved step on, so it judges a job that runs
    and never one that is over. Any saved tensor counts as a sign of life.
    Source: SageMaker developer guide, stalled-training.
    """

    kind = STALLED_TRAINING

    def start(self) -> None:
        """Nothing has come."""
        self._last: Moment | None = None
        self._has_fired = False
        self._has_waited = False

    def look(self, moment: Moment) -> Finding | None:
        """A sign of life."""
        self.datapoints += 1
        self._last, self._has_fired = moment, False
        return None

    def idle(self, seconds: float) -> Finding | None:
        """No sign of life for so long."""
        self._has_waited = True
        limit = self.number("threshold")
        if self._last is None or self._has_fired or seconds < limit:
            return None
        self._has_fired = True
        return self.finding(
            self._last,
            "",
            value=seconds,
            threshold=limit,
            message=f"no new step has come for {seconds:.0f} s; step {self._last.mode_step} of "
            f"{self._last.mode} was the last one",
            advice="Training hangs or waits: a host that is lost, a full disk, a storage that does "
            "not answer, or an evaluation or checkpoint that takes longer than the threshold. Look "
            "at the log's last lines and at the profile; a larger save_interval also leaves longer "
            "gaps between saved steps.",
        )

    def nothing_saved(self) -> str:
        """Any step."""
        return "no step was saved: [debugger] in the job description saves the losses at least"

    def shortage(self) -> str:
        """A job that runs."""
        if self._has_waited:
            return ""
        return "the job was over: this rule judges how steps arrive, while a job runs"
