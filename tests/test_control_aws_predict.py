"""kennel predict --endpoint: answers as from a server here, shrunk only when it must be."""

import io
import json
import urllib.request

import numpy as np
import pytest
from aws_front import REGION, Refusal
from endpoints import put_bucket, typed
from PIL import Image
from plans import validate
from serving import colour_bundle, picture, server

from control.aws.endpoint.payload import MOST_BYTES
from control.aws.endpoint.shrink import shrink
from control.client import ask

SERVERLESS = {
    "ProductionVariants": [
        {
            "VariantName": "main",
            "CurrentServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
        }
    ]
}
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def running():
    with server(colour_bundle()) as one:
        yield one


@pytest.fixture
def endpoint(aws_here, running):
    """An endpoint dogs whose container is a real server of ours; the account."""
    described = {
        "EndpointName": "dogs",
        "EndpointArn": f"arn:aws_here:sagemaker:{REGION}:123456789012:endpoint/dogs",
        "EndpointStatus": "InService",
        "CreationTime": 1.9e9,
        "LastModifiedTime": 1.9e9,
    }
    aws_here.answer("DescribeEndpoint", lambda _: described)
    aws_here.serve_endpoints(running.url)
    aws_here.described = described
    return aws_here


def predict(*words):
    return typed("predict", *words)


