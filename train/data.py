"""What a training job trains and scores on: pictures with class indices, split by split."""

from dataclasses import dataclass
from pathlib import Path

from contract.labels import Labels
from train.shards import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture file and its class index; nobody has opened it yet."""

    path: Path  # of a picture in a shard: where it would lie if it were unpacked
    class_index: int
    host: int | None = None  # index of the only host that has the file; None: all have it
    part: Part | None = None  # of a shard; None: a file of its own

    def read_bytes(self) -> bytes:
        """The whole file. Raises OSError; DataError where a shard is damaged."""
        return self.path.read_bytes() if self.part is None else self.part.read_bytes()


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
