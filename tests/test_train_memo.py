import torch
from training import CPU, job_for

from train.cache import Cache
from train.channels import read_data
from train.head_learner import HeadLearner
from train.loop import Fit, Progressing, fit
from train.memo import MOST, Memo, Same
from train.progress import Progress
from train.start import start_network
from train.stop import Stop


def test_a_value_is_made_once_and_only_the_last_ones_are_kept():
    memo, made = Memo(Cache(None)), []

    def make(key):
        return memo.once("kind", key, lambda: made.append(key) or len(made))

    assert [make(key) for key in ("a", "b", "a")] == [1, 2, 1]
    for number in range(MOST):
        make(number)
    assert make("a") == 3 + MOST
    assert memo.once("other kind", "a", lambda: "own") == "own"


def test_equal_things_are_not_the_same_thing():
    one, other = [1], [1]
    assert Same(one) == Same(one)
    assert Same(one) != Same(other)
    assert hash(Same(one)) == hash(Same(one))


class Trials:
    """Trials of one process, or each as if in a process of its own."""

    def __init__(self, pictures, folder):
        self._pictures, self._folder = pictures, folder
        job = job_for(pictures, folder)
        self._data = read_data(job, folder / "work")

    def run(self, memo, **changes):
        job = job_for(self._pictures, self._folder, unfreeze="none", **changes)
        start = start_network(job, self._data.labels, self._folder / "work", memo)
        learner = HeadLearner(start, self._data, CPU, Progress(enabled=False), memo=memo)
        state = Fit(task=learner.task, values=learner.values, device=CPU)
        fit(state, Stop(), Progressing())
        network = learner.finish(state.best_state)
        scores = learner.judge(self._data.test).scores
        return start, learner, network.state_dict(), scores


SETTINGS = (
    {"lr": "0.01"},
    {"lr": "0.1", "batch_size": "4"},
    {"lr": "0.01", "augment": "crop"},
    {"lr": "0.03", "optimizer": "sgd"},
    {"lr": "0.01"},
)


def test_a_trial_after_others_ends_as_a_job_of_its_own(pictures, tmp_path):
    trials, memo = Trials(pictures, tmp_path), Memo(Cache(None))
    for changes in SETTINGS:
        *_, together, scores = trials.run(memo, **changes)
        *_, alone, expected = trials.run(None, **changes)
        assert all(torch.equal(together[name], alone[name]) for name in alone)
        assert torch.equal(scores.probabilities, expected.probabilities)


def test_trials_share_trunk_and_features(pictures, tmp_path):
    trials, memo = Trials(pictures, tmp_path), Memo(Cache(None))
    first, one, *_ = trials.run(memo, lr="0.01")
    second, other, *_ = trials.run(memo, lr="0.1")
    assert first.network.trunk is second.network.trunk
    assert first.network.head is not second.network.head
    assert one.frozen is other.frozen
    assert one.task.batches._views is other.task.batches._views


def test_what_a_trial_learns_does_not_reach_the_next(pictures, tmp_path):
    trials, memo = Trials(pictures, tmp_path), Memo(Cache(None))
    before, *_ = trials.run(memo, lr="0.1")
    kept = {name: value.clone() for name, value in before.network.state_dict().items()}
    trials.run(memo, lr="0.3")
    after = before.network.state_dict()
    assert all(torch.equal(kept[name], after[name]) for name in kept)


def test_a_trial_that_fine_tunes_has_a_trunk_of_its_own(pictures, tmp_path):
    trials, memo = Trials(pictures, tmp_path), Memo(Cache(None))
    frozen, *_ = trials.run(memo)
    job = job_for(pictures, tmp_path, unfreeze="all")
    tuned = start_network(job, trials._data.labels, tmp_path / "work", memo)
    assert tuned.network.trunk is not frozen.network.trunk
    for name, value in frozen.network.trunk.state_dict().items():
        assert torch.equal(value, tuned.network.trunk.state_dict()[name])


def test_the_head_is_drawn_apart_from_the_trunk(pictures, tmp_path):
    weights = [
        start_network(job_for(pictures, tmp_path, seed=seed, arch=arch),
                      Trials(pictures, tmp_path)._data.labels, tmp_path).network.head.weight
        for seed, arch in (("3", "resnet18"), ("3", "resnet34"), ("4", "resnet18"))
    ]  # fmt: skip
    assert torch.equal(weights[0], weights[1])  # both 512 wide
    assert not torch.equal(weights[0], weights[2])