def photograph(num_bytes: int) -> bytes:
    """A JPEG of at least so many bytes, wider than high; noise does not compress."""
    rng = np.random.default_rng(7)
    side = int((num_bytes / 1.2) ** 0.5)
    pixels = rng.integers(0, 256, (side * 3 // 4, side * 4 // 3, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=97, subsampling=0)
    assert len(out.getvalue()) > num_bytes
    return out.getvalue()


def test_an_endpoint_answers_as_the_server_behind_it(endpoint, running, tmp_path):
    for colour in ("red", "green"):
        (tmp_path / f"{colour}.png").write_bytes(picture(colour))
    words = [tmp_path / "red.png", tmp_path / "green.png"]
    done = predict(*words, "--endpoint", "dogs", "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["predictions"]
    assert told == [{"picture": str(path), **ask(running.url, path.read_bytes())} for path in words]
    assert done.stderr == ""
    here = predict(*words, "--url", running.url)
    assert predict(*words, "--endpoint", "dogs").stdout == here.stdout


def test_what_the_server_refuses_is_told_in_its_own_words(endpoint, running, tmp_path):
    (tmp_path / "text.jpg").write_bytes(b"no picture")
    (tmp_path / "red.png").write_bytes(picture("red"))
    words = [tmp_path / "text.jpg", tmp_path / "red.png"]
    here = predict(*words, "--url", running.url)
    there = predict(*words, "--endpoint", "dogs")
    assert there.returncode == here.returncode == 1
    assert (there.stdout, there.stderr) == (here.stdout, here.stderr)


def test_a_picture_below_the_limit_is_sent_as_it_is(endpoint, tmp_path):
    data = photograph(1_000_000)
    (tmp_path / "a.jpg").write_bytes(data)
    done = predict(tmp_path / "a.jpg", "--endpoint", "dogs")
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stdout


@pytest.mark.parametrize("kind", ["real-time", "serverless"])
def test_a_photograph_over_the_limit_is_shrunk_and_that_is_said(endpoint, tmp_path, kind):
    if kind == "serverless":
        endpoint.described.update(SERVERLESS)
    data = photograph(MOST_BYTES[kind] + 1)
    (tmp_path / "a.jpg").write_bytes(data)
    done = predict(tmp_path / "a.jpg", "--endpoint", "dogs", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert f"{len(data):,} bytes are over the limit of a {kind} endpoint" in done.stderr
    assert len(json.loads(done.stdout)["predictions"]) == 1


def test_shrinking_keeps_the_shape_and_stays_close_to_the_limit():
    data = photograph(1_200_000)
    small = shrink(data, 600_000)
    assert 0.6 * 600_000 < len(small.data) <= 600_000
    with Image.open(io.BytesIO(small.data)) as image:
        assert image.format == "JPEG"
        assert image.size == small.after
        width, height = image.size
    assert width / height == pytest.approx(small.before[0] / small.before[1], rel=0.01)
    assert max(small.after) < max(small.before)


def test_shrinking_first_tries_the_same_size():
    out = io.BytesIO()
    rng = np.random.default_rng(7)
    flat = np.repeat(np.repeat(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), 16, 0), 16, 1)
    Image.fromarray(flat).save(out, "BMP")
    small = shrink(out.getvalue(), 300_000)
    assert small.after == small.before == (640, 480)
    with Image.open(io.BytesIO(small.data)) as image:
        assert np.abs(np.asarray(image, float) - flat).mean() < 6


def test_shrinking_turns_a_picture_as_its_camera_says():
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # turned by a quarter
    picture_ = Image.new("RGB", (1200, 600), "red")
    picture_.paste("blue", (0, 0, 600, 600))
    out = io.BytesIO()
    picture_.save(out, "JPEG", quality=100, exif=exif)
    small = shrink(out.getvalue(), out.tell() - 1)
    assert small.before == (600, 1200)
    with Image.open(io.BytesIO(small.data)) as image:
        assert ORIENTATION not in image.getexif()
        top, bottom = image.getpixel((300, 100)), image.getpixel((300, 1100))
    assert top[2] > 200 > 60 > top[0]
    assert bottom[0] > 200 > 60 > bottom[2]


def test_what_is_too_large_and_no_picture_is_refused_here(endpoint, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x" * (MOST_BYTES["real-time"] + 1))
    done = predict(tmp_path / "a.jpg", "--endpoint", "dogs")
    assert done.returncode == 1
    assert "not a picture that can be shrunk" in done.stderr
    assert endpoint.calls("InvokeEndpoint") == []


def test_a_model_that_is_still_loading_is_waited_for(endpoint, tmp_path):
    (tmp_path / "red.png").write_bytes(picture("red"))
    endpoint.fail("InvokeEndpoint", "ModelNotReadyException", "wait", status=429, times=3)
    done = predict(tmp_path / "red.png", "--endpoint", "dogs")
    assert done.returncode == 0, done.stderr
    assert len(endpoint.calls("InvokeEndpoint")) == 4


def test_a_server_that_is_busy_is_asked_again_but_not_for_ever(endpoint, tmp_path):
    (tmp_path / "red.png").write_bytes(picture("red"))
    busy = 'Received server error (503) from primary with message "{"message": "too many"}". See x'
    endpoint.fail("InvokeEndpoint", "ModelError", busy, status=424, times=2)
    done = predict(tmp_path / "red.png", "--endpoint", "dogs")
    assert done.returncode == 0, done.stderr
    endpoint.fail("InvokeEndpoint", "ModelError", busy, status=424, times=50)
    done = predict(tmp_path / "red.png", "--endpoint", "dogs")
    assert done.returncode == 1
    assert done.stderr == f"kennel: {tmp_path / 'red.png'}: too many\n"
    assert len(endpoint.calls("InvokeEndpoint")) == 3 + 6


def test_a_throttled_call_is_tried_again(endpoint, tmp_path):
    (tmp_path / "red.png").write_bytes(picture("red"))
    endpoint.fail("InvokeEndpoint", "ThrottlingException", "Rate exceeded")
    done = predict(tmp_path / "red.png", "--endpoint", "dogs")
    assert done.returncode == 0, done.stderr


def test_who_may_only_ask_is_answered(endpoint, tmp_path):
    def denied(_):
        raise Refusal(
            "AccessDeniedException", "not authorized to perform: sagemaker:DescribeEndpoint"
        )

    (tmp_path / "red.png").write_bytes(picture("red"))
    endpoint.answer("DescribeEndpoint", denied)
    done = predict(tmp_path / "red.png", "--endpoint", "dogs")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--endpoint", "cats"), "there is no endpoint cats"),
        (("--target-model", "a"), "go with --endpoint"),
        (("--endpoint", "dogs", "--on", "container"), "has its place in AWS"),
    ],
)
def test_what_makes_no_sense_is_refused(aws_here, tmp_path, flags, words):
    (tmp_path / "red.png").write_bytes(picture("red"))
    done = predict(tmp_path / "red.png", *flags)
    assert done.returncode == 2
    assert words in done.stderr


def test_an_endpoint_that_is_not_there_yet_says_so(endpoint, tmp_path):
    (tmp_path / "red.png").write_bytes(picture("red"))
    endpoint.described["EndpointStatus"] = "Creating"
    done = predict(tmp_path / "red.png", "--endpoint", "dogs")
    assert done.returncode == 2
    assert "its status is Creating" in done.stderr


def asynchronous(aws, *results):
    """moto's own queue of answers, as SageMaker would write them into S3."""
    s3 = put_bucket(aws)
    aws.described["AsyncInferenceConfig"] = {"OutputConfig": {"S3OutputPath": "s3://models/out"}}
    request = urllib.request.Request(
        f"{aws.url}/moto-api/static/sagemaker/async-endpoint-results",
        json.dumps({"results": list(results)}).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).close()
    return s3


def answer_of(running, data):
    """What the container answers to the object that SageMaker hands it."""
    kind = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
    status, _, body = running.get("/invocations", data=data, headers=kind, method="POST")
    return status, body.decode()


def test_an_asynchronous_endpoint_answers_through_s3(endpoint, running, tmp_path):
    pictures = {name: picture(name) for name in ("red", "green")}
    results = [{"data": answer_of(running, data)[1]} for data in pictures.values()]
    s3 = asynchronous(endpoint, *results)
    for name, data in pictures.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    words = [tmp_path / "red.png", tmp_path / "green.png"]
    done = predict(*words, "--endpoint", "dogs")
    assert done.returncode == 0, done.stderr
    assert done.stdout == predict(*words, "--url", running.url).stdout
    sent = s3.list_objects_v2(Bucket="models", Prefix="out/inputs/")["Contents"]
    bodies = [s3.get_object(Bucket="models", Key=one["Key"])["Body"].read() for one in sent]
    assert sorted(bodies) == sorted(pictures.values())
    order = [
        one.operation
        for one in endpoint.seen
        if one.operation in ("InvokeEndpointAsync", "GetObject")
    ]
    assert order[:2] == ["InvokeEndpointAsync"] * 2  # all are sent before one is waited for


def test_a_failed_asynchronous_request_is_told_in_the_servers_words(endpoint, running, tmp_path):
    status, said = answer_of(running, b"no picture")
    words = f'Received client error ({status}) from model with message "{said}". See the log.'
    asynchronous(endpoint, {"is_failure": True, "data": words})
    (tmp_path / "text.jpg").write_bytes(b"no picture")
    done = predict(tmp_path / "text.jpg", "--endpoint", "dogs")
    assert done.returncode == 1
    assert done.stderr == predict(tmp_path / "text.jpg", "--url", running.url).stderr


def test_a_large_picture_is_no_trouble_for_an_asynchronous_endpoint(endpoint, running, tmp_path):
    asynchronous(endpoint, {"data": answer_of(running, picture("red"))[1]})
    (tmp_path / "a.jpg").write_bytes(photograph(MOST_BYTES["real-time"] + 1))
    done = predict(tmp_path / "a.jpg", "--endpoint", "dogs")
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stdout


def test_what_is_shown_is_the_request_and_nothing_is_asked(aws_here, tmp_path):
    (tmp_path / "red.png").write_bytes(picture("red"))
    words = ("--endpoint", "dogs", "--target-model", "dogs/v1", "--variant", "main", "--show")
    done = predict(tmp_path / "red.png", *words)
    (shown,) = json.loads(done.stdout)
    validate(shown["service"], shown["operation"], shown["parameters"])
    targets = ("dogs/v1.tar.gz", "main")
    assert tuple(shown["parameters"][f"Target{one}"] for one in ("Model", "Variant")) == targets
    assert aws_here.seen == []
    assert "an asynchronous one PutObject and InvokeEndpointAsync" in done.stderr


def test_a_photograph_over_the_limit_is_shown_as_it_is_sent(endpoint, tmp_path):
    data = photograph(MOST_BYTES["real-time"] + 1)
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "text.jpg").write_bytes(b"x" * len(data))
    shown = predict(tmp_path / "a.jpg", tmp_path / "text.jpg", "--endpoint", "dogs", "--show")
    assert shown.returncode == 1
    assert "text.jpg: too large to be sent" in shown.stderr
    (one,) = json.loads(shown.stdout)
    num_bytes = len(shrink(data, MOST_BYTES["real-time"]).data)
    assert one["parameters"]["Body"] == f"({num_bytes:,} bytes)"
