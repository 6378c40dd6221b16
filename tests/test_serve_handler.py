import json
import logging
import shutil
import sys
import textwrap

import pytest
from serving import client_for, colour_bundle, picture

from contract.errors import BundleError


@pytest.fixture
def model_dir(tmp_path):
    """A model folder; what user code leaves in the interpreter is taken out again."""
    modules, path = set(sys.modules), list(sys.path)
    yield tmp_path / "model"
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write_code(model_dir, source, name="inference.py"):
    path = model_dir / "code" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return model_dir


def with_bundle(model_dir):
    shutil.copytree(colour_bundle(), model_dir)
    return model_dir


def post(folder, body=b"x", content_type="application/x-thing", accept=None, **settings):
    headers = {"Accept": accept} if accept else {}
    client = client_for(folder, **settings)
    return client.post("/invocations", data=body, content_type=content_type, headers=headers)


ALL_FOUR = """
    import os
    def model_fn(model_dir):
        return {"dir": os.path.basename(model_dir)}
    def input_fn(data, content_type):
        return type(data).__name__, content_type
    def predict_fn(data, model):
        return [model["dir"], *data]
    def output_fn(prediction, accept):
        return "|".join([*prediction, accept])
"""


def test_all_four_functions_are_called_in_order(model_dir):
    reply = post(write_code(model_dir, ALL_FOUR), accept="text/x-mine")
    assert reply.data == b"model|bytes|application/x-thing|text/x-mine"
    assert reply.content_type == "text/x-mine"


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", b"str"),
        ("text/csv", b"str"),
        ("application/json; charset=utf-8", b"bytes"),
        ("image/png", b"bytes"),
    ],
)
def test_input_fn_gets_text_for_exactly_json_and_csv(model_dir, content_type, kind):
    reply = post(write_code(model_dir, ALL_FOUR), content_type=content_type)
    assert reply.data.split(b"|")[1:3] == [kind, content_type.encode()]


@pytest.mark.parametrize("accept", [None, "*/*"])
def test_no_accept_means_the_operators_default(model_dir, accept):
    reply = post(write_code(model_dir, ALL_FOUR), accept=accept, default_accept="text/csv")
    assert reply.data.endswith(b"|text/csv")


def test_a_tuple_of_body_and_type_overrides_the_type(model_dir):
    source = "def transform_fn(model, data, content_type, accept): return b'ok', 'text/special'\n"
    source += "def model_fn(model_dir): return None\n"
    reply = post(write_code(model_dir, source), accept="application/json")
    assert (reply.data, reply.content_type) == (b"ok", "text/special")


def test_a_function_with_one_more_parameter_gets_the_context(model_dir):
    source = """
        def model_fn(model_dir, context):
            return context.system_properties.get("gpu_id"), context.system_properties["model_dir"]
        def transform_fn(model, data, content_type, accept, context):
            seen = context.get_request_header(0, "x-mine")
            context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "mine")
            context.set_response_status(203)
            return {"gpu": model[0], "seen": seen,
                    "all": context.request_processor[0].get_request_properties()["X-Mine"]}
    """
    client = client_for(write_code(model_dir, source))
    reply = client.post("/invocations", data=b"x", headers={"X-Mine": "7"})
    assert reply.status_code == 203
    assert reply.headers["X-Amzn-SageMaker-Custom-Attributes"] == "mine"
    assert reply.get_json() == {"gpu": None, "seen": "7", "all": "7"}


def test_pre_model_fn_and_warmup_surround_loading(model_dir):
    source = """
        steps = []
        def pre_model_fn(model_dir): steps.append("pre")
        def model_fn(model_dir): steps.append("load"); return "m"
        def model_warmup_fn(model_dir, model): steps.append("warm " + model)
        def transform_fn(model, data, content_type, accept): return steps
    """
    assert post(write_code(model_dir, source)).get_json() == ["pre", "load", "warm m"]


def test_a_wrong_number_of_parameters_is_named_as_aws_names_it(model_dir):
    source = "def model_fn(model_dir): return 1\ndef predict_fn(data): return 1\n"
    reply = post(write_code(model_dir, source), b"[1]", "application/json")
    assert reply.status_code == 500
    assert "predict_fn takes 1 arguments but 2 were given." in reply.get_json()["message"]


def test_transform_fn_beside_what_it_replaces_is_refused_at_load(model_dir):
    source = "def transform_fn(a, b, c, d): pass\ndef input_fn(a, b): pass\n"
    with pytest.raises(BundleError, match="transform_fn and also input_fn"):
        client_for(write_code(model_dir, source))


def test_user_errors_are_500_in_one_line_and_the_traceback_is_logged(model_dir, caplog):
    source = """
        def model_fn(model_dir): return None
        def input_fn(data, content_type): return data
        def predict_fn(data, model): raise ValueError("bad\\nthing")
    """
    reply = post(write_code(model_dir, source))
    assert reply.status_code == 500
    assert reply.get_json() == {
        "error": "UserCodeError",
        "message": "inference.py: predict_fn failed: ValueError: bad thing",
    }
    assert any(
        "predict_fn" in (record.exc_text or "") or record.exc_info for record in caplog.records
    )


def test_sys_exit_in_user_code_does_not_end_the_worker(model_dir):
    source = """
        import sys
        def model_fn(model_dir): return None
        def transform_fn(model, data, content_type, accept): sys.exit(3)
    """
    client = client_for(write_code(model_dir, source))
    assert client.post("/invocations", data=b"x").status_code == 500
    assert client.get("/ping").status_code == 200


