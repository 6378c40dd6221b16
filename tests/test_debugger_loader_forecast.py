"""What more loader workers would change is forecast from what the job's own processes used."""

import subprocess
import sys
import time

import pytest
from profile_rules import loading
from profiled import all_events, lay_out_profiled, of_phase, place_of, run_profiled
from profiles import T0, Span, write_timeline

from debugger.profile.facts import Facts
from debugger.profile.loading import read_loading
from debugger.profile.read import read_profile

STEPS = 120  # of the made-up job


def told(folder, *, step_cpu, load_cpu=0.0, workers=0):
    """What our training adds to a timeline: CPU time of its own processes."""
    facts = {"epoch": 1, "steps": STEPS, "steps_cpu_seconds": STEPS * step_cpu}
    spans = [Span(phase="Epoch", start=T0 + 1, seconds=60.0, step=-2, arguments=facts)]
    for n in range(STEPS if workers else 0):
        spans.append(
            Span(
                phase="DataLoaderWorker", start=T0 + 2 + 0.2 * n, seconds=0.2, step=-2,
                pid=50 + n % workers, arguments={"cpu_us": round(load_cpu * 1e6)},
            )
        )  # fmt: skip
    write_timeline(folder, "0-algo-1", spans)
    return folder


def best(folder):
    """Workers, and the seconds of a step with as many."""
    (found,) = read_loading(Facts.of(read_profile([folder])))
    return found.better_workers(), round(found.forecast(found.better_workers()), 4)


@pytest.mark.parametrize(
    ("step_cpu", "found"),
    [(0.2, (1, 0.1)), (0.3, (1, 0.15))],  # one core; one and a half: two cores have no more
)
def test_what_other_programs_use_of_the_host_counts_for_nothing(tmp_path, step_cpu, found):
    """A tenth of a second to load and one to compute, on two cores."""
    busy = loading(tmp_path / "busy", 0.1, 0, [100.0, 100.0], [0.0, 0.0])
    quiet = loading(tmp_path / "quiet", 0.1, 0, [50.0, 50.0], [0.0, 0.0])
    assert (best(busy), best(quiet)) == ((1, 0.15), (1, 0.1))  # as far as the host's use tells
    assert best(told(busy, step_cpu=step_cpu)) == best(told(quiet, step_cpu=step_cpu)) == found


def test_workers_have_cpu_time_of_their_own(tmp_path):
    """One needs 0.2 s for a batch, and a core for half of that: two keep up with the network."""
    folder = loading(tmp_path, 0.1, 1, [100.0, 100.0], [0.0, 0.0], load=0.2)
    assert best(folder) == (1, 0.2)  # both cores are busy: a second one would not help
    assert best(told(folder, step_cpu=0.1, load_cpu=0.1, workers=1)) == (2, 0.1)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_training_writes_down_what_its_own_processes_used(pictures, tmp_path, workers):
    """Beside programs that leave it no core for itself."""
    burn = "import time\nwhile time.monotonic() < {}: pass"
    until = time.monotonic() + 60
    others = [subprocess.Popen([sys.executable, "-c", burn.format(until)]) for _ in range(3)]
    try:
        base = lay_out_profiled(tmp_path, pictures, unfreeze="all", num_workers=workers)
        before = time.process_time()
        code, _ = run_profiled(base)
        whole = time.process_time() - before
    finally:
        for one in others:
            one.kill()
            one.wait()
    assert code == 0
    events = all_events(place_of(base))
    epochs, steps = of_phase(events, "Epoch"), of_phase(events, "Step:ModeKeys.TRAIN")
    made = of_phase(events, "DataLoaderWorker")
    assert sum(one.args["steps"] for one in epochs) == len(steps)
    used = sum(one.args["steps_cpu_seconds"] for one in epochs)
    assert 0 < used < whole
    lasted = sum(one.end_us - one.start_us for one in steps) / 1e6
    assert used < 1.1 * lasted  # one thread, and what it waits for is no work
    assert all(0 < one.args["cpu_us"] <= one.end_us - one.start_us + 1000 for one in made)
    (found,) = read_loading(Facts.of(read_profile([base / "output/profiler"])))
    assert found.step_cpu == pytest.approx(used / len(steps))
    assert (found.load_cpu is None) == (workers == "0")
