"""Archive: the one file of the function as Lambda takes it, the same bytes on every machine."""

import base64
import hashlib
import io
import zipfile
from pathlib import Path

FILE = Path(__file__).parents[2] / "lambda_function.py"
HANDLER = "lambda_function.handler"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say


def build_archive() -> bytes:
    """A zip of the file alone. Stored, because compressors differ from version to version."""
    info = zipfile.ZipInfo(FILE.name, date_time=_EPOCH)
    info.create_system = 3  # Unix, also when made on Windows
    info.external_attr = 0o644 << 16  # Lambda's user must be able to read it
    text = FILE.read_bytes().replace(b"\r\n", b"\n")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(info, text)
    return data.getvalue()


def sha256_of(data: bytes) -> str:
    """As Lambda tells it of the code that it has: CodeSha256."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
