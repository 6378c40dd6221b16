"""Sample code: how a program asks the endpoint, or the server on this machine."""

from collections.abc import Mapping

LOCAL = "http://127.0.0.1:8080"


def samples(endpoint: str, region: str, run: str) -> Mapping[str, str]:
    """Name of the file -> its text. Without an endpoint, its name is left to be filled in."""
    name = endpoint or "ENDPOINT"
    where = f', region_name="{region}"' if region else ""
    flag = f" --region {region}" if region else ""
    return {
        "ask_endpoint.py": _PYTHON.format(name=name, where=where),
        "ask_endpoint.sh": _SHELL.format(name=name, flag=flag),
        "ask_here.sh": _HERE.format(url=LOCAL, run=run or "RUN"),
    }


_PYTHON = '''"""Ask the endpoint about pictures: python ask_endpoint.py PICTURE..."""

import json
import sys
from pathlib import Path

import boto3

client = boto3.client("sagemaker-runtime"{where})
for name in sys.argv[1:]:
    answer = client.invoke_endpoint(
        EndpointName="{name}",
        ContentType="application/x-image",
        Accept="application/json",
        Body=Path(name).read_bytes(),
    )
    best = json.loads(answer["Body"].read())["predictions"][0]
    print(name, best["label"], best["probability"])
'''

_SHELL = """#!/bin/sh
# Ask the endpoint about one picture: ask_endpoint.sh PICTURE
set -eu
aws sagemaker-runtime invoke-endpoint{flag} --endpoint-name {name} \\
    --content-type application/x-image --accept application/json \\
    --body "fileb://$1" answer.json
cat answer.json
"""

_HERE = """#!/bin/sh
# The same on this machine: first `kennel serve {run}`, then ask_here.sh PICTURE
set -eu
curl --fail-with-body -H "Content-Type: application/x-image" --data-binary "@$1" {url}/invocations
"""
