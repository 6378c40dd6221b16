import json
import math
import sys

import numpy as np
import pytest
from PIL import Image
from training import CPU, TINY, job_for, lay_out, run_command, tiny_run

from contract.errors import JobError
from train.group import Group
from train.learning import Ready
from train.lr_finder import (
    HIGHEST,
    LOWEST,
    advise,
    has_exploded,
    num_steps,
    run_lr_finder,
    smooth,
    sweep,
)

FROZEN = {"unfreeze": "none", "epochs": "1"}


def found(run):
    """Rates and losses of a sweep over a tiny run."""
    ready = Ready(job=run.job, data=run.data, start=run.start, device=CPU, group=Group())
    return sweep(run.learner, ready)


def falling_then_exploding(middle: float, steps: int = 100):
    """A loss that falls around `middle`, in a decade to each side, and rises two decades later."""
    rates = np.geomspace(LOWEST, HIGHEST, steps)
    away = np.log10(rates / middle)
    return rates, 4 - 3 / (1 + np.exp(-6 * away)) + 0.5 * np.exp(6 * (away - 2))


def test_smoothing_agrees_with_a_plain_loop():
    losses = np.random.default_rng(0).normal(3, 1, 20)
    decay, mean = 5 / 6, 0.0
    for number, loss in enumerate(losses, start=1):
        mean = decay * mean + (1 - decay) * loss
        assert smooth(losses, 100)[number - 1] == pytest.approx(mean / (1 - decay**number))


def test_a_constant_loss_stays_what_it_is_from_the_first_step_on():
    assert smooth([2.5] * 9, 100) == pytest.approx([2.5] * 9)


@pytest.mark.parametrize("middle", [1e-4, 1e-3, 1e-2, 0.1])
@pytest.mark.parametrize("steps", [40, 100])
def test_the_suggestion_is_where_the_loss_falls_fastest(middle, steps):
    advice = advise(*falling_then_exploding(middle, steps))
    assert advice.suggested == pytest.approx(middle, rel=0.7)
    assert advice.low == pytest.approx(advice.suggested / 10, rel=0.1)
    assert advice.suggested < advice.high <= min(advice.suggested * 10.1, HIGHEST)


def test_noise_moves_the_suggestion_by_less_than_a_factor_of_three():
    rates, losses = falling_then_exploding(0.01)
    for seed in range(20):
        noisy = losses + np.random.default_rng(seed).normal(0, 0.15, len(losses))
        assert 0.0033 < advise(rates, noisy).suggested < 0.03


def test_a_sweep_ends_when_the_loss_explodes_or_is_no_number():
    assert has_exploded([3.0, 2.0, math.nan], 100)
    assert has_exploded([3.0, math.inf], 100)
    assert has_exploded([*[1.0] * 10, *[50.0] * 3], 100)
    assert not has_exploded([*[1.0] * 10, 1.5], 100)


def test_what_is_no_number_is_left_out_of_the_advice():
    rates, losses = falling_then_exploding(0.01)
    losses[-5:] = math.nan
    assert np.isfinite(advise(rates, losses).smoothed).all()
    with pytest.raises(JobError, match="not a number"):
        advise(rates[:3], np.array([math.nan, math.nan, 1.0]))


def test_each_step_has_its_own_rate(pictures, tmp_path):
    rates, losses = found(tiny_run(pictures, tmp_path, **FROZEN))
    assert len(rates) == len(losses)
    assert rates[0] == pytest.approx(LOWEST)
    assert np.diff(np.log(rates)) == pytest.approx(np.log(HIGHEST / LOWEST) / 99)


def test_the_first_loss_is_that_of_the_untouched_network(pictures, tmp_path):
    """A sweep trains with the very batches of the job: their losses are the same."""
    run = tiny_run(pictures, tmp_path, **FROZEN)
    batch = next(iter(run.learner.task.batches.of_epoch(1)))
    logits = run.learner.task.module(batch.inputs).log_softmax(1).detach()
    smoothing = run.learner.values.label_smoothing
    right = logits[range(len(batch.targets)), batch.targets]
    expected = -((1 - smoothing) * right + smoothing * logits.mean(1)).mean()
    assert found(run)[1][0] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("unfreeze", ["none", "all"])
def test_the_same_seed_gives_the_same_sweep(pictures, tmp_path, unfreeze):
    one, two = (found(tiny_run(pictures, tmp_path, unfreeze=unfreeze)) for _ in range(2))
    assert np.array_equal(one, two)


def test_gradient_accumulation_takes_one_rate_for_its_batches(pictures, tmp_path):
    """36 pictures in batches of 8: 5 batches an epoch, 3 steps of 2, 2 and 1."""
    plain = tiny_run(pictures, tmp_path, unfreeze="all")
    run = tiny_run(pictures, tmp_path, unfreeze="all", gradient_accumulation="2")
    assert num_steps(run.learner, 5) == num_steps(plain.learner, 5) == 40
    _, losses = found(run)
    _, each = found(plain)
    assert losses[0] == pytest.approx(each[:2].mean(), rel=1e-3)  # at a rate that moves nothing


def test_a_job_leaves_advice_and_no_model(pictures, tmp_path):
    job = job_for(pictures, tmp_path)
    run_lr_finder(job, tmp_path / "work")
    advice = json.loads((tmp_path / "output" / "lr_finder.json").read_text())
    low, high = advice["range"]
    assert LOWEST < low < advice["suggested"] < high <= HIGHEST
    assert all(len(point) == 2 for point in advice["points"])
    with Image.open(tmp_path / "output" / advice["picture"]) as image:
        assert min(image.size) > 300
    assert not list((tmp_path / "model").iterdir())


def test_a_reserved_hyperparameter_makes_a_job_a_search_for_its_rate(pictures, tmp_path):
    """As a process of its own, laid out as SageMaker does."""
    base = lay_out(tmp_path, pictures, {**TINY, "kennel_find_lr": "true"})
    done = run_command([sys.executable, "-m", "train"], {"SAGEMAKER_BASE_DIR": str(base)})
    assert done.returncode == 0, done.stdout + done.stderr
    advice = json.loads((base / "output" / "data" / "lr_finder.json").read_text())
    assert f"lr     {advice['suggested']:g} is suggested" in done.stdout
    assert f"--set lr={advice['suggested']:g}" in done.stdout
    assert not list((base / "model").iterdir())
