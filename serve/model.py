"""Model: what a model folder holds decides what serves it. A bundle, user code, or TorchScript."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.bundle import Bundle
from classifier.explain import Explainer
from classifier.preprocess import Pixels
from contract.errors import BundleError, RequestError, SpecError, UserCodeError
from contract.manifest import MANIFEST_NAME, Preprocess
from contract.prediction import Prediction, predictions_from_rows
from serve.answer import negotiate, write_answer
from serve.aws_defaults import AwsDefaults, torch_files
from serve.explain import METHOD, Explanations, explanation_of
from serve.handler import Defaults, UserModel
from serve.invocation import Answer, Invocation, Model
from serve.lanes import Lanes, Work, lane_count
from serve.request import PictureReader
from serve.settings import ServeSettings
from serve.telemetry import Telemetry
from serve.user_code import UserCode, find_user_code, load_user_code

log = logging.getLogger(__name__)


class Classifies(Protocol):
    """What this room needs of `classifier.Classifier`."""

    labels: tuple[str, ...]
    preprocess: Preprocess
    top_k: int
    engine_name: str
    variant: str
    why: str
    device: str
    batch_size: int
    bundle: Bundle

    def probabilities(self, images: Pixels) -> NDArray[np.float32]:
        """float32 (pictures, labels) of uint8 (pictures, crop, crop, 3)."""
        ...

    def predict(self, images: Pixels) -> list[Prediction]:
        """One Prediction a picture of uint8 (pictures, crop, crop, 3)."""
        ...


class KennelModel:
    """A bundle served as it is; also the defaults of user code that brings no model_fn."""

    def __init__(self, classifier: Classifies, settings: ServeSettings, lanes: Lanes) -> None:
        self._classifier = classifier
        self._lanes = lanes
        self._reader = PictureReader(classifier.preprocess, settings)
        self._work = Work(
            decode=self._reader.decode,
            compute=classifier.probabilities,
            batch_size=classifier.batch_size,
        )
        # One thread: heat maps are for people, who must not slow down everybody else.
        self._explainer = Explainer(classifier.bundle, threads=1)
        self._explanations = Explanations(
            self._explainer,
            lanes,
            self._work,
            labels=classifier.labels,
            top_k=classifier.top_k,
            timeout_seconds=settings.timeout_seconds,
        )
        self._default_accept = settings.default_accept
        self.gpu_id = 0 if classifier.device.startswith("cuda") else None

    def describe(self) -> dict[str, Any]:
        """Facts for /ping and the page."""
        return {
            "engine": self._classifier.engine_name,
            "variant": self._classifier.variant,
            "why": self._classifier.why,
            "batch_size": self._classifier.batch_size,
            "device": self._classifier.device,
            "num_labels": len(self._classifier.labels),
            "image_size": self._classifier.preprocess.crop_px,
            **({} if self._explainer.reason() else {"explain": METHOD}),
        }

    def answer(self, invocation: Invocation) -> Answer:
        """Raises RequestError and ImageError."""
        if (explanation := explanation_of(invocation.accept)) is not None:
            sources = self._reader.sources(invocation.body, invocation.content_type)
            return self._explanations.answer(explanation, sources)
        form = negotiate(invocation.accept, self._default_accept)  # before any work is done
        sources = self._reader.sources(invocation.body, invocation.content_type)
        rows = self._lanes.run(self._work, sources)
        labels, top_k = self._classifier.labels, self._classifier.top_k
        return write_answer(predictions_from_rows(rows.tolist(), labels, top_k), form)

    def close(self) -> None:
        """Nothing: memory goes with the last reference."""

    def load(self, model_dir: Path) -> Classifies:
        """User code's model is the classifier itself, loaded already."""
        del model_dir
        return self._classifier

    def read(self, body: bytes | str, content_type: str) -> Pixels:
        """Pictures as uint8 (pictures, crop, crop, 3)."""
        return self._reader.read(body.encode() if isinstance(body, str) else body, content_type)

    def predict(self, data: Any, model: Any) -> list[Prediction]:
        """Also for what a user's input_fn returns: pixels of any size, or a Pillow picture."""
        pixels = np.asarray(data)
        if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != 3:
            raise UserCodeError(
                500,
                "input_fn returned what the default predict_fn does not take: expected uint8 "
                "pixels (height, width, 3) or (pictures, height, width, 3), got "
                f"{pixels.dtype} {pixels.shape}",
            )
        predictions: list[Prediction] = model.predict(self._reader.fit(pixels))
        return predictions

    def write(self, prediction: Any, accept: str) -> Answer:
        """Also for what a user's predict_fn returns: an array (pictures, labels)."""
        return write_answer(self._named(prediction), negotiate(accept, self._default_accept))

    def _named(self, prediction: Any) -> Sequence[Prediction]:
        if isinstance(prediction, list) and all(isinstance(p, Prediction) for p in prediction):
            return prediction
        rows = np.atleast_2d(np.asarray(prediction, dtype=np.float32))
        if rows.ndim != 2 or rows.shape[1] != len(self._classifier.labels):
            raise UserCodeError(
                500,
                "predict_fn returned what the default output_fn does not take: expected one "
                f"probability for each of {len(self._classifier.labels)} labels, got {rows.shape}",
            )
        return predictions_from_rows(rows.tolist(), self._classifier.labels, self._classifier.top_k)


