"""Rules that look on while a job runs: each step once, when it is complete, and stalling."""

from evaluating import LARGE, SMALL, gradients_of, spec
from tensor_runs import GRADIENTS, Training, write_step, write_steps

from debugger.rules.watch import TensorWatch


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_new_steps_are_looked_at_once_as_they_come(tmp_path):
    folder = tmp_path / "output/tensors"
    with TensorWatch(str(tmp_path), [spec("VanishingGradient")], is_awaited=True) as watch:
        watch.poll()
        assert (watch.has_ended(), watch.results[0].status) == (None, "InProgress")
        write_steps(folder, gradients_of(LARGE), collections=GRADIENTS, has_ended=False)
        watch.poll()
        assert (watch.has_ended(), watch.results[0].datapoints) == (False, 1)
        watch.poll()
        assert watch.results[0].datapoints == 1
        write_step(folder, 1, gradients_of(LARGE, SMALL)[1])
        watch.poll()
        assert (watch.results[0].status, watch.results[0].datapoints) == ("IssuesFound", 2)
        (folder / "training_job_end.ts").touch()
        assert watch.has_ended() is True
        watch.finish()
    assert watch.results[0].num_findings == 1


def test_a_training_that_stops_to_write_fires_the_rule_about_stalling(tmp_path):
    """And its twin, which goes on in time, does not."""
    for name, seconds, status in (("stalled", 31, "IssuesFound"), ("alive", 29, "NoIssuesFound")):
        clock, folder = Clock(), tmp_path / name
        folder.mkdir()
        rule = spec("StalledTrainingRule", threshold=30)
        with TensorWatch(str(folder), [rule], is_awaited=True, clock=clock) as watch:
            run = Training(epochs=1, collections=("losses",), is_closed=False)
            run.run(folder / "output/tensors")  # its last step stays open, as it does live
            watch.poll()
            clock.now += seconds
            watch.poll()
            write_step(folder / "output/tensors", 9, ("TRAIN", 9, {"loss": 1.0}))
            watch.poll()
            clock.now += 1
            watch.poll()
            watch.finish()
        assert watch.results[0].status == status
        if status == "IssuesFound":
            assert watch.results[0].findings[0].value == seconds


def test_a_step_is_complete_when_all_workers_have_it_or_the_job_is_over(tmp_path):
    folder, workers = tmp_path / "output/tensors", ("worker_0", "worker_1")
    with TensorWatch(str(tmp_path), [spec("VanishingGradient")], is_awaited=True) as watch:
        write_steps(
            folder, gradients_of(LARGE), collections=GRADIENTS, workers=workers, has_ended=False
        )
        write_step(folder, 1, gradients_of(LARGE, SMALL)[1], "worker_1")
        watch.poll()
        assert watch.results[0].datapoints == 1
        watch.finish()  # worker_0 is gone
    assert watch.results[0].datapoints == 2
    assert watch.results[0].findings[0].tensor == "gradient/fc"
