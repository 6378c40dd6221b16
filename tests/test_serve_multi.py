"""The routes of a multi-model server through flask's client."""

import logging
import shutil

import pytest
from multi_model import Multi
from serving import client_for, colour_bundle, picture


@pytest.fixture
def multi():
    running = Multi()
    yield running
    for name in running.names():
        assert running.unload(name).status_code == 200


def test_a_server_without_models_is_healthy_and_says_so(multi):
    reply = multi.client.get("/ping")
    assert (reply.status_code, reply.json) == (200, {"status": "ready", "num_models": 0})
    assert multi.client.get("/models").json == {"models": []}


def test_a_model_is_loaded_listed_asked_and_unloaded(multi):
    url = str(colour_bundle())
    entry = {"modelName": "m", "modelUrl": url}
    loaded = multi.load("m", url)
    assert loaded.json == {"status": 'Model "m" Version: 1.0 registered with 1 initial workers'}
    assert multi.client.get("/models").json == {"models": [entry]}
    assert multi.client.get("/models/m").json == entry
    reply = multi.invoke("m", picture("green"), content_type="image/png")
    assert reply.json["predictions"][0]["label"] == "green"
    gone = multi.unload("m")
    assert (gone.status_code, gone.json) == (200, {"status": 'Model "m" unregistered'})
    assert multi.names() == []


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/invoke"), ("DELETE", "%2F..")]
)
def test_a_model_that_is_not_loaded_is_404(multi, method, path):
    reply = multi.client.open(f"/models/nobody{path}", method=method, data=b"x")
    assert reply.status_code == 404
    assert set(reply.json) == {"error", "message"}


def test_a_loaded_name_is_409_before_its_url_is_looked_at(multi):
    multi.load("m", colour_bundle())
    for url in (colour_bundle(), "traced_resnet18", "s3://bucket/m", "/nowhere"):
        assert multi.load("m", url).status_code == 409


def test_a_url_without_a_folder_is_404(multi):
    for url in ("/nowhere", "nowhere", "/etc/passwd", "/\0", "/" + "x" * 5000):
        assert multi.load("m", url).status_code == 404
    assert multi.names() == []


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "s3://bucket/m", "file:///etc"])
def test_an_address_is_no_url_of_a_model(multi, url):
    reply = multi.load("m", url)
    assert reply.status_code == 400
    assert "expected the path of a folder" in reply.json["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 50_000,
        b"[]",
        b'"m"',
        b'{"model_name": "m"}',
        b'{"url": "/x"}',
        b'{"model_name": 1, "url": "/x"}',
        b'{"model_name": "", "url": "/x"}',
        b'{"model_name": "/m", "url": "/x"}',
        b'{"model_name": "a\\nb", "url": "/x"}',
        b'{"model_name": "%s", "url": "/x"}' % (b"m" * 1025),
    ],
)
def test_a_load_request_that_makes_no_sense_is_400(multi, body):
    reply = multi.client.post("/models", data=body)
    assert reply.status_code == 400
    assert reply.json["error"] == "BadRequest"


def test_a_relative_url_counts_from_the_root_and_is_listed_as_it_was_given(multi):
    url = str(colour_bundle()).lstrip("/")
    assert multi.load("m", url).status_code == 200
    assert multi.client.get("/models/m").json["modelUrl"] == url


@pytest.mark.parametrize("name", ["a.b-c_d", "0" * 255, "a/b c", "..", "%41", "caf\u00e9", "x?y&z"])
def test_a_name_is_a_key_and_never_a_path(multi, name):
    from urllib.parse import quote

    assert multi.load(name, colour_bundle()).status_code == 200
    quoted = quote(name, safe="").replace(".", "%2E")
    assert multi.client.get(f"/models/{quoted}").json["modelName"] == name
    assert multi.invoke(quoted, picture()).status_code == 200
    assert multi.client.get(f"/models/{quoted}/").status_code == 200
    assert multi.unload(quoted).status_code == 200


def test_the_list_is_sorted_and_comes_in_pages(multi):
    names = ["b", "a", "e", "d", "c"]
    for name in names:
        multi.load(name, colour_bundle())
    query, pages = "?limit=2", []
    while True:
        page = multi.client.get(f"/models{query}").json
        pages.append([item["modelName"] for item in page["models"]])
        if "nextPageToken" not in page:
            break
        query = f"?limit=2&next_page_token={page['nextPageToken']}"
    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    assert multi.names("?limit=5") == sorted(names)
    assert "nextPageToken" not in multi.client.get("/models?limit=5").json


def test_a_page_goes_on_where_it_should_when_models_have_gone(multi):
    for name in ("a", "b", "c"):
        multi.load(name, colour_bundle())
    token = multi.client.get("/models?limit=2").json["nextPageToken"]
    multi.unload("a")
    multi.unload("b")
    assert multi.names(f"?next_page_token={token}") == ["c"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=x", "limit=", "next_page_token=%00", "next_page_token=a"],
)
def test_a_limit_or_token_of_ones_own_making_is_400(multi, query):
    assert multi.client.get(f"/models?{query}").status_code == 400


def test_a_damaged_bundle_is_not_loaded_and_the_reason_is_told(multi, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(colour_bundle(), folder)
    (folder / "model.bin").write_bytes(b"x")
    reply = multi.load("m", folder)
    assert reply.status_code == 500
    assert "sha256 differs" in reply.json["message"]
    (folder / "empty").mkdir()
    assert "expected a Kennel bundle" in multi.load("m", folder / "empty").json["message"]


def test_invocations_name_the_routes_of_this_server(multi):
    reply = multi.client.post("/invocations", data=picture())
    assert reply.status_code == 400
    assert "/models/NAME/invoke" in reply.json["message"]
    assert multi.client.put("/models/x").headers["Allow"]
    assert "POST /models" in multi.client.get("/").json["message"]


def test_a_server_of_one_model_has_no_list_but_answers_at_awss_name_for_it():
    client = client_for(colour_bundle())
    assert client.get("/models").status_code == 404
    assert "SAGEMAKER_MULTI_MODEL" in client.post("/models", data=b"{}").json["message"]
    reply = client.post("/models/model/invoke", data=picture("blue"))
    assert reply.json["predictions"][0]["label"] == "blue"


def test_the_log_names_target_model_and_model(multi, caplog):
    caplog.set_level(logging.INFO)
    multi.load("hash-1", colour_bundle())
    headers = {"X-Amzn-SageMaker-Target-Model": "dogs/v2.tar.gz"}
    multi.invoke("hash-1", picture(), headers=headers)
    fields = [record.fields for record in caplog.records if record.message == "request"][-1]
    assert (fields["target_model"], fields["path"]) == ("dogs/v2.tar.gz", "/models/hash-1/invoke")
    loaded = next(record.fields for record in caplog.records if record.message == "loaded")
    assert (loaded["model"], loaded["engine"]) == ("hash-1", "openvino")
