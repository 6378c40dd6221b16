"""Orders: what the master of a study and its workers say to each other, one JSON object a line."""

import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from contract.hyperparameters import parse_hyperparameters
from contract.job import Channel, Outputs, TrainingJob

BEST_NAME = "best"  # folder in output/data: the files that a job of its own leaves
WARNING = "warning"  # an event that a worker may send at any time, with a text
_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOrder:
    """Run one trial; or, with `outputs`, make its bundle and report."""

    number: int
    name: str  # of the job that it becomes
    hyperparameters: Mapping[str, str]
    kept_dir: str  # where its weights are kept if it is the best so far
    checkpoint_dir: str | None = None  # where it continues if it is interrupted
    scores_test: bool = False
    tells: bool = False  # about pictures and network: it is the session's first
    outputs: Mapping[str, str] | None = None  # model_dir, data_dir, failure_file
    last_epoch: int | None = None  # where the trial ended whose bundle is made
    is_hurried: bool = False
    prepares: bool = False  # first fills the cache for all workers, on `cpus`
    cpus: tuple[int, ...] = ()  # those of all workers together

    @property
    def do(self) -> str:
        """The word that stands for this order."""
        return "run" if self.outputs is None else "finish"

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the word."""
        return {**asdict(self), "do": self.do}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> "TrialOrder":
        """The inverse of `to_json`."""
        return cls(**{name: value for name, value in data.items() if name != "do"})

    def finishing(self, outputs: Outputs, last_epoch: int, *, is_hurried: bool) -> "TrialOrder":
        """The order to make the bundle: the files of a job lie in a folder of their own."""
        return replace(
            self,
            last_epoch=last_epoch,
            outputs={
                "model_dir": str(outputs.model_dir.absolute()),
                "data_dir": str(outputs.data_dir.absolute() / BEST_NAME),
                "failure_file": str(outputs.failure_file.absolute()),
            },
            is_hurried=is_hurried,
        )

    def job(self, channels: Mapping[str, Channel], work_dir: Path) -> TrainingJob:
        """The training job that this trial is. Raises HyperparameterError."""
        own = {name: work_dir / name for name in ("model_dir", "data_dir", "failure_file")}
        given = {name: Path(text) for name, text in (self.outputs or {}).items()}
        return TrainingJob(
            name=self.name,
            hyperparameters=parse_hyperparameters(self.hyperparameters),
            channels=channels,
            outputs=Outputs(
                **{**own, **given},
                checkpoint_dir=Path(self.checkpoint_dir) if self.checkpoint_dir else None,
            ),
        )


def channels_to_json(channels: Mapping[str, Channel]) -> list[dict[str, Any]]:
    """Plain data; paths become absolute."""
    return [{**asdict(one), "path": str(one.path.absolute())} for one in channels.values()]


def channels_of_json(data: list[dict[str, Any]]) -> dict[str, Channel]:
    """The inverse of `channels_to_json`."""
    return {one["name"]: Channel(**{**one, "path": Path(one["path"])}) for one in data}


class Line:
    """One end of the connection between a master and a worker."""

    def __init__(self, end: socket.socket) -> None:
        self._socket, self._rest = end, b""

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def send(self, message: Mapping[str, Any]) -> None:
        """Raises OSError when the other end is gone."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> list[dict[str, Any]]:
        """Wait for some bytes; the messages that are whole now. Raises EOFError."""
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            raise EOFError
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in whole]

    def close(self) -> None:
        """The other end reads EOF."""
        self._socket.close()
