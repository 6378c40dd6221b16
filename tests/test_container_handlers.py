"""A model's own code in the serving images, with the bodies that AWS's PyTorch tests send."""

import csv
import io
import itertools
import json
import textwrap
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from containers import WAIT_SECONDS, build_images, container, mount, open_to_all
from scripts import write_code
from serving import picture

pytestmark = pytest.mark.container

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
BATCH = 300  # float JSON of so many digits is just below 5 MB
# A network of AWS's size for handwritten digits; pictures may come flat.
NET = """
    import os
    import torch

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 10, kernel_size=5, stride=4)
            self.drop = torch.nn.Dropout2d(0.9)
            self.head = torch.nn.Linear(360, 10)

        def forward(self, x):
            x = torch.relu(self.drop(self.conv(x.view(-1, 1, 28, 28))))
            return torch.log_softmax(self.head(x.flatten(1)), dim=1)
"""
MODEL_FN = """
    def model_fn(model_dir):
        model = torch.nn.DataParallel(Net())
        with open(os.path.join(model_dir, "model.pth"), "rb") as file:
            model.load_state_dict(torch.load(file))
        return model
"""


@pytest.fixture(scope="module", autouse=True)
def _images():
    build_images()


@contextmanager
def serving(model_dir, image="kennel-serve", **environment):
    options = [mount(open_to_all(model_dir), "/opt/ml/model")]
    options += [f"--env={name}={value}" for name, value in environment.items()]
    with container(image, "serve", options=options) as running:
        running.wait_until_ready()
        yield running


def ask(running, body, content_type, accept=None):
    """Status, type and body of one invocation."""
    url = f"http://127.0.0.1:{running.port}/invocations"
    headers = {"Content-Type": content_type, **({"Accept": accept} if accept else {})}
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def encoded(array, content_type):
    """A body as the SDK's serializers write it."""
    if content_type == JSON:
        return json.dumps(array.tolist()).encode()
    stream = io.BytesIO()
    if content_type == NPY:
        np.save(stream, array)
    else:
        np.savetxt(stream, array, delimiter=",", fmt="%s")
    return stream.getvalue()


def decoded(body, content_type):
    """An answer as the SDK's deserializers read it."""
    if content_type == JSON:
        return np.array(json.loads(body))
    if content_type == NPY:
        return np.load(io.BytesIO(body))
    return np.array(list(csv.reader(io.StringIO(body.decode()))), dtype=float)


@pytest.fixture(scope="module")
def digits():
    """The network, pictures, and what it must answer."""
    scope = {}
    exec(textwrap.dedent(NET), scope)
    torch.manual_seed(1)
    net = scope["Net"]().eval()
    images = np.random.default_rng(1).normal(size=(BATCH, 1, 28, 28)).astype(np.float32)
    with torch.no_grad():
        return net, images, net(torch.from_numpy(images)).numpy()


def assert_answers(running, images, expected, content_types):
    for content_type, accept in itertools.product(content_types, (JSON, CSV, NPY)):
        status, answered, body = ask(running, encoded(images, content_type), content_type, accept)
        assert (status, answered) == (200, accept), body[:500]
        np.testing.assert_allclose(decoded(body, accept), expected, atol=1e-4)


def test_a_state_dict_with_only_a_model_fn_answers_arrays(tmp_path, digits):
    net, images, expected = digits
    write_code(tmp_path / "code", {"mnist.py": NET + MODEL_FN})
    torch.save(torch.nn.DataParallel(net).state_dict(), tmp_path / "model.pth")
    # The SDK's local mode sends the caller's own path of the script.
    with serving(tmp_path, SAGEMAKER_PROGRAM="/home/me/resources/mnist.py") as running:
        assert_answers(running, images, expected, (JSON, NPY))
        assert_answers(running, images.reshape(BATCH, -1), expected, (CSV,))
        assert ask(running, b"x", "image/png")[0] == 415
        assert ask(running, encoded(images, NPY), NPY, "text/html")[0] == 406


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", ["model.pt", "traced.pth"])
def test_torchscript_without_a_model_fn_answers_arrays(tmp_path, digits, name):
    net, images, expected = digits
    torch.jit.save(torch.jit.trace(net, torch.from_numpy(images[:1])), tmp_path / name)
    if name == "model.pt":
        source = "def predict_fn(data, model): return model(data)"
        write_code(tmp_path / "code", {"inference.py": source})
    with serving(tmp_path) as running:
        assert_answers(running, images, expected, (JSON, NPY))


