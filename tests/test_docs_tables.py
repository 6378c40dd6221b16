"""Every name that a TOML file may have is described, and the readers take the pages' own TOML."""

import re
import tomllib

import pytest
from documented import ROOT, blocks, names_in

from contract.channel_files import FILE_ENDINGS, PICTURE_SUFFIXES
from control import aws_place
from control.aws.ec2 import ec2_place
from control.aws.endpoint import (
    deployment,
    multi_spec,
    options,
    place,
    transform_spec,
    update_policy,
    variant,
)
from control.aws.endpoint.deployment import read_deployment
from control.aws.scaling import policy
from control.job_spec import read_job_file
from control.tuning_file import read_tuning

TABLES = (
    ("sagemaker.md", "name in `[aws]` of a job", aws_place.NAMES),
    ("ec2.md", "name in `[ec2]`", ec2_place.NAMES),
    ("endpoints.md", "name in a deployment", (*deployment.PLAIN, *deployment.TABLES)),
    ("endpoints.md", "name in `[aws]` of a deployment", place.NAMES),
    ("endpoints.md", "name in `[[variants]]`", variant.NAMES),
    ("endpoints.md", "name in `[serverless]`", options.SERVERLESS_NAMES),
    ("endpoints.md", "name in `[asynchronous]`", options.ASYNCHRONOUS_NAMES),
    ("endpoints.md", "name in `[capture]`", options.CAPTURE_NAMES),
    ("endpoints.md", "name in `[update]`", update_policy.NAMES),
    ("multi-model.md", "name in `[multi_model]`", multi_spec.NAMES),
    ("transform.md", "name in `[transform]`", transform_spec.NAMES),
    ("scaling.md", "name in `[scaling]`", policy.NAMES),
)
# What a block leaves out, so that the reader of its page's files takes it: plain names, tables.
JOB = (
    {"name": 'name = "x"'},
    {"aws": '[aws]\noutput = "s3://b/out"', "channels": '[channels]\ntrain = "."'},
)
STUDY = (
    {"name": 'name = "x"'},
    {
        "tuning": '[tuning]\nobjective = "validation:loss"\nmax_jobs = 2',
        "ranges": "[ranges]\nlr = { min = 0.1, max = 0.2 }",
        "channels": '[channels]\ntrain = "."\nvalidation = "."',
    },
)
ENDPOINT = ({"name": 'name = "x"'}, {"aws": '[aws]\nartifacts = "s3://b/models"'})
ONE_MODEL = ({**ENDPOINT[0], "bundle": 'bundle = "s3://b/model.tar.gz"'}, ENDPOINT[1])
MANY = ({**ENDPOINT[0], "kind": 'kind = "multi-model"'}, ENDPOINT[1])
READERS = {
    "tuning.md": (read_tuning, STUDY),
    "endpoints.md": (read_deployment, ONE_MODEL),
    "scaling.md": (read_deployment, ONE_MODEL),
    "multi-model.md": (read_deployment, MANY),
    "data.md": (read_job_file, JOB),
    "debugger.md": (read_job_file, JOB),
    "profiler.md": (read_job_file, JOB),
    "rules.md": (read_job_file, JOB),
}
TOML = [
    pytest.param(page, block, id=f"{page.name}-{number}")
    for number, (page, block) in enumerate(blocks("toml"))
]


@pytest.mark.parametrize(
    ("page", "heading", "names"), TABLES, ids=[f"{page} {heading}" for page, heading, _ in TABLES]
)
def test_every_name_of_a_table_is_described_and_no_other(page, heading, names):
    found = names_in(page, heading)
    assert sorted(found) == sorted(names)


def completed(block, plain, tables):
    """The block with what it leaves out, in the order that TOML wants."""
    given = tomllib.loads(block)
    before = [text for name, text in plain.items() if name not in given]
    after = [text for name, text in tables.items() if name not in given]
    if "aws" in given and "aws" in tables and not re.search(r"^\[aws\]$", block, re.MULTILINE):
        after.append(tables["aws"])  # the block has a table below it alone
    return "\n".join([*before, block, *after])


@pytest.mark.parametrize(("page", "block"), TOML)
def test_the_readers_take_the_toml_of_the_pages(page, block, tmp_path):
    read, (plain, tables) = READERS[page.name]
    (tmp_path / "dogs.toml").write_text((ROOT / "jobs" / "dogs.toml").read_text(encoding="utf-8"))
    for _, code in blocks("python"):
        if "class MyRule" in code:  # the debugger's page shows it beside its table
            (tmp_path / "my_rule.py").write_text(code, encoding="utf-8")
    path = tmp_path / "page.toml"
    path.write_text(completed(block, plain, tables), encoding="utf-8")
    assert read(path)


def test_the_endings_that_make_a_file_of_an_address_stand_on_the_page():
    page = (ROOT / "docs" / "sagemaker.md").read_text(encoding="utf-8")
    text = page.partition("unless its name ends as a file's")[2].partition("A slash")[0]
    assert set(re.findall(r"`([^`]+)`", text)) == set(FILE_ENDINGS) - PICTURE_SUFFIXES
