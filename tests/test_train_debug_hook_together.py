"""Saving tensors together with whatever else a run may do; and that it changes nothing."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recording import (
    INPUTS,
    LABELS,
    LOSS,
    STEPS,
    Saved,
    collection,
    hook_for,
    record,
    recorder_for,
    score,
    small,
    state_for,
)
from torch import nn
from training import CPU

from contract.errors import JobError
from train.loop import Progressing, fit
from train.patience import is_patience_over
from train.stop import Stop
from train.watch import Watch

ALL = hook_for("weights", "gradients", "relu_output", "predictions", save_interval="1")
FIRST = "Small_first.weight"


def hooks_on(module):
    return [
        hook
        for one in module.modules()
        for hook in (*one._forward_hooks.values(), *one._forward_pre_hooks.values())
    ] + [hook for one in module.parameters() for hook in (one._backward_hooks or {}).values()]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema_decay": 0.5, "gradient_accumulation": 3, "mixup": 0.4, "gradient_clip": 0.1},
        {"optimizer": "adamw", "label_smoothing": 0.1, "schedule": "cosine"},
    ],
)
def test_a_recorded_run_ends_with_the_same_bits_and_without_hooks(tmp_path, changes):
    quiet = state_for(**changes)
    fit(quiet, Stop(), Progressing())
    seen = record(tmp_path, ALL, **changes)
    for name, tensor in quiet.best_state.items():
        assert torch.equal(seen.best_state[name], tensor)
    assert hooks_on(seen.task.module) == []


def test_while_gradients_accumulate_each_batch_has_its_own(tmp_path):
    record(tmp_path, ALL, gradient_accumulation=4)
    saved, module = Saved(tmp_path), small()
    for step, batch in enumerate(state_for().task.batches.of_epoch(1)):
        module.zero_grad()
        (F.cross_entropy(module(batch.inputs), batch.targets) / 4).backward()
        gradient = module.get_parameter("first.weight").grad
        assert np.allclose(saved(f"gradient/{FIRST}", step), gradient, atol=1e-6)


def test_frozen_parameters_have_weights_and_no_gradients(tmp_path):
    module = small()
    module.first.requires_grad_(False)
    record(tmp_path, ALL, module)
    names = Saved(tmp_path).names("train", 0)
    assert {FIRST, "gradient/Small_second.weight"} <= names
    assert f"gradient/{FIRST}" not in names


def test_evaluations_show_the_moving_average_that_is_judged(tmp_path):
    state, saved = record(tmp_path, ALL, ema_decay=0.9), Saved(tmp_path)
    average = state.average.module.get_parameter("first.weight").detach()
    assert np.allclose(saved(FIRST, 1, "eval"), average)
    assert not np.allclose(average, state.task.module.first.weight.detach())


def test_half_precision_is_saved_as_float32(tmp_path):
    device = replace(CPU, dtype=torch.bfloat16)
    record(tmp_path, ALL, device=device)
    saved = Saved(tmp_path)
    output = saved("relu_output_0", 0)
    assert output.dtype == np.float32
    (batch, *_) = state_for().task.batches.of_epoch(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = small().first(batch.inputs).relu()
    assert expected.dtype == torch.bfloat16
    assert np.array_equal(output, expected.detach().float())


def test_gradients_of_a_scaled_loss_are_scaled_back(tmp_path):
    """float16: the loss is multiplied by 65,536 before its backward pass."""
    state = record(tmp_path, ALL, device=replace(CPU, dtype=torch.float16), epochs=1)
    assert state.scaler.get_scale() > 1000
    (batch, *_) = state_for().task.batches.of_epoch(1)
    module = small()
    F.cross_entropy(module(batch.inputs), batch.targets).backward()
    gradient = module.get_parameter("first.weight").grad
    assert np.allclose(Saved(tmp_path)(f"gradient/{FIRST}", 0), gradient, atol=1e-3)


def test_with_mixup_the_loss_is_the_one_that_is_trained_on(tmp_path):
    state = record(tmp_path, hook_for(save_interval="1"), mixup=0.4, epochs=1)
    saved = Saved(tmp_path)
    mean = np.mean([saved(LOSS, step) for step in range(STEPS)])
    assert mean == pytest.approx(state.rows[0].metrics["train:loss"], abs=1e-6)


def test_early_stopping_ends_the_series(tmp_path):
    state = record(tmp_path, ALL, epochs=50, early_stopping_patience=2, lr=1e-12)
    assert is_patience_over(state.rows, state.values)
    assert Saved(tmp_path).steps("eval") == list(range(len(state.rows)))
    assert len(state.rows) < 50


def test_an_evaluation_that_is_broken_off_leaves_nothing(tmp_path):
    record(tmp_path, ALL, validate=lambda module, stop: None)
    saved = Saved(tmp_path)
    assert (saved.steps("train"), saved.steps("eval")) == (list(range(STEPS)), [])
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_run_that_diverges_keeps_what_it_saved(tmp_path):
    module = small()
    torch.nn.init.constant_(module.first.bias, torch.inf)
    with pytest.raises(JobError, match="diverged"):
        record(tmp_path, ALL, module)
    assert Saved(tmp_path).steps("train") == list(range(STEPS))
    assert (tmp_path / "training_job_end.ts").is_file()


class Broken(nn.Module):
    """Fails in its third forward pass, as one that runs out of memory does."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = small(), 0

    def forward(self, inputs):
        self.calls += 1
        logits = self.inner(inputs)
        if self.calls == 3:
            raise RuntimeError("out of memory")
        return logits


