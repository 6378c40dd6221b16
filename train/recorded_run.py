"""RecordedRun: which tensors of a run are saved at which of its steps, and under what names."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from contract.hook_config import READY_REGEXES, HookConfig
from contract.metrics import METRIC_BY_NAME
from train.debug_hook import DebugHook
from train.optim import lr_factor
from train.save_plan import LIGHT, AutoPace, is_auto, smdebug_config
from train.scoring import Scores
from train.taps import Save, Taps, named_parameters, plain_module, relu_regexes
from train.tensor_folder import TensorFolder
from train.tensor_words import tell_plan, tell_size, tell_unmatched
from train.watch import RunFacts, StepFacts

log = logging.getLogger(__name__)

TRAIN, EVAL = "train", "eval"  # modes, in the words of debughookconfig.json
LOSS, LOGITS, TARGETS = (
    "CrossEntropyLoss_output_0", "CrossEntropyLoss_input_0", "CrossEntropyLoss_input_1",
)  # fmt: skip
LEARNING_RATE = "learning_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Who saves what, and where."""

    config: HookConfig
    folder: TensorFolder
    num_workers: int  # processes that save
    started: float  # of the job, by perf_counter
    writes_end: bool  # in SageMaker the service does


class RecordedRun:
    """One run's hook and what is known of its network."""

    def __init__(self, saving: Saving, facts: RunFacts, save: Save) -> None:
        values = facts.values
        self._values, self._steps_per_epoch = values, facts.steps_per_epoch
        self._totals = {TRAIN: values.epochs * facts.steps_per_epoch, EVAL: values.epochs}
        removed = saving.folder.begin_at(facts.step + facts.epoch - 1)
        if removed:
            log.info("tensors %d steps of another session removed", removed)
        config = smdebug_config(saving.config, saving.folder.path, self._totals[TRAIN])
        self.hook = DebugHook(config, saving.folder, num_workers=saving.num_workers)
        self.taps = Taps(self.hook.wants, save)
        self._autos = {
            (mode, is_light): [
                name
                for name in self.hook.collections
                if is_auto(saving.config, name, mode) and (name in LIGHT) == is_light
            ]
            for mode in (TRAIN, EVAL)
            for is_light in (False, True)
        }
        # Several processes that save do so at the same steps, which no clock may decide.
        self._pace = AutoPace(
            self._totals[TRAIN], saving.started, is_limited=saving.num_workers == 1
        )
        self._module = plain_module(facts.module)
        self._include_relus(saving.config)
        self._sizes: dict[str, int] = {}  # bytes that a mode will leave
        self._measured: set[str] = set()  # modes of which a step has been saved
        self._has_warned = False
        self._next: int | None = facts.step  # training step at which something may be saved
        self._intervals: dict[tuple[str, bool], int] = {}
        self._paying: bool | None = None  # is_light, of what `auto` saves in the step under way
        self._facts: StepFacts | None = None
        self._wanted: dict[tuple[nn.Module, frozenset[str]], list[tuple[str, nn.Parameter]]] = {}
        self._gradients: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._tell(saving.folder.path)

    def _include_relus(self, config: HookConfig) -> None:
        """Where the collection is the usual one, ReLUs count whatever they are called."""
        for kind in ("input", "output"):
            name = f"relu_{kind}"
            usual = {READY_REGEXES[name], f".*relu_{kind}"}
            for one in config.collections:
                regex = one.parameters.get("include_regex", READY_REGEXES.get(one.name, ""))
                if one.name == name and regex in usual:
                    for more in relu_regexes(self._module, kind, self.hook.collections[name]):
                        self.hook.include(name, more)

    def _tell(self, folder: Path) -> None:
        collections = self.hook.collections
        schedules = {
            name: (self.hook.schedule(name, TRAIN), self.hook.schedule(name, EVAL))
            for name in collections
        }
        autos = [*self._autos[TRAIN, False], *self._autos[TRAIN, True]]
        tell_plan(folder, schedules, autos, self._totals[TRAIN])
        scalars = [f"scalar/{name}" for name in (LEARNING_RATE, *METRIC_BY_NAME)]
        others = [LOSS, LOGITS, TARGETS, *scalars]
        is_head_alone = self._values.unfreeze == "none"
        tell_unmatched(collections, self._module, others, is_head_alone=is_head_alone)
        for name, parameter in named_parameters(self._module):
            size = parameter.numel() * max(4, parameter.element_size())
            for mode, full_name in ((TRAIN, name), (EVAL, name), (TRAIN, f"gradient/{name}")):
                if parameter.requires_grad or full_name == name:
                    self._expect(mode, full_name, self.hook.expected_bytes(full_name, size))
        self._has_warned = tell_size(sum(self._sizes.values()))

    def _expect(self, mode: str, name: str, num_bytes: int) -> None:
        saves = self.hook.expected_saves(name, mode, self._totals[mode])
        self._sizes[mode] = self._sizes.get(mode, 0) + saves * num_bytes

    @property
    def is_open(self) -> bool:
        """Between the beginning of a step that is saved and its end."""
        return self.hook.is_open

    def wants(self, step: int) -> bool:
        """Whether something may be saved at this training step."""
        return self._next is not None and step >= self._next

    def is_due(self, mode: str, step: int) -> bool:
        """Whether the mode's own `step` is saved. What an earlier one left open is gone then."""
        if self.hook.is_open:  # an evaluation that was broken off
            self.abandon()
        self._paying = None
        for is_light in (True, False):
            if self._autos[mode, is_light]:
                interval = self._pace.interval_at(mode, step, is_light=is_light)
                self._set_interval(mode, is_light, interval)
                if step % interval == 0:
                    self._paying = is_light
        is_due = self.hook.next_due(mode, step) == step
        if not is_due:
            self._plan(mode, step)
        return is_due

    def _plan(self, mode: str, step: int) -> None:
        """`step` is behind us: when the next one is saved."""
        if mode != TRAIN:
            return
        for is_light in (True, False):  # an interval that was to leave one step out is over
            self._set_interval(mode, is_light, self._pace.interval(mode, is_light=is_light))
        self._next = self.hook.next_due(mode, step + 1)

    def _set_interval(self, mode: str, is_light: bool, interval: int) -> None:
        names = self._autos[mode, is_light]
        if names and self._intervals.get((mode, is_light)) != interval:
            self._intervals[mode, is_light] = interval
            self.hook.set_interval(mode, interval, names)

    def begin_step(self, facts: StepFacts) -> None:
        """A training step that is saved."""
        self._facts = facts
        self.hook.begin(TRAIN, facts.step, facts.step + facts.epoch - 1)
        for name, parameter in self._wanted_parameters(facts.module):
            self.hook.save(name, parameter)
            # What the parameter holds after the pass is a sum while gradients are accumulated.
            if parameter.requires_grad and self.hook.wants(f"gradient/{name}"):
                keep = partial(self._gradients.__setitem__, f"gradient/{name}")
                self._handles.append(parameter.register_hook(keep))
        self.taps.put(facts.module, self.hook.due)

    def _wanted_parameters(self, module: nn.Module) -> list[tuple[str, nn.Parameter]]:
        """Those of which the value or the gradient is saved."""
        key = (module, self.hook.due)
        if key not in self._wanted:
            self._wanted[key] = [
                (name, parameter)
                for name, parameter in named_parameters(plain_module(module))
                if self.hook.wants(name) or self.hook.wants(f"gradient/{name}")
            ]
        return self._wanted[key]

    def end_backward(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        """The rest of the step."""
        assert self._facts is not None
        share, scale = self._facts.our_share(), self._facts.loss_scale()
        if share:  # of the mean over the whole step, to the mean over our pictures
            self.hook.save(LOSS, loss.detach() / share)
        self.hook.save(LOGITS, logits)
        self.hook.save(TARGETS, targets)
        for name, gradient in self._gradients.items():
            self.hook.save(name, gradient if scale == 1 else gradient / scale)
        factor = lr_factor(self._values, self._facts.step, self._steps_per_epoch)
        self.hook.save_scalar(LEARNING_RATE, self._values.lr * factor)
        self.finish(TRAIN)
        self._plan(TRAIN, self._facts.step)

    def begin_evaluation(self, module: nn.Module, epoch: int) -> None:
        """An evaluation that is saved: one step, after the epoch's training steps."""
        self.hook.begin(EVAL, epoch - 1, epoch * self._steps_per_epoch + epoch - 1)
        for name, parameter in self._wanted_parameters(module):
            self.hook.save(name, parameter)
        self.taps.put(module, self.hook.due)

    def evaluated(self, scores: Scores) -> None:
        """Over the whole split, however it was batched."""
        self.hook.save(LOSS, torch.tensor(scores.loss))
        # Logits, up to a constant a picture; never -infinity, which would look like an explosion.
        tiny = torch.finfo(torch.float32).tiny
        self.hook.save(LOGITS, scores.probabilities.float().clamp_min(tiny).log())
        self.hook.save(TARGETS, scores.targets)

    def finish(self, mode: str) -> None:
        """The step's files appear."""
        self._let_go()
        if mode not in self._measured:
            self._measured.add(mode)
            self._sizes[mode] = 0
            for name, num_bytes in self.hook.saved.items():
                self._expect(mode, name, num_bytes)
            self._has_warned = self._has_warned or tell_size(sum(self._sizes.values()))
        self.hook.finish()

    def account(self, mode: str, seconds: float) -> None:
        """What the step took of the job's time, if it was saved because of `auto`."""
        if self._paying is not None:
            self._pace.took(mode, seconds, is_light=self._paying)

    def abandon(self) -> None:
        """The step under way leaves nothing, on the disk or on the network."""
        self._let_go()
        self.hook.abandon()

    def _let_go(self) -> None:
        self.taps.remove()
        for handle in self._handles:
            handle.remove()
        self._handles, self._gradients = [], {}
