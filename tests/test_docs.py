"""The documentation is in step with the code, and what it tells people to type is understood."""

import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from documented import PAGES, ROOT, blocks, commands

from contract.errors import KennelError
from contract.hyperparameters import SETTINGS, parse_hyperparameters
from contract.job import CHANNELS, channel_name
from control.aws.endpoint.deployment import read_deployment
from control.cli import COMMANDS, find_command
from control.parser import parse
from control.reference import stale_pages
from train.options import build_parser

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def found(program):
    """The commands that start with `program`, ready for parametrize."""
    size = len(program)
    return [
        pytest.param(words[size:], id=f"{page.name}: {shlex.join(words)}")
        for page, words in commands()
        if tuple(words[:size]) == program
    ]


def test_the_generated_pages_are_in_step():
    assert stale_pages(ROOT / "docs") == [], "run `make docs`"


def test_every_knob_command_and_error_is_documented():
    hyperparameters = (ROOT / "docs" / "hyperparameters.md").read_text()
    assert all(f"| `{setting.name}` |" in hyperparameters for setting in SETTINGS)
    cli = (ROOT / "docs" / "cli.md").read_text()
    assert all(f"## `kennel {command.name}`" in cli for command in COMMANDS)
    errors = (ROOT / "docs" / "errors.md").read_text()
    kinds = [KennelError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    ours = [kind for kind in kinds if kind.__module__ == "contract.errors"]
    assert all(f"| `{kind.__name__}` |" in errors for kind in ours)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [target.split("#")[0] for target in LINK.findall(text)]
    local = [target for target in targets if target and "://" not in target]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing


def test_bash_blocks_are_bash():
    for page, block in blocks():
        checked = subprocess.run(
            ["bash", "-n"], input=block, text=True, capture_output=True, timeout=30, check=False
        )
        assert checked.returncode == 0, f"{page}: {checked.stderr}"


@pytest.mark.parametrize("words", found(("kennel",)))
def test_kennel_understands_what_the_pages_tell_people_to_type(words):
    command = find_command(words[0])
    arguments = parse(command, words[1:])
    if command.name == "run" and arguments.job:
        assert (ROOT / arguments.job).is_file()
        parse_hyperparameters(dict(arguments.set))
        assert {channel_name(name) for name, _ in arguments.channel} <= set(CHANNELS)


@pytest.mark.parametrize("words", found(("make",)))
def test_make_has_the_targets_that_the_pages_name(words):
    assert {word for word in words if "=" not in word and not word.startswith("-")} <= TARGETS


@pytest.mark.parametrize("words", found(("python", "-m", "train")))
def test_train_has_the_flags_that_the_pages_name(words):
    _, unknown = build_parser().parse_known_args(words)
    assert unknown == []


@pytest.mark.parametrize("module", ["control", "control.reference"])
def test_our_own_modules_run_as_the_pages_say(module):
    words = ["--check"] if module == "control.reference" else ["--help"]
    command = [sys.executable, "-m", module, *words]
    subprocess.run(command, check=True, timeout=60, cwd=ROOT, capture_output=True)


EXAMPLES = sorted((ROOT / "jobs").glob("*.toml"))
JOBS = [path for path in EXAMPLES if "[hyperparameters]" in path.read_text()]
JOBS = [path for path in JOBS if "[tuning]" not in path.read_text()]
DEPLOYMENTS = [path for path in EXAMPLES if "\nkind = " in path.read_text()]


def test_every_example_file_is_a_job_a_study_or_a_deployment():
    studies = {path for path in EXAMPLES if "[tuning]" in path.read_text()}
    assert {*JOBS, *DEPLOYMENTS} | studies == set(EXAMPLES)


@pytest.mark.parametrize("path", DEPLOYMENTS, ids=lambda path: path.name)
def test_the_example_deployments_are_read(path):
    assert read_deployment(path).name.startswith("dogs")


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_the_example_jobs_hold_only_known_hyperparameters_and_channels(path):
    job = tomllib.loads(path.read_text(encoding="utf-8"))
    strings = {name: str(value).lower() for name, value in job["hyperparameters"].items()}
    assert parse_hyperparameters(strings).given == {
        name.replace("_", "-") for name in job["hyperparameters"]
    }
    places = [job, *(job[place] for place in ("aws", "ec2") if place in job)]
    channels = {name for place in places for name in place.get("channels", {})}
    assert channels
    assert {channel_name(name) for name in channels} <= set(CHANNELS)