def test_a_step_that_fails_leaves_no_files_and_no_hooks(tmp_path):
    module = Broken()
    with pytest.raises(RuntimeError, match="out of memory"):
        record(tmp_path, ALL, module)
    assert Saved(tmp_path).steps("train") == [0, 1]
    assert list(tmp_path.rglob("*.tmp")) == []
    assert hooks_on(module) == []


def test_the_networks_of_unsaved_steps_have_no_hooks(tmp_path):
    recorder = recorder_for(tmp_path, hook_for("relu_output", "gradients", save_interval="4"))
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.last = nn.ReLU(), nn.Linear(4, 3)

        def forward(self, inputs):
            seen.append(len(hooks_on(self)) > 0)
            return self.last(self.relu(inputs))

    fit(state_for(Watch(recorder), Spy(), epochs=1), Stop(), Progressing())
    recorder.close()
    assert seen == [True, False, False, False, True, False]  # the last two evaluate


def test_a_compiled_network_has_the_names_of_the_plain_one(tmp_path):
    recorder = recorder_for(tmp_path, ALL)
    state = state_for(Watch(recorder), epochs=1)
    state.task.compiled = torch.compile(state.task.module, backend="eager")
    fit(state, Stop(), Progressing())
    recorder.close()
    saved = Saved(tmp_path)
    assert {FIRST, f"gradient/{FIRST}", "relu_output_1"} <= saved.names("train", 0)
    assert not [name for name in saved.names("train", 0) if "orig_mod" in name]


def test_copies_of_the_network_meet_no_hook(tmp_path):
    state = record(tmp_path, ALL)
    again = copy.deepcopy(state.task.module)
    assert torch.equal(again(INPUTS), state.task.module(INPUTS))
    assert len(score(again).targets) == len(LABELS)


def test_each_collection_keeps_its_own_interval(tmp_path):
    hook = hook_for(
        collection("weights", train__save_interval="4", eval__save_interval="2"),
        collection("gradients", save_steps="1,5", save_interval="100", start_step="50"),
        save_interval="2",
    )
    record(tmp_path, hook, epochs=3)
    saved = Saved(tmp_path)
    assert saved.steps("train") == [0, 1, 2, 4, 5, 6, 8, 10]
    assert saved.steps("eval") == [0, 2]
    with_weights = [step for step in saved.steps("train") if FIRST in saved.names("train", step)]
    assert with_weights == [0, 4, 8]
    gradients = [s for s in saved.steps("train") if f"gradient/{FIRST}" in saved.names("train", s)]
    assert gradients == [1, 5]
