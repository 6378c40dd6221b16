"""What is saved of a run, read back by smdebug and compared with a loop written by hand."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recording import (
    LABELS,
    LOSS,
    STEPS,
    Saved,
    collection,
    hook_for,
    record,
    score,
    small,
    state_for,
)

EVERYTHING = hook_for(
    "weights", "biases", "gradients", "relu_input", "relu_output", "labels", "predictions",
    save_interval="1",
)  # fmt: skip
WEIGHT = "first.weight"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """All steps of a run, what smdebug reads of them, and how the run ended."""
    folder = tmp_path_factory.mktemp("run") / "tensors"
    return record(folder, EVERYTHING), Saved(folder)


@pytest.fixture(scope="module")
def by_hand():
    """The same run in a plain loop: what each step saw before it changed the weights."""
    module, rows = small(), []
    for epoch in (1, 2):
        for batch in state_for().task.batches.of_epoch(epoch):
            module.zero_grad()
            logits = module(batch.inputs)
            loss = F.cross_entropy(logits, batch.targets)
            loss.backward()
            named = dict(module.named_parameters())
            rows.append(
                {
                    "weights": {name: one.detach().clone() for name, one in named.items()},
                    "gradients": {name: one.grad.clone() for name, one in named.items()},
                    "loss": loss.item(),
                    "logits": logits.detach(),
                    "inputs": batch.inputs,
                    "targets": batch.targets,
                }
            )
            with torch.no_grad():
                for one in module.parameters():
                    one -= 0.1 * one.grad
    return rows


def close(one, other):
    return np.allclose(np.asarray(one), np.asarray(other), atol=1e-5)


def test_a_step_holds_the_weights_before_its_update_and_its_own_gradients(run, by_hand):
    _, saved = run
    assert saved.steps("train") == list(range(2 * STEPS))
    for step, row in enumerate(by_hand):
        assert close(saved(LOSS, step), row["loss"])
        for name, weight in row["weights"].items():
            assert close(saved(f"Small_{name}", step), weight)
            assert close(saved(f"gradient/Small_{name}", step), row["gradients"][name])


def test_logits_and_targets_are_the_inputs_of_the_loss(run, by_hand):
    _, saved = run
    assert close(saved("CrossEntropyLoss_input_0", 3), by_hand[3]["logits"])
    assert close(saved("CrossEntropyLoss_input_1", 3), by_hand[3]["targets"])
    assert saved.of("labels") == {"CrossEntropyLoss_input_1"}
    assert saved.of("predictions") == {"CrossEntropyLoss_input_0"}


def test_an_evaluation_is_one_step_with_the_exact_loss_of_the_split(run):
    state, saved = run
    assert saved.steps("eval") == [0, 1]
    for epoch, row in enumerate(state.rows):
        assert saved(LOSS, epoch, "eval") == np.float32(row.metrics["validation:loss"])
        assert saved("scalar/validation:accuracy", epoch, "eval") == pytest.approx(
            row.metrics["validation:accuracy"]
        )
    final = score(state.task.module)
    weight = state.task.module.get_parameter(WEIGHT)
    assert close(saved(f"Small_{WEIGHT}", 1, "eval"), weight.detach())
    assert close(saved("CrossEntropyLoss_input_1", 1, "eval"), LABELS)
    logits = torch.from_numpy(saved("CrossEntropyLoss_input_0", 1, "eval"))
    assert close(logits.softmax(dim=1), final.probabilities)


def test_of_an_evaluation_the_first_batch_is_seen_within_the_network(run):
    _, saved = run
    assert saved("relu_output_0", 0, "eval").shape == (20, 6)
    assert not any(name.startswith("gradient/") for name in saved.names("eval", 0))


def test_all_modes_share_one_count_of_steps(run):
    _, saved = run
    assert saved.trial.steps() == list(range(2 * STEPS + 2))
    assert saved.trial.mode_step(STEPS) == 0  # the first evaluation follows the first epoch
    assert saved.trial.mode_step(STEPS + 1) == STEPS


def test_what_goes_into_a_relu_is_seen_before_it_is_written_over(run, by_hand):
    _, saved = run
    weights, inputs = by_hand[2]["weights"], by_hand[2]["inputs"]
    first = F.linear(inputs, weights["first.weight"], weights["first.bias"])
    second = F.linear(first.relu(), weights["second.weight"], weights["second.bias"])
    assert close(saved("relu_input_0", 2), first)
    assert close(saved("relu_input_1", 2), second)  # the module's second use
    assert close(saved("relu_output_1", 2), second.relu())
    assert first.min() < 0


def test_relus_that_are_not_called_so_are_in_the_ready_collections(run):
    _, saved = run
    assert saved.of("relu_input") == {"relu_input_0", "relu_input_1", "last.1_input_0"}
    assert saved.of("relu_output") == {"relu_output_0", "relu_output_1", "last.1_output_0"}


def test_the_learning_rate_is_saved_with_each_step(tmp_path):
    hook = hook_for(collection("metrics", save_interval="2"))
    record(tmp_path, hook, schedule="cosine", lr=1.0)
    saved = Saved(tmp_path)
    rates = [saved("scalar/learning_rate", step) for step in (0, 2, 4, 6)]
    assert rates == pytest.approx([0.5 * (1 + np.cos(np.pi * step / 8)) for step in (0, 2, 4, 6)])
    assert "scalar/learning_rate" in saved.of("metrics")


def test_statistics_take_the_place_of_values(tmp_path):
    kinds = "min,max,mean,std,abs_mean,l2_norm"
    hook = hook_for(collection("gradients", reductions=kinds), "weights", save_interval="4")
    record(tmp_path, hook)
    saved = Saved(tmp_path)
    (batch, *_) = state_for().task.batches.of_epoch(1)
    module = small()
    F.cross_entropy(module(batch.inputs), batch.targets).backward()
    gradient = module.get_parameter(WEIGHT).grad.numpy()
    name = f"gradient/Small_{WEIGHT}"
    assert saved.statistic("mean", name, 0) == pytest.approx(gradient.mean(), abs=1e-6)
    assert saved.statistic("abs_mean", name, 0) == pytest.approx(np.abs(gradient).mean(), abs=1e-6)
    assert saved.statistic("std", name, 0) == pytest.approx(gradient.std(ddof=1), abs=1e-6)
    assert saved.statistic("l2", name, 0) == pytest.approx(np.linalg.norm(gradient), abs=1e-6)
    assert saved(f"Small_{WEIGHT}", 0).shape == (6, 4)
    raw = [one["tensorname"] for one in index_of(tmp_path, 0)["tensor_payload"]]
    assert name not in raw


def test_statistics_of_whole_numbers_are_taken_too(tmp_path):
    record(tmp_path, hook_for(collection("labels", reductions="mean"), save_interval="1"))
    targets = next(iter(state_for().task.batches.of_epoch(1))).targets
    name = "CrossEntropyLoss_input_1"
    assert Saved(tmp_path).statistic("mean", name, 0) == pytest.approx(targets.double().mean())


def test_values_beside_statistics_and_shapes_are_asked_for_in_words(tmp_path):
    both = collection("weights", reductions="mean", save_raw_tensor="true")
    shapes = collection("biases", reductions="mean", save_shape="true")
    record(tmp_path, hook_for(both, shapes, save_interval="8"))
    saved = Saved(tmp_path)
    assert saved(f"Small_{WEIGHT}", 0).shape == (6, 4)
    shape = next(
        one["shape"]
        for one in index_of(tmp_path, 0)["shape_payload"]
        if one["tensorname"] == "Small_first.bias"
    )
    assert shape == [6]


def test_pictures_are_saved_when_they_are_asked_for(tmp_path):
    record(tmp_path, hook_for(include_regex="^Small_input_0$", save_interval="1"))
    batch = next(iter(state_for().task.batches.of_epoch(1)))
    assert close(Saved(tmp_path)("Small_input_0", 0), batch.inputs)


def index_of(folder, step):
    """What a step's index says, without smdebug."""
    return json.loads((folder / f"index/000000000/{step:012d}_worker_0.json").read_text())
