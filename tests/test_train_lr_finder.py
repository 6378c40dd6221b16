import json
import sys

import numpy as np
import pytest
from hosts import lay_out_hosts, run_hosts
from PIL import Image
from training import CPU, TINY, job_for, lay_out, run_command, tiny_run

from train.group import Group
from train.learning import Ready
from train.lr_curve import HIGHEST, LOWEST, LrCurve
from train.lr_finder import num_steps, run_lr_finder, sweep, write_advice

FROZEN = {"unfreeze": "none", "epochs": "1"}


def found(run):
    """Rates and losses of a sweep over a tiny run."""
    ready = Ready(job=run.job, data=run.data, start=run.start, device=CPU, group=Group())
    curve = sweep(run.learner, ready)
    return curve.rates, curve.losses


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


def test_a_job_leaves_advice_and_no_model(pictures, tmp_path, caplog):
    job = job_for(pictures, tmp_path)
    with caplog.at_level("INFO"):
        run_lr_finder(job, tmp_path / "work")
    assert "few pictures: the steps saw each of them" in caplog.text  # 36, in batches of 8
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


def test_a_sweep_that_shows_nothing_leaves_its_picture_and_says_so(pictures, tmp_path, caplog):
    job = job_for(pictures, tmp_path)
    losses = np.random.default_rng(0).lognormal(-4, 1.0, 100)
    curve = LrCurve.of(np.geomspace(LOWEST, HIGHEST, 100), losses, 3)
    write_advice(job, curve, images=8)
    left = json.loads((tmp_path / "output" / "lr_finder.json").read_text())
    assert (left["suggested"], left["range"], left["images_per_step"]) == (None, None, 8)
    assert (tmp_path / "output" / left["picture"]).stat().st_size > 1000
    assert "no learning rate is suggested: in 100 steps of 8 pictures" in caplog.text


def test_a_network_that_answers_well_is_swept_to_the_end(pictures, tmp_path):
    """Its batches differ by far more than a factor of four."""
    run = tiny_run(pictures, tmp_path, **{**FROZEN, "epochs": "60"}, lr="0.1", label_smoothing="0")
    run.fit()
    rates, losses = found(run)
    assert losses[:10].mean() < 0.1
    assert rates[-1] > 0.01


def test_several_processes_of_a_host_look_for_the_rate_together(pictures, tmp_path):
    found = {}
    for count in ("1", "2"):
        (base,) = lay_out_hosts(
            tmp_path / count,
            [{"train": pictures / "train", "validation": pictures / "validation"}],
            unfreeze="all",
            processes_per_host=count,
            kennel_find_lr="true",
        )
        ((code, output),) = run_hosts([base])
        assert code == 0, output
        assert "steps of 8 pictures" in output
        found[count] = json.loads((base / "output/data/lr_finder.json").read_text())["points"]
        assert ("with 2 processes each" in output) == (count == "2")
    one, two = (np.array(found[count])[:20, 1] for count in ("1", "2"))
    assert one == pytest.approx(two, rel=1e-3)  # at rates that move next to nothing
