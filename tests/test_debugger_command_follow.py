"""`python -m debugger rules --follow`: beside a job that still writes, until it ends."""

import json
import os
import signal
import subprocess
import time

from debugging import COMMAND, LARGE, SMALL, WAIT_SECONDS, job, step
from tensor_runs import clean_environment, write_step


def follow(*words) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, "rules", *map(str, words), "--follow"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_job_that_still_writes_is_evaluated_as_it_goes(tmp_path):
    """The child starts before there is anything; it hears of each step, and of the end."""
    folder, tensors = tmp_path / "job", tmp_path / "job/output/tensors"
    folder.mkdir()
    child = follow(folder, "--rule", "VanishingGradient")
    try:
        time.sleep(0.5)
        job(folder, LARGE, has_ended=False)
        time.sleep(0.5)
        write_step(tensors, 2, ("TRAIN", 1, step(SMALL)))
        first = json.loads(child.stdout.readline())  # while the job runs
        write_step(tensors, 3, ("TRAIN", 2, step(SMALL)))
        (tensors / "training_job_end.ts").touch()
        rest, _ = child.communicate(timeout=WAIT_SECONDS)
    finally:
        child.kill()
        child.wait()
    assert (first["result"]["status"], first["result"]["num_findings"]) == ("IssuesFound", 1)
    last = json.loads(rest.splitlines()[-1])["result"]
    assert (child.returncode, last["num_findings"], last["datapoints"]) == (1, 2, 3)


def test_sigterm_says_that_the_job_has_ended_and_what_is_left_is_evaluated(tmp_path):
    folder = job(tmp_path, SMALL, has_ended=False)
    child = follow(folder, "--rule", "VanishingGradient", "--rule", "Overfit:patience=1")
    try:
        first = json.loads(child.stdout.readline())
        write_step(folder / "output/tensors", 2, ("TRAIN", 1, step(SMALL)))
        os.kill(child.pid, signal.SIGTERM)
        rest, _ = child.communicate(timeout=WAIT_SECONDS)
    finally:
        child.kill()
        child.wait()
    assert first["result"]["name"] == "VanishingGradient"
    results = [json.loads(line)["result"] for line in rest.splitlines()]
    assert {one["name"]: one["status"] for one in results} == {
        "VanishingGradient": "IssuesFound", "Overfit": "NoIssuesFound",
    }  # fmt: skip
    assert results[0]["num_findings"] == 2
    assert results[1]["details"] == "not enough data: 1 evaluation, and more than 1 are needed"
    assert child.returncode == 1


def test_a_job_that_never_saves_ends_with_the_signal_and_says_so(tmp_path):
    child = follow(tmp_path, "--rule", "VanishingGradient")
    try:
        while not (tmp_path / "rule-output/rules.json").exists():  # then it listens
            assert child.poll() is None
            time.sleep(0.05)
        child.terminate()
        out, _ = child.communicate(timeout=WAIT_SECONDS)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 3
    assert "no debugging data was saved" in json.loads(out)["result"]["details"]
