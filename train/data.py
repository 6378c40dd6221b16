"""What a training job trains and scores on: pictures with class indices, split by split."""

from dataclasses import dataclass
from pathlib import Path

from contract.labels import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture file and its class index; nobody has opened it yet."""

    path: Path
    class_index: int
    host: int | None = None  # index of the only host that has the file; None: all have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The pictures of one purpose on all hosts, ordered by class and then by file name."""

    name: str  # train, validation or test
    pictures: tuple[Picture, ...]

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobData:
    """Everything a job learns from and is judged by."""

    labels: Labels
    train: Split
    validation: Split
    test: Split | None
    held_out: bool  # validation was taken out of the train channel
    notes: tuple[str, ...]  # what a person should be told about how the channels were read
