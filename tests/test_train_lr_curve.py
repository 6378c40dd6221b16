import math

import numpy as np
import pytest

from contract.errors import JobError
from train.lr_curve import HIGHEST, LOWEST, LrCurve, has_exploded, smooth

CLASSES = 10


def planned_rates(steps: int = 100):
    return np.geomspace(LOWEST, HIGHEST, steps)


def falling_then_exploding(middle: float, steps: int = 100):
    """A loss that falls around `middle`, in a decade to each side, and rises two decades later."""
    rates = planned_rates(steps)
    away = np.log10(rates / middle)
    return rates, 4 - 3 / (1 + np.exp(-6 * away)) + 0.5 * np.exp(6 * (away - 2))


def swept(losses, classes: int = CLASSES):
    """What a sweep would have kept of these losses, and its advice."""
    rates, losses = planned_rates(len(losses)), np.array(losses)
    ends = [n for n in range(1, len(losses)) if has_exploded(losses[:n], len(losses), classes)]
    length = ends[0] if ends else len(losses)
    curve = LrCurve.of(rates[:length], losses[:length], classes)
    return curve, curve.advise()


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
    advice = LrCurve.of(*falling_then_exploding(middle, steps), CLASSES).advise()
    assert advice.suggested == pytest.approx(middle, rel=0.7)
    assert advice.low == pytest.approx(advice.suggested / 10, rel=0.1)
    assert advice.suggested < advice.high <= min(advice.suggested * 10.1, HIGHEST)


def test_with_few_pictures_the_range_reaches_to_where_the_loss_rises():
    """A frozen network, 85 pictures in batches of 32, three epochs: 0.01 was the best rate."""
    rates = planned_rates(100)
    learnt = 1.75 - 1.1 / (1 + (8e-4 / rates) ** 1.4)  # all there is, long before ...
    losses = learnt + 0.2 * np.log1p(rates / 0.01) + np.where(rates > 0.1, 10 * rates, 0)
    once, often = (LrCurve.of(rates[:75], losses[:75], 8, epochs) for epochs in (1.0, 33.0))
    assert once.advise().suggested == often.advise().suggested < 0.002
    assert once.advise().high < 0.009 < 0.01 <= often.advise().high < 0.04
    assert (once.has_few_pictures, often.has_few_pictures) == (False, True)


def test_noise_moves_the_suggestion_by_less_than_a_factor_of_three():
    _, losses = falling_then_exploding(0.01)
    for seed in range(20):
        noisy = losses + np.random.default_rng(seed).normal(0, 0.15, len(losses))
        assert 0.0033 < swept(noisy)[1].suggested < 0.03


@pytest.mark.parametrize("sigma", [0.6, 0.8, 1.0])
def test_batches_of_a_network_that_answers_well_neither_explode_nor_advise(sigma):
    for seed in range(30):
        losses = np.random.default_rng(seed).lognormal(-4, sigma, 100)
        curve, advice = swept(losses)
        assert len(curve.losses) == 100
        assert advice is None


@pytest.mark.parametrize("steps", [40, 100])
def test_a_loss_that_only_wavers_gives_no_advice(steps):
    for seed in range(50):
        losses = np.random.default_rng(seed).normal(2.0, 0.05, steps)
        assert swept(losses)[1] is None


def test_two_steps_give_no_advice_and_no_error():
    curve = LrCurve.of(planned_rates()[:2], np.array([0.001, 0.1]), CLASSES)
    assert curve.advise() is None
    assert len(curve.smoothed) == 2


def test_a_sweep_ends_when_the_loss_explodes_or_is_no_number():
    assert has_exploded([3.0, 2.0, math.nan], 100, CLASSES)
    assert has_exploded([3.0, math.inf], 100, CLASSES)
    assert has_exploded([*[1.0] * 10, *[50.0] * 3], 100, CLASSES)
    assert not has_exploded([*[1.0] * 10, 1.5], 100, CLASSES)
    assert not has_exploded([0.001, 0.1], 100, CLASSES)


def test_what_is_no_number_is_left_out_of_the_advice():
    rates, losses = falling_then_exploding(0.01)
    losses[-5:] = math.nan
    assert np.isfinite(LrCurve.of(rates, losses, CLASSES).smoothed).all()
    with pytest.raises(JobError, match="not a number"):
        LrCurve.of(rates[:3], np.array([math.nan, math.nan, 1.0]), CLASSES)
