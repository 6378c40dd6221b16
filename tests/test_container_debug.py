"""The Debugger around containers and S3: rules beside a container, findings over a prefix."""

import contextlib
import json
import os
import subprocess
import sys

import pytest
from buckets import BUCKET, buckets, moto_server
from containers import build_images
from training import TINY

from control.cli import main
from control.runs import read_run

pytestmark = pytest.mark.container


@pytest.fixture(scope="module")
def watched(pictures, tmp_path_factory):
    """(folder above runs/, exit code) of a container's job with a rule that fails it."""
    build_images()
    folder = tmp_path_factory.mktemp("watched")
    path = folder / "tiny.toml"
    lines = [f'{name} = "{text}"' for name, text in TINY.items()]
    channels = [f'{name} = "{pictures / name}"' for name in ("train", "validation")]
    tables = ["[debugger]", "save_interval = 1", "[profiler]", "[rules.Overfit]"]
    rule = ["ratio_threshold = -1", 'actions = ["fail"]']
    every = ["[hyperparameters]", *lines, "[channels]", *channels, *tables, *rule]
    path.write_text("\n".join(every))
    with contextlib.chdir(folder):
        code = main(["run", str(path), "--on", "container"])
    return folder, code


def test_rules_look_at_a_containers_job_from_outside(watched):
    folder, code = watched
    run = read_run(folder / "runs" / "0001-tiny")
    assert (code, run.status) == (1, "Failed")
    assert run.failure_reason.startswith("rule Overfit at step ")
    assert (run.folder / "model" / "bundle.json").is_file()
    assert [rule["name"] for rule in run.rules] == ["Overfit", "ProfilerReport"]
    paths = [*(run.folder / "output" / "tensors").rglob("*"), *(run.folder / "output").rglob("*")]
    assert {path.stat().st_uid for path in paths} == {os.getuid()}


@pytest.mark.skipif(moto_server() is None, reason="moto is not installed")
def test_what_a_job_left_in_s3_is_looked_at_as_a_run_is(watched, tmp_path):
    """As the service lays it out: tensors and profile below the job's prefix, a model beside."""
    output = watched[0] / "runs" / "0001-tiny" / "output"
    with buckets(tmp_path) as s3:
        s3.put("jobs/tiny-1/output/model.tar.gz", b"not ours")
        for ours, theirs in (("tensors", "debug-output"), ("profiler", "profiler-output")):
            for path in filter(os.path.isfile, (output / ours).rglob("*")):
                name = path.relative_to(output / ours).as_posix()
                s3.put(f"jobs/tiny-1/{theirs}/{name}", path.read_bytes())
        words = ("debug", "rules", f"s3://{BUCKET}/jobs/tiny-1", "-o", "json")
        done = subprocess.run(
            [sys.executable, "-m", "control", *words],
            env=s3.environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode in (0, 1), done.stderr
    names = [one["name"] for one in json.loads(done.stdout)["rules"]]
    assert "LossNotDecreasing" in names
    assert "ProfilerReport" in names
