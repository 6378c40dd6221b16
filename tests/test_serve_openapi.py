"""The OpenAPI document is true: schemathesis asks a real server for all that it says and forbids.

KENNEL_FUZZ_EXAMPLES=200 tries as many requests for each operation, and every media type.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_budget import EXAMPLES, tried
from multi_model import Multi
from raw_http import exchange, post
from serving import REPOSITORY, colour_bundle, colour_client, picture, server

from serve.openapi import openapi_document, pages
from serve.settings import ServeSettings

HOOKS = Path(__file__).parent / "fuzz"
RUN_SECONDS = 900
USUAL_EXAMPLES = 10
# The usual budget leaves out what multiplies: otherwise each type is tried with each parameter.
USUAL_TYPES = {"image/jpeg", "application/json"}
USUAL_PARAMETERS = {"name", "limit", "next_page_token", "explain"}
# Loading what is there but is no model is the one 500 that a client can bring about: SageMaker
# wants it for any load that fails.
#
# What does not fit into a request line is 414, or 413 where it is a body. A model may be called
# `x/invoke`, so GET and DELETE of that path are no mistake.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = ["400", "404", "405", "406", "409", "413", "414", "415", "422"]

[[operations]]
include-path = "/models/{name}/invoke"
checks.allow_header_conformance.enabled = false

[[operations]]
include-name = "POST /models"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "500"]
"""


def routes(app):
    """(method, path) of what the application answers, as OpenAPI writes it."""
    return {
        (method.lower(), rule.rule.replace("<path:name>", "{name}"))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }


def documented(document):
    return {
        (method, path)
        for path, item in document["paths"].items()
        for method in item.keys() - {"parameters"}
    }


def test_the_committed_documents_are_in_step():
    for name, text in pages().items():
        assert (REPOSITORY / "docs" / name).read_text() == text, "run `make docs`"


def test_every_route_is_documented_and_no_other():
    single = colour_client()
    assert documented(single.get("/openapi.json").get_json()) == routes(single.application)
    multi = Multi().client
    assert documented(multi.get("/openapi.json").get_json()) == routes(multi.application)


def test_every_reference_leads_somewhere():
    for settings in (ServeSettings(), ServeSettings(multi_model=True, models_dir="/models")):
        document = openapi_document(settings)
        for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
            value = document
            for name in reference.split("/"):
                value = value[name]


def test_the_settings_of_the_server_are_in_its_document():
    text = json.dumps(openapi_document(ServeSettings(max_pictures=7)))
    assert '"maxItems": 7' in text
    assert '"maxItems": 64' not in text


def thinned(document):
    """The document with fewer media types and parameters, unless a larger budget is asked for."""
    document["paths"].pop("/models/model/invoke", None)  # the same as /invocations
    for item in () if EXAMPLES else document["paths"].values():
        post = item.get("post", {})
        content = post.get("requestBody", {}).get("content", {})
        for name in content.keys() - USUAL_TYPES:
            del content[name]
        if "parameters" in post:
            post["parameters"] = [
                found for found in post["parameters"] if found["name"] in USUAL_PARAMETERS
            ]
    return document


def ask_everything(process, document, folder):
    """Run schemathesis. Fails with what it found."""
    (folder / "openapi.json").write_text(json.dumps(thinned(document)))
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    command += ["--no-color", "run", "openapi.json", "--url", process.url]
    command += ["--phases", "examples,coverage,fuzzing", "--mode", "all", "--no-shrink"]
    # Random bytes are no picture: that what fits the schema is answered 200 cannot be asked for.
    command += ["--exclude-checks", "positive_data_acceptance", "--warnings", "off"]
    command += ["--max-examples", str(EXAMPLES or USUAL_EXAMPLES), "--generation-database", "none"]
    command += [] if EXAMPLES else ["--seed", "1"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": str(HOOKS)}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    (count,) = re.findall(r"([\d,]+) generated", done.stdout)
    tried["requests of schemathesis"] += int(count.replace(",", ""))


def test_a_server_of_one_model_does_what_its_document_says(tmp_path):
    with server(colour_bundle(), {"KENNEL_METRICS": "true"}) as process:
        document = json.loads(process.get("/openapi.json")[2])
        ask_everything(process, document, tmp_path)
        assert exchange(process.port, post(picture("red"))).labels == ["red"]
        assert "Traceback" not in process.log()


@pytest.fixture
def multi():
    with server(None, {"SAGEMAKER_MULTI_MODEL": "true"}) as process:
        load(process, "dogs")
        yield process


def load(process, name):
    body = json.dumps({"model_name": name, "url": str(colour_bundle())}).encode()
    assert process.get("/models", data=body)[0] == 200


def test_a_server_of_many_models_does_what_its_document_says(multi, tmp_path):
    document = json.loads(multi.get("/openapi.json")[2])
    # A name and a folder that are there, so that some requests get somewhere.
    for path, item in document["paths"].items():
        if path.startswith("/models/"):
            item["parameters"][0]["example"] = "dogs"
    load_body = document["paths"]["/models"]["post"]["requestBody"]["content"]["application/json"]
    load_body["example"] = {"model_name": "cats", "url": str(colour_bundle())}
    if not EXAMPLES:  # the same bodies as above
        invocation = document["paths"]["/models/{name}/invoke"]["post"]["requestBody"]
        del invocation["content"]["application/json"]
    ask_everything(multi, document, tmp_path)
    load(multi, "still-there")
    assert multi.get("/models/still-there/invoke", data=picture())[0] == 200