def test_a_picture_as_bytes_goes_through_a_transform_fn(tmp_path):
    source = """
        import io, json
        import numpy as np
        import torchvision.transforms as transforms
        from PIL import Image

        def model_fn(model_dir, context):
            return context.system_properties.get("model_dir")

        def transform_fn(model, payload, content_type, accept):
            assert content_type == "application/octet-stream"
            pixels = transforms.ToTensor()(Image.open(io.BytesIO(payload)))
            answer = [model, pixels.mean(dim=(1, 2)).numpy().round(2).tolist()]
            return json.dumps(answer), "application/json"
    """
    write_code(tmp_path / "code", {"inference.py": source})
    with serving(tmp_path) as running:
        status, answered, body = ask(running, picture("red"), "application/octet-stream")
        assert (status, answered) == (200, JSON), body
        folder, mean = json.loads(body)
    assert folder == "/opt/ml/model"
    assert mean == pytest.approx([0.94, 0.12, 0.04], abs=0.02)


ONCE = """
    import os

    def model_fn(model_dir):
        lock = os.path.join(model_dir, f"model_fn.lock.{os.getpid()}")
        if os.path.exists(lock):
            raise RuntimeError("model_fn called more than once")
        open(lock, "a").close()
        return "model"

    def input_fn(data, content_type): return data
    def predict_fn(data, model): return b"output"
    def output_fn(prediction, accept): return prediction
"""


@pytest.mark.parametrize("image", ["kennel-serve", "kennel-serve-cpu"])
def test_model_fn_is_called_once_in_each_worker(tmp_path, image):
    write_code(tmp_path / "code", {"inference.py": ONCE})
    with serving(tmp_path, image, SAGEMAKER_MODEL_SERVER_WORKERS="2") as running:
        for _ in range(6):
            assert ask(running, b"input", NPY)[::2] == (200, b"output")
        loaded = "a worker has not loaded the model"
        running.wait_until(lambda: len(list(tmp_path.glob("model_fn.lock.*"))) == 2, loaded)


def test_every_function_may_take_the_context(tmp_path):
    source = """
        def model_fn(model_dir, context): return [context.system_properties["gpu_id"]]
        def input_fn(data, content_type, context): return [type(data).__name__]
        def predict_fn(data, model, context):
            return model + data + [context.get_request_header(0, "Content-Type")]
        def output_fn(prediction, accept, context):
            context.set_response_content_type(0, "text/plain")
            return "|".join(map(str, prediction))
    """
    write_code(tmp_path / "code", {"inference.py": source})
    with serving(tmp_path, "kennel-serve-cpu") as running:
        assert ask(running, b"{}", JSON) == (200, "text/plain", b"None|str|application/json")


def test_code_without_torch_is_served_by_the_small_image(tmp_path):
    source = """
        import json, os
        import numpy as np
        import helper
        def model_fn(model_dir): return np.load(os.path.join(model_dir, "weights.npy"))
        def input_fn(data, content_type): return np.array(json.loads(data))
        def predict_fn(data, model): return data @ model
        def output_fn(prediction, accept): return helper.encode(prediction), accept
    """
    helper = "import json\ndef encode(array): return json.dumps(array.tolist())\n"
    write_code(tmp_path / "code", {"inference.py": source, "lib/helper.py": helper})
    np.save(tmp_path / "weights.npy", np.eye(2))
    with serving(tmp_path, "kennel-serve-cpu") as running:
        assert ask(running, b"[[1.5, 2]]", JSON, JSON) == (200, JSON, b"[[1.5, 2.0]]")


def test_code_may_use_the_names_of_awss_inference_toolkit(tmp_path):
    source = """
        import numpy as np
        from sagemaker_inference import content_types, decoder, encoder, errors
        def model_fn(model_dir): return 2.0
        def input_fn(data, content_type):
            if content_type not in (content_types.JSON, content_types.CSV, content_types.NPY):
                raise errors.UnsupportedFormatError(content_type)
            return decoder.decode(data, content_type)
        def predict_fn(data, model): return np.asarray(data) * model
        def output_fn(prediction, accept): return encoder.encode(prediction, accept)
    """
    write_code(tmp_path / "code", {"inference.py": source})
    numbers = np.array([[1.0, 2.0], [3.0, 4.0]])
    with serving(tmp_path, "kennel-serve-cpu") as running:
        assert_answers(running, numbers, numbers * 2, (JSON, CSV, NPY))
        assert ask(running, b"x", "image/png")[0] == 500


def test_the_route_of_awss_server_answers_as_well(tmp_path):
    write_code(tmp_path / "code", {"inference.py": ONCE})
    with serving(tmp_path, "kennel-serve-cpu") as running:
        assert running.ask("/models/model/invoke", b"input", JSON) == (200, b"output")
