"""Hosted: one model of a multi-model server under its name, and what its url stands for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from contract.errors import BundleError, HostError, JobError, RequestError
from contract.manifest import MANIFEST_NAME
from serve.invocation import Answer, Invocation, Model
from serve.model import find_model_dir
from serve.settings import ServeSettings
from serve.user_code import find_user_code


class State(StrEnum):
    """Where a model is between its first load and its last byte."""

    LOADING = "loading"
    RESTORING = "loaded again"  # SageMaker believes it is loaded: an earlier process had it
    READY = "loaded"
    UNLOADING = "unloading"


class Hosted:
    """One model under its name."""

    def __init__(self, name: str, url: str, state: State = State.LOADING) -> None:
        self.name, self.url, self.state = name, url, state
        self.model: Model | None = None
        self.in_flight = 0

    @property
    def is_listed(self) -> bool:
        """Whether it is loaded, for whoever asks from outside."""
        return self.state in (State.READY, State.RESTORING)

    def answer(self, invocation: Invocation) -> Answer:
        """The model's answer. No reference to the model outlives the call."""
        assert self.model is not None
        return self.model.answer(invocation)


def find_folder(url: str) -> Path:
    """Where the url points: a path of this container, from its root when relative.

    Raises RequestError: 400 for an address of another kind, 404 when no folder is there.
    """
    if "://" in url:
        raise RequestError(400, f"url {url[:200]!r}: expected the path of a folder, no address")
    folder = Path("/", url)
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        raise RequestError(404, f"url {url[:200]!r}: there is no folder {str(folder)[:200]}")
    return folder


def settings_for(folder: Path, settings: ServeSettings) -> ServeSettings:
    """The settings of one model. User code is its own: no /opt/ml/code is looked at."""
    return replace(settings, bundle=str(folder), base_dir=str(folder))


def is_program(folder: Path, settings: ServeSettings) -> bool:
    """True when serving the model means running what somebody else wrote: code or TorchScript."""
    model_dir = find_model_dir(folder)
    has_code = find_user_code(model_dir, Path(settings.base_dir), settings.program) is not None
    return has_code or not (model_dir / MANIFEST_NAME).is_file()


@contextmanager
def explained() -> Iterator[None]:
    """Whoever asks for a model may read why it cannot be served: 500 with the reason."""
    try:
        yield
    except (BundleError, JobError, HostError) as error:
        raise RequestError(500, f"{type(error).__name__}: {error}") from error
