import io
import json

import numpy as np
import pytest
import torch
from serving import client_for

from contract.errors import BundleError
from serve.aws_defaults import find_torchscript


@pytest.fixture
def model_dir(tmp_path):
    """A TorchScript model that doubles its input, and no bundle: AWS's own kind of archive."""
    layer = torch.nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(2 * torch.eye(2))
    with torch.inference_mode(False):
        torch.jit.save(torch.jit.trace(layer.eval(), torch.zeros(1, 2)), tmp_path / "model.pth")
    return tmp_path


def npy(array):
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


# torch.jit is deprecated, and still what AWS's server takes by default.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[[1, 2], [3, 4]]", "application/json"),
        (b"[[1, 2], [3, 4]]", "application/json; charset=utf-8"),
        (b"1,2\n3,4\n", "text/csv"),
        (npy(np.float32([[1, 2], [3, 4]])), "application/x-npy"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-npy"])
def test_tensors_in_and_out_without_any_user_code(model_dir, body, content_type, accept):
    client = client_for(model_dir)
    headers = {"Accept": accept}
    reply = client.post("/invocations", data=body, content_type=content_type, headers=headers)
    assert (reply.status_code, reply.content_type.partition(";")[0]) == (200, accept)
    read = {
        "application/json": lambda data: np.array(json.loads(data)),
        "text/csv": lambda data: np.loadtxt(io.BytesIO(data), delimiter=","),
        "application/x-npy": lambda data: np.load(io.BytesIO(data), allow_pickle=False),
    }[accept]
    np.testing.assert_array_equal(read(reply.data), [[2, 4], [6, 8]])


def test_wrong_types_bytes_and_pickles_are_the_clients_errors(model_dir):
    client = client_for(model_dir)
    statuses = [
        client.post("/invocations", data=data, content_type=kind).status_code
        for data, kind in [
            (b"x", "image/png"),
            (b"{", "application/json"),
            (npy(np.array([{}], dtype=object)), "application/x-npy"),
        ]
    ]
    refused = client.post("/invocations", json=[[1, 2]], headers={"Accept": "image/png"})
    assert [*statuses, refused.status_code] == [415, 400, 400, 406]


def test_the_first_supported_form_of_accept_is_taken(model_dir):
    reply = client_for(model_dir).post(
        "/invocations", json=[[1, 2]], headers={"Accept": "text/html, text/csv, */*"}
    )
    assert reply.data == b"2.0,4.0\n"


@pytest.mark.parametrize("names", [[], ["a.pt", "b.pth"]])
def test_no_file_or_several_are_refused_as_aws_does(tmp_path, names):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BundleError, match=r"exactly one \.pth or \.pt file"):
        find_torchscript(tmp_path)


def test_model_pt_wins_and_hidden_files_of_macos_do_not_count(tmp_path):
    for name in ("._b.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"x")
    assert find_torchscript(tmp_path).name == "b.pth"
    (tmp_path / "model.pt").write_bytes(b"x")
    assert find_torchscript(tmp_path).name == "model.pt"


def test_a_pickled_state_dict_is_not_loaded(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pth")
    with pytest.raises(BundleError, match="no TorchScript"):
        client_for(tmp_path)
