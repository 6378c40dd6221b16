"""An EC2 instance for tests: a folder in which the user data of a job runs for real.

Its docker, aws, shutdown, systemctl, dnf and curl are stand-ins that write down how they were
called and do as the test says. S3 is a folder.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from control.aws.ec2.user_data import InstanceJob, user_data

WAIT_SECONDS = 300
JOB = "dogs-20261128-051500"
BUCKET = "kennel-bucket"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/kennel-train:latest"
TRAINED = """
mkdir -p "$ML/model" "$ML/output/data"
echo 'epoch 1/1  loss 0.5'
echo 'validation:accuracy=0.750000;'
echo '{}' >"$ML/model/bundle.json"
echo '<p>' >"$ML/output/data/report.html"
"""
# Begins, and ends a moment after it was told to stop.
TRAINS_ON = "until [ -e stop ]; do sleep 0.02; done\n" + TRAINED

STAND_IN = r"""#!{python}
import json, os, pathlib, shutil, subprocess, sys, time
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
with open("calls.jsonl", "a") as calls:
    calls.write(json.dumps([name, *words]) + "\n")
said = " ".join([name, *words])
plan = json.loads(pathlib.Path("plan.json").read_text())
for part, text in plan["fails"].items():
    if part in said:
        sys.exit(text)

def place(uri):
    inside = uri.removeprefix("s3://")
    return pathlib.Path("s3", inside) if inside != uri else pathlib.Path(uri)

def copy(source, target):
    inside = target.is_dir() or str(words[-1]).endswith("/")
    target = target / source.name if inside else target
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)

if name == "aws" and words[:2] == ["s3", "cp"]:
    source, target = map(place, words[-2:])
    if "--recursive" in words:
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        copy(source, target)
    else:
        sys.exit("fatal error: An error occurred (404) when calling HeadObject: Not Found")
elif name == "aws" and words[:2] == ["s3", "ls"]:
    prefix = place(words[2])
    sys.exit(0 if list(prefix.parent.glob(prefix.name + "*")) else 1)
elif name == "docker" and words[0] == "run":
    ml = words[words.index("--volume") + 1].removesuffix(":/opt/ml")
    code = subprocess.run(["bash", "train.sh"], env={{**os.environ, "ML": ml}}).returncode
    pathlib.Path("ended").touch()
    sys.exit(code)
elif name == "docker" and words[0] == "stop":
    pathlib.Path("stop").touch()
    while not pathlib.Path("ended").exists():
        time.sleep(0.02)
elif name == "curl":
    answers = [text for part, text in plan["metadata"].items() if part in said]
    print(*answers[:1], end="")
    sys.exit(0 if answers else 22)
elif name == "dnf":
    shutil.copyfile("bin/docker", "bin/aws")
    os.chmod("bin/aws", 0o755)
"""


@dataclass(kw_only=True)
class Instance:
    """One machine, before or after its only start."""

    folder: Path
    train: str = TRAINED  # bash: what `docker run IMAGE train` does; $ML is /opt/ml
    fails: dict[str, str] = field(default_factory=dict)  # part of a call -> its last words
    metadata: dict[str, str] = field(default_factory=dict)  # part of an address -> its answer
    missing: tuple[str, ...] = ()  # programs that the machine has not

    def start(self, **changes: Any) -> "subprocess.CompletedProcess[str]":
        """Run the user data to its end."""
        with self.begin(**changes) as script:
            try:
                said, complained = script.communicate(timeout=WAIT_SECONDS)
            finally:  # nothing is left of a script that does not end
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(script.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(script.args, script.returncode, said, complained)

    def begin(self, **changes: Any) -> "subprocess.Popen[str]":
        """Run the user data."""
        binaries = self.folder / "bin"
        binaries.mkdir()
        for name in {"docker", "aws", "shutdown", "systemctl", "dnf", "curl"} - {*self.missing}:
            (binaries / name).write_text(STAND_IN.format(python=sys.executable))
            (binaries / name).chmod(0o755)
        (self.folder / "train.sh").write_text(self.train)
        plan = {"fails": self.fails, "metadata": self.metadata}
        (self.folder / "plan.json").write_text(json.dumps(plan))
        script = user_data(
            job_of(**changes),
            ml=self.folder / "ml",
            work=self.folder / "work",
            poll_seconds=0.05,
            pause_seconds=0,
        )
        (self.folder / "user-data").write_text(script)
        return subprocess.Popen(
            ["bash", "user-data"],
            cwd=self.folder,
            env={"PATH": f"{binaries}:/usr/bin:/bin", "HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def put(self, key: str, data: bytes = b"x") -> None:
        """Into the bucket."""
        path = self.folder / "s3" / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def got(self, name: str) -> Path:
        """What the job left in S3."""
        return self.folder / "s3" / BUCKET / "out" / JOB / name

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.got("status.json").read_text(encoding="utf-8"))
        return found

    @property
    def calls(self) -> list[list[str]]:
        """Every call of a stand-in, in order."""
        path = self.folder / "calls.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        return [json.loads(line) for line in lines]


def job_of(**changes: Any) -> InstanceJob:
    """A small job whose pictures are in the bucket."""
    given = {
        "name": JOB,
        "output": f"s3://{BUCKET}/out/{JOB}",
        "image": IMAGE,
        "instance_type": "m5.xlarge",
        "hyperparameters": {"epochs": "1"},
        "channels": {"train": f"s3://{BUCKET}/train"},
        "max_run_seconds": 600,
    }
    return InstanceJob(**{**given, **changes})
