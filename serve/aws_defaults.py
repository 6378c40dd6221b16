"""AWS defaults: what AWS's PyTorch server does where a user wrote no function of his own.

The only file of this room that imports torch, and only when such a model is loaded.
Source: CONTRACT B.5; sagemaker_pytorch_serving_container's default handler.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from classifier.choice import has_nvidia_gpu
from contract.errors import BundleError, RequestError
from serve.invocation import Answer

READS = ("application/json", "text/csv", "application/x-npy")


class AwsDefaults:
    """TorchScript model, tensors in, tensors out."""

    def __init__(self, *, is_used: bool = True) -> None:
        """Import torch, unless the user wrote every function and there is no GPU to tell of.

        Raises BundleError in an image without torch.
        """
        self.gpu_id: int | None = None
        self._device: Any = "cpu"
        if not is_used and not has_nvidia_gpu():
            return
        try:
            import torch
        except ModuleNotFoundError:
            if not is_used:
                return
            raise BundleError(
                "this model needs torch, which kennel-serve-cpu does not have: use kennel-serve, "
                "or write model_fn, input_fn, predict_fn and output_fn, or serve a Kennel bundle"
            ) from None
        self._torch = torch
        self._device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        self.gpu_id = 0 if torch.cuda.is_available() else None

    def describe(self) -> dict[str, Any]:
        """Facts for /ping."""
        return {"engine": "user", "device": str(self._device)}

    def load(self, model_dir: Path) -> Any:
        """The TorchScript in `model.pt`, or in the only .pt or .pth. Raises BundleError."""
        path = find_torchscript(model_dir)
        try:
            return self._torch.jit.load(str(path), map_location=self._device)
        except (RuntimeError, ValueError) as error:
            raise BundleError(
                f"{path.name} is no TorchScript: {str(error).splitlines()[0]}; save it with "
                "torch.jit.save, or write a model_fn"
            ) from None

    def read(self, body: bytes | str, content_type: str) -> Any:
        """A float tensor from JSON or CSV, or one of the array's own type from NPY."""
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in READS:
            raise RequestError(
                415,
                f"Content-Type {content_type[:100]!r} is not one of {', '.join(READS)}; for "
                "pictures this model needs an input_fn",
            )
        data = body.encode() if isinstance(body, str) else body
        try:
            array = _read_array(data, kind)
        except (ValueError, TypeError, EOFError, RecursionError) as error:
            raise RequestError(400, f"the body is not {kind}: {str(error)[:200]}") from None
        return self._torch.from_numpy(array).to(self._device)

    def predict(self, data: Any, model: Any) -> Any:
        """Without gradients, in evaluation mode, where the model is."""
        with self._torch.no_grad():
            model.to(self._device)
            model.eval()
            return model(data)

    def write(self, prediction: Any, accept: str) -> Answer:
        """The first form of the Accept header that is JSON, CSV or NPY."""
        array = np.asarray(
            prediction.detach().cpu() if self._torch.is_tensor(prediction) else prediction
        )
        asked = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
        for kind in ("application/json" if name == "*/*" else name for name in asked):
            if kind in READS:
                return Answer(body=_write_array(array, kind), content_type=kind)
        raise RequestError(406, f"Accept {accept[:100]!r} names none of {', '.join(READS)}")


def find_torchscript(model_dir: Path) -> Path:
    """`model.pt`, else the single .pt or .pth file. Raises BundleError for none or several."""
    if (model_dir / "model.pt").is_file():
        return model_dir / "model.pt"
    found = torch_files(model_dir)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise BundleError(
            f"exactly one .pth or .pt file is needed in {model_dir} when there is no model_fn, "
            f"found {names}"
        )
    return found[0]


def torch_files(model_dir: Path) -> list[Path]:
    """The .pt and .pth files, without what macOS hides beside them."""
    return sorted(
        path
        for path in model_dir.glob("*.pt*")
        if path.suffix in (".pt", ".pth") and not path.name.startswith(".") and path.is_file()
    )


def _read_array(data: bytes, kind: str) -> Any:
    if kind == "application/x-npy":
        return np.array(np.load(io.BytesIO(data), allow_pickle=False))
    text = data.decode("utf-8")
    if kind == "application/json":
        return np.array(json.loads(text), dtype=np.float32)
    return np.genfromtxt(io.StringIO(text), dtype=np.float32, delimiter=",")


def _write_array(array: Any, kind: str) -> bytes:
    if kind == "application/json":
        return json.dumps(array.tolist()).encode()
    stream = io.BytesIO()
    if kind == "text/csv":
        np.savetxt(stream, np.atleast_2d(array), delimiter=",", fmt="%s")
    else:
        np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
