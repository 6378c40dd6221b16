"""AWS names: the modules of AWS's inference toolkit that a user's code imports, where it is absent.

Source: CONTRACT B.5; sagemaker_inference's content_types, decoder, encoder, errors, utils and
default_inference_handler. Theirs brings a Java server along; these are the few names people use.
"""

import importlib.util
import io
import json
import sys
from types import ModuleType
from typing import Any

import numpy as np

PACKAGE = "sagemaker_inference"
JSON, CSV, NPY, NPZ = "application/json", "text/csv", "application/x-npy", "application/x-npz"
CONTENT_TYPES = {
    "JSON": JSON,
    "CSV": CSV,
    "NPY": NPY,
    "NPZ": NPZ,
    "OCTET_STREAM": "application/octet-stream",
    "ANY": "*/*",
    "UTF8_TYPES": [JSON, CSV],
}
SUPPORTED = [JSON, CSV, NPY]


class BaseInferenceToolkitError(Exception):
    """Its status becomes the answer's."""

    def __init__(self, status_code: int, message: str, phrase: str = "") -> None:
        super().__init__(status_code, message, phrase)
        self.status_code, self.message, self.phrase = status_code, message, phrase


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    """A failure that is not the client's."""

    def __init__(self, status_code: int, message: str = "", phrase: str = "") -> None:
        super().__init__(status_code, message or "Invalid Request", phrase)


class UnsupportedFormatError(Exception):
    """A content type that has no decoder or encoder."""

    def __init__(self, content_type: str, **_more: object) -> None:
        super().__init__(f"Content type {content_type} is not supported")
        self.message = str(self)


def decode(obj: Any, content_type: str) -> Any:
    """A body as an array. Raises UnsupportedFormatError."""
    if content_type == NPY:
        return np.load(io.BytesIO(obj), allow_pickle=False)
    if content_type not in (JSON, CSV):
        raise UnsupportedFormatError(content_type)
    text = obj.decode() if isinstance(obj, bytes) else obj
    if content_type == JSON:
        return np.array(json.loads(text))
    return np.genfromtxt(io.StringIO(text), dtype=np.float32, delimiter=",")


def encode(array_like: Any, content_type: str) -> Any:
    """An array as a body: text for JSON and CSV, bytes for NPY. Raises UnsupportedFormatError."""
    if content_type == JSON:
        plain = getattr(array_like, "tolist", None)
        return json.dumps(plain() if plain else array_like)
    if content_type == CSV:
        stream = io.StringIO()
        np.savetxt(stream, np.asarray(array_like), delimiter=",", fmt="%s")
        return stream.getvalue()
    if content_type == NPY:
        data = io.BytesIO()
        np.save(data, np.asarray(array_like), allow_pickle=False)
        return data.getvalue()
    raise UnsupportedFormatError(content_type)


def parse_accept(accept: str) -> list[str]:
    """The types of an Accept header, without blanks."""
    return accept.replace(" ", "").split(",")


class DefaultInferenceHandler:
    """What users derive from. A model and its prediction are theirs to write."""

    def default_model_fn(self, model_dir: str, context: Any = None) -> Any:
        """To be written."""
        raise NotImplementedError("write a model_fn")

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        """The body as an array."""
        del context
        return decode(input_data, content_type)

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        """To be written."""
        raise NotImplementedError("write a predict_fn")

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        """In the first form of the Accept header that there is an encoder for, and its name."""
        del context
        for content_type in parse_accept(accept):
            if content_type in SUPPORTED:
                return encode(prediction, content_type), content_type
        raise UnsupportedFormatError(accept)


def offer_aws_names() -> None:
    """Let `sagemaker_inference` be imported, unless the real one can be."""
    if PACKAGE in sys.modules or importlib.util.find_spec(PACKAGE) is not None:
        return
    contents: dict[str, dict[str, Any]] = {
        "content_types": CONTENT_TYPES,
        "decoder": {"decode": decode},
        "encoder": {"encode": encode, "SUPPORTED_CONTENT_TYPES": SUPPORTED},
        "errors": {
            "BaseInferenceToolkitError": BaseInferenceToolkitError,
            "GenericInferenceToolkitError": GenericInferenceToolkitError,
            "UnsupportedFormatError": UnsupportedFormatError,
        },
        "utils": {"parse_accept": parse_accept},
        "default_inference_handler": {"DefaultInferenceHandler": DefaultInferenceHandler},
    }
    package = ModuleType(PACKAGE, "Kennel's stand-in")
    package.__path__ = []
    sys.modules[PACKAGE] = package
    for name, values in contents.items():
        module = ModuleType(f"{PACKAGE}.{name}", "Kennel's stand-in")
        vars(module).update(values)
        sys.modules[module.__name__] = module
        setattr(package, name, module)
