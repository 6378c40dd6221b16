"""Transform plan: the names of all pictures, in a file, so that a killed transform knows the rest.

Names end with a NUL, which no name holds. The file is written once, before the first picture is
sent: the order stays the same whatever happens to the input, and the number is known.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from contract.errors import HostError, UsageError
from contract.files import replacing

END = b"\0"
CHUNK_BYTES = 1024 * 1024
TOLD_EVERY = 10_000  # names between two reports


def write_plan(path: Path, names: Iterable[bytes]) -> Iterator[int]:
    """Write the plan; yields the number of names now and then, and in the end.

    Raises UsageError for a name with a NUL, HostError when the input cannot be listed.
    """
    count = 0
    with replacing(path) as temporary, temporary.open("wb") as file:
        for name in _listed(names):
            if END in name:
                raise UsageError(f"{name[:60]!r} is no name of a picture: is the list UTF-8 text?")
            file.write(name + END)
            count += 1
            if count % TOLD_EVERY == 0:
                yield count
    yield count


def read_plan(path: Path, offset: int = 0) -> Iterator[bytes]:
    """The names from a byte of the file on; each is `len(name) + len(END)` bytes long there."""
    with path.open("rb") as file:
        file.seek(offset)
        rest = b""
        while chunk := file.read(CHUNK_BYTES):
            *names, rest = (rest + chunk).split(END)
            yield from names


def _listed(names: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from names
    except OSError as error:
        raise HostError(f"{error.filename!r} cannot be listed: {error.strerror}") from error
