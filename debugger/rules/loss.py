"""LossNotDecreasing: the loss does not fall."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from contract.rule_result import Finding
from contract.tensor_rules import LOSS_NOT_DECREASING
from debugger.rules.losses import EVALUATING, LOSSES, Point
from debugger.rules.of_losses import OfLosses
from debugger.rules.rule import JobFacts, asks_for, nothing_selected

MODES = ("EVAL", "TRAIN", "GLOBAL")
_Judged = tuple[float, Finding] | None  # by how much percent it rose; None: it is fine


def reference(steps: Sequence[int], step: int, num_steps: int) -> int | None:
    """Position of the newest step that is at least `num_steps` older than `step`; None: none is.

    Source: SageMaker developer guide, loss-not-decreasing: with a loss every 3 steps and
    num_steps 10, step 21 is compared with step 9.
    """
    position = bisect_right(steps, step - num_steps) - 1
    return position if position >= 0 else None


def has_fallen(loss: float, before: float, diff_percent: float) -> bool:
    """Whether a loss lies below an earlier one by `diff_percent` of it; NaN never does.

    Our reading: a loss that is exactly as much lower has not fallen enough, so with 0 percent an
    equal loss has not fallen. That fits AWS's removed tests with their default of 0; those with 20
    percent made the rule fire later instead of earlier, against its documentation, which we follow.
    """
    return loss < before - abs(before) * diff_percent / 100


def rise_percent(loss: float, before: float) -> float:
    """By how much percent a loss has risen; negative when it fell."""
    return 100 * (loss - before) / abs(before) if before else 0.0


class LossNotDecreasing(OfLosses):
    """Fires when the loss has not fallen since `num_steps` or more steps.

    It looks again at the first loss that is `num_steps` or more steps after the last look. A rise
    beyond `increase_threshold_percent` is no fall, and so fires anyway: the parameter only decides
    which sentence is said. In EVAL the losses are those of evaluations (see losses.py).
    How both percentages act together is our reading.
    Source: SageMaker developer guide, loss-not-decreasing; AWS's vectors of 2019.

    A job that is too short for the default of `num_steps` is judged at its end, over its whole
    length: its last loss against its first. Steps of training would be far enough apart, but single
    batches differ by more than ten steps teach: of four healthy jobs three would have been ill.
    """

    kind = LOSS_NOT_DECREASING

    def start(self) -> None:
        """Nothing is judged yet."""
        super().start()
        self._awaits_evaluations = False
        self._is_over = False
        self._whole: tuple[str, int] | None = None  # mode and number of losses of a short job
        self._looked: dict[tuple[str, str], int] = {}  # mode, tensor -> mode step of the last look
        self._judged: dict[tuple[str, str], int] = {}  # -> points that are behind us
        self._has_reference = False

    def learn(self, facts: JobFacts) -> None:
        """Training is not judged before the first of the evaluations that will come."""
        self._awaits_evaluations = facts.has_evaluations

    def nothing_saved(self) -> str:
        """Losses."""
        if self.values["mode"] and self._losses.modes():
            had = ", ".join(sorted(self._losses.modes()))
            return f"no loss of mode {self.values['mode']} was saved, but of {had}"
        if self.values["use_losses_collection"]:
            return asks_for(LOSSES, "losses")
        return nothing_selected(self)

    def shortage(self) -> str:
        """Two losses far enough apart."""
        if self._has_reference or self._whole or not self.datapoints:
            return ""
        if not self._is_asked_for_steps:
            return f"no two losses of mode {self._mode()} were saved: nothing to compare"
        return (
            f"no two losses of mode {self._mode()} were saved that are {self.count('num_steps')} "
            "steps of it apart; a smaller num_steps needs fewer"
        )

    def remarks(self) -> str:
        """That the job was short."""
        if self._whole is None:
            return ""
        mode, count = self._whole
        return (
            f"the last of {count} losses of {mode} was compared with the first: the job is too "
            f"short for num_steps = {self.count('num_steps')}"
        )

    def finish(self) -> Finding | None:
        """No more losses follow."""
        self._is_over = True
        found = super().finish()
        if found is not None or self._has_reference or self._is_asked_for_steps:
            return found
        return self._judge_whole()

    @property
    def _is_asked_for_steps(self) -> bool:
        """Whoever names a number of steps is taken at their word."""
        return "num_steps" in self.given

    def _names(self, step: int) -> list[str]:
        collections = self.texts("collection_names")
        if self.values["use_losses_collection"]:
            collections.append(LOSSES)
        return self.saved.select(step, collections, self.texts("tensor_regex"))

    def _mode(self) -> str:
        modes = self._losses.modes()
        if self._awaits_evaluations and not self._is_over:
            modes = modes | {MODES[0]}
        return str(self.values["mode"] or next((one for one in MODES if one in modes), MODES[0]))

    def _judge_whole(self) -> Finding | None:
        """The last loss against the first: of evaluations, or of one epoch's many batches."""
        for mode in (self._mode(), *(() if self.values["mode"] else MODES)):
            series = {
                name: points
                for name, points in self._losses.of(mode).items()
                if self._spans_a_job(mode, points)
            }
            if series:
                self._whole = mode, max(len(points) for points in series.values())
                found = (
                    self._compare(name, points[0], points[-1]) for name, points in series.items()
                )
                return _worst(found)
        return None

    def _spans_a_job(self, mode: str, points: list[Point]) -> bool:
        if len(points) < 2 or points[-1].moment.step < (self._begin or 0):
            return False
        apart = points[-1].moment.mode_step - points[0].moment.mode_step
        return mode in EVALUATING or apart >= self.count("num_steps")

    def _judge(self) -> Finding | None:
        mode = self._mode()
        found: list[_Judged] = []
        for name, points in self._losses.of(mode).items():
            for position in range(self._judged.get((mode, name), 0), len(points)):
                found.append(self._at(mode, name, points[: position + 1]))
            self._judged[mode, name] = len(points)
        return _worst(found)

    def _at(self, mode: str, name: str, points: list[Point]) -> _Judged:
        """What is wrong with the newest point; None also when it is not its turn."""
        newest, num_steps = points[-1], self.count("num_steps")
        step, last = newest.moment.mode_step, self._looked.get((mode, name))
        if newest.moment.step < (self._begin or 0):
            return None
        self.datapoints += 1
        if last is not None and step - last < num_steps:
            return None
        position = reference([one.moment.mode_step for one in points], step, num_steps)
        if position is None:
            return None
        self._looked[mode, name] = step
        self._has_reference = True
        return self._compare(name, points[position], newest)

    def _compare(self, name: str, before: Point, newest: Point) -> _Judged:
        if has_fallen(newest.value, before.value, self.number("diff_percent")):
            return None
        return rise_percent(newest.value, before.value), self._say(name, before, newest)

    def _say(self, name: str, before: Point, newest: Point) -> Finding:
        percent, allowed = self.number("diff_percent"), self.number("increase_threshold_percent")
        rise = rise_percent(newest.value, before.value)
        if rise > allowed:
            went = f"rose by {rise:.3g} %, where {allowed:g} % are allowed"
        else:
            went = f"fell by {abs(rise):.3g} %" if rise <= 0 else f"rose by {rise:.3g} %"
            went += f" where a fall of {percent:g} % is expected"
        return self.finding(
            newest.moment,
            name,
            value=newest.value,
            threshold=before.value - abs(before.value) * percent / 100,
            message=f"{name} was {before.value:.4g} at step {before.moment.mode_step} of "
            f"{before.moment.mode} and is {newest.value:.4g} at step {newest.moment.mode_step}: "
            f"it {went}",
            advice=_RISING if rise > allowed else _FLAT,
        )


def _worst(found: Iterable[_Judged]) -> Finding | None:
    """The first of those that rose most."""
    bad = [one for one in found if one is not None]
    return max(bad, key=lambda one: one[0])[1] if bad else None


_FLAT = (
    "Nothing more is learned. Early in a job: the learning rate is too low or far too high, or "
    "labels and pictures do not belong together; try another lr (kennel run --find-lr). Late in a "
    "job: it has converged; fewer epochs, or early-stopping-patience, will do."
)
_RISING = (
    "Training moves away from a solution: lower lr (by a factor of 3 to 10), raise warmup-epochs, "
    "or set gradient-clip (1.0 is usual). If only the validation loss rises, see the rule Overfit."
)