def load_model(settings: ServeSettings, num_cpus: int, lanes: Lanes | None = None) -> Model:
    """Load, probe and warm what SageMaker unpacked. Takes seconds; called once a process.

    `lanes`: those of the process, where several models share them.

    Raises BundleError: the folder holds nothing that we can serve, or what it holds is damaged.
    """
    model_dir = find_model_dir(settings.model_dir)
    path = find_user_code(model_dir, Path(settings.base_dir), settings.program)
    if path is None and settings.program != "inference.py":
        log.warning("SAGEMAKER_PROGRAM %s is in no code/ folder: not used", settings.program)
    code = load_user_code(path) if path else None
    lanes = lanes or new_lanes(settings, num_cpus)
    defaults = _defaults(model_dir, code, settings, lanes)
    if code is None:
        if isinstance(defaults, KennelModel):
            return defaults
        code = UserCode(model_dir, {})  # TorchScript alone: every function is AWS's default
    return UserModel(
        code,
        defaults,
        model_dir,
        default_accept=settings.default_accept,
        timeout_seconds=settings.timeout_seconds,
    )


def new_lanes(settings: ServeSettings, num_cpus: int, telemetry: Telemetry | None = None) -> Lanes:
    """The lanes of one process; as many pictures may wait as requests may be in flight."""
    return Lanes(lane_count(num_cpus), settings.max_in_flight, settings.timeout_seconds, telemetry)


def find_model_dir(folder: Path) -> Path:
    """`folder`, or its only subfolder with a bundle: archives are often packed one level too deep.

    Raises BundleError when the folder is missing or empty.
    """
    if not folder.is_dir():
        raise BundleError(
            f"{folder} does not exist: mount or unpack model.tar.gz there, or name the bundle "
            "with --bundle"
        )
    if (folder / MANIFEST_NAME).is_file() or (folder / "code").is_dir():
        return folder
    nested = [path.parent for path in sorted(folder.glob(f"*/{MANIFEST_NAME}"))]
    if len(nested) == 1:
        log.warning("the bundle is in %s, one folder too deep; it is served from there", nested[0])
        return nested[0]
    return folder


def _defaults(
    model_dir: Path, code: UserCode | None, settings: ServeSettings, lanes: Lanes
) -> Defaults | KennelModel:
    has_own_model = code is not None and code.has("model_fn")
    if not has_own_model and (model_dir / MANIFEST_NAME).is_file():
        from classifier.classifier import Classifier  # brings in the engine

        if code is None:
            _check_default_accept(settings.default_accept)
        classifier = Classifier.load(
            model_dir,
            settings.engine,
            settings.variant,
            lanes=lanes.num_lanes,
            batch_size=settings.batch_size,
        )
        return KennelModel(classifier, settings, lanes)
    if code is None and not torch_files(model_dir):
        held = ", ".join(sorted(path.name for path in model_dir.iterdir())[:8]) or "nothing"
        raise BundleError(
            f"{model_dir} holds {held}: expected a Kennel bundle ({MANIFEST_NAME}), "
            "code/inference.py, or one TorchScript file; is model.tar.gz packed from inside its "
            "folder?"
        )
    return AwsDefaults(is_used=code is None or not code.is_complete)


def _check_default_accept(accept: str) -> None:
    """Refuse a default that we cannot write now, not at every request."""
    try:
        negotiate(None, accept)
    except RequestError as error:
        raise SpecError(
            f"environment variable SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT: {error}"
        ) from None