def test_the_toolkits_own_errors_choose_the_status(model_dir):
    source = """
        class BaseInferenceToolkitError(Exception):
            def __init__(self, status_code, message, phrase):
                self.status_code, self.message, self.phrase = status_code, message, phrase
                super().__init__(message)
        class Unsupported(BaseInferenceToolkitError): pass
        def model_fn(model_dir): return None
        def transform_fn(model, data, content_type, accept): raise Unsupported(415, "no", "x")
    """
    assert post(write_code(model_dir, source)).status_code == 415


@pytest.mark.parametrize("value", ["object()", "float"])
def test_an_answer_that_cannot_be_sent_is_a_clear_500(model_dir, value):
    source = f"def model_fn(d): return 1\ndef transform_fn(a, b, c, d): return {value}\n"
    reply = post(write_code(model_dir, source))
    assert reply.status_code == 500
    assert "return bytes or text" in reply.get_json()["message"]


def test_with_a_bundle_only_output_fn_may_be_the_users(model_dir):
    source = "def output_fn(prediction, accept): return prediction[0].label.upper()\n"
    folder = write_code(with_bundle(model_dir), source)
    assert post(folder, picture("green"), "image/png").data == b"GREEN"


def test_with_a_bundle_only_predict_fn_may_be_the_users(model_dir):
    source = """
        def predict_fn(images, model):
            assert images.shape == (1, 32, 32, 3), images.shape
            return model.probabilities(images)[:, ::-1]
    """
    folder = write_code(with_bundle(model_dir), source)
    reply = post(folder, picture("red"), "image/png")
    assert reply.get_json()["predictions"][0]["label"] == "blue"


def test_with_a_bundle_input_fn_may_return_pixels_of_any_size(model_dir):
    source = """
        import numpy
        def input_fn(data, content_type):
            red = numpy.zeros((90, 40, 3), dtype=numpy.uint8)
            red[..., 0] = 255
            return red
    """
    folder = write_code(with_bundle(model_dir), source)
    assert post(folder).get_json()["predictions"][0]["label"] == "red"


def test_with_a_bundle_a_wrong_input_fn_is_told_what_was_expected(model_dir):
    source = "def input_fn(data, content_type): return [1.5]\n"
    reply = post(write_code(with_bundle(model_dir), source))
    assert reply.status_code == 500
    assert "expected uint8 pixels" in reply.get_json()["message"]


def test_our_errors_keep_their_status_beside_user_code(model_dir):
    source = "def output_fn(prediction, accept): return 'x'\n"
    client = client_for(write_code(with_bundle(model_dir), source))
    assert client.post("/invocations", data=b"junk", content_type="image/png").status_code == 400
    assert client.post("/invocations", data=b"junk", content_type="text/csv").status_code == 415


def test_the_program_may_be_a_path_of_another_machine(model_dir):
    folder = write_code(model_dir, ALL_FOUR, "mine.py")
    assert post(folder, program="/home/someone/project/mine.py").status_code == 200
    assert post(folder, program="mine").status_code == 200


def test_siblings_and_lib_are_importable_even_with_our_names(model_dir, caplog):
    write_code(model_dir, "VALUE = 'their classifier'\n", "classifier.py")
    write_code(model_dir, "VALUE = 'their lib'\n", "lib/helper_of_mine.py")
    source = """
        import classifier, helper_of_mine
        def model_fn(model_dir): return classifier.VALUE, helper_of_mine.VALUE
        def transform_fn(model, data, content_type, accept): return list(model)
    """
    reply = post(write_code(model_dir, source))
    assert reply.get_json() == ["their classifier", "their lib"]
    assert "rename them" in caplog.text
    import classifier

    assert "Picture in" in (classifier.__doc__ or "")


def test_requirements_are_not_installed_and_the_log_says_so(model_dir, caplog):
    caplog.set_level(logging.WARNING)
    folder = write_code(with_bundle(model_dir), "")
    (folder / "code" / "requirements.txt").write_text("no-such-package-anywhere\n")
    assert post(folder, picture(), "image/png").status_code == 200
    assert "is not installed" in caplog.text


def test_code_that_cannot_be_imported_stops_loading_with_the_reason(model_dir):
    with pytest.raises(BundleError, match="No module named 'absent_package'"):
        client_for(write_code(model_dir, "import absent_package\n"))


def test_a_bundle_packed_one_folder_too_deep_is_served(model_dir):
    shutil.copytree(colour_bundle(), model_dir / "model")
    assert post(model_dir, picture(), "image/png").status_code == 200


def test_files_beside_the_bundle_are_ignored(model_dir):
    folder = with_bundle(model_dir)
    (folder / "model.tar.gz").write_bytes(b"as SageMaker's local mode leaves it")
    assert post(folder, picture(), "image/png").status_code == 200


@pytest.mark.parametrize("present", [False, True])
def test_a_folder_with_nothing_to_serve_says_what_was_expected(model_dir, present):
    if present:
        model_dir.mkdir()
        (model_dir / "notes.txt").write_text("x")
    with pytest.raises(BundleError, match=r"notes.txt.*bundle.json" if present else "not exist"):
        client_for(model_dir)


def test_the_answer_of_transform_fn_may_be_plain_values(model_dir):
    source = """
        import numpy
        def model_fn(model_dir): return None
        def transform_fn(model, data, content_type, accept):
            return {"rows": numpy.arange(3), "size": numpy.float32(0.5)}
    """
    reply = post(write_code(model_dir, source))
    assert json.loads(reply.data) == {"rows": [0, 1, 2], "size": 0.5}
