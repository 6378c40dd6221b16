"""Policies for many files: each fits into one of IAM's, and more than AWS attaches are said."""

import json

from access import HERE, endpoint, printed
from lambda_account import typed


def allowed(*policies):
    """Statement and resource; pieces of a statement have numbers after its name."""
    return {
        (one["Sid"].rstrip("0123456789"), arn)
        for policy in policies
        for one in policy["Statement"]
        for arn in one["Resource"]
    }


def test_more_policies_than_aws_attaches_to_one_person_are_said(tmp_path):
    files = [endpoint(tmp_path, f"dogs-{number:02}") for number in range(60)]
    told = typed("iam", "show", *files, "--only", "person", *HERE).stdout
    parts = told.count("## person: policy, part ")
    assert parts > 10
    assert f"note:    {parts} policies for person, and AWS attaches 10 " in told
    assert "--prefix NAME" in told
    few = typed("iam", "show", "--prefix", "dogs", "--only", "person", *HERE).stdout
    assert 1 < few.count("## person: policy, part ") <= 10
    assert "AWS attaches" not in few


def test_a_statement_of_many_names_is_in_as_many_policies_as_it_needs(tmp_path):
    files = [endpoint(tmp_path, f"dogs-of-the-north-{number:03}") for number in range(100)]
    document = printed(*files, "--only", "person")["person"]
    assert all(len("".join(json.dumps(part).split())) <= 6144 for part in document["parts"])
    assert allowed(*document["parts"]) == allowed(document["policy"])
    for part in document["parts"]:
        names = [one["Sid"] for one in part["Statement"]]
        assert len(names) == len(set(names))
