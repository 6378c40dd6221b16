"""For the tests of shards: `kennel data pack` in this process."""

import contextlib
import io
import json
from pathlib import Path

from control.cli import main


def packed(folder: Path, out: Path, size: str = "8KB", *more: str) -> dict:
    """Pack `folder`; returns what `-o json` says."""
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        code = main(
            ["data", "pack", str(folder), str(out), "--shard-bytes", size, "-o", "json", *more]
        )
    assert code == 0
    return json.loads(stdout.getvalue())


def shards(folder: Path) -> list[Path]:
    """Those right in `folder`."""
    return sorted(folder.glob("shard-*.tar"))
