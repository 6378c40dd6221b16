"""Runs the notebook from top to bottom in a kernel of its own, as a person would. A program, too:

python executing.py NOTEBOOK OUT NAME=VALUE...   (OUT: what it came to; its folder is where it runs)
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOK = REPOSITORY / "notebooks" / "train_and_deploy.ipynb"
LIMIT_SECONDS = 900  # of all cells; three minutes where nothing else runs


@dataclass(frozen=True, kw_only=True)
class Executed:
    """A notebook that has run, or stopped at the cell that failed."""

    folder: Path  # where it ran
    path: Path
    cells: list[dict[str, Any]]
    error: str = ""

    def printed(self, beginning: str) -> str:
        """What the one cell with code that begins like this has printed."""
        (cell,) = [one for one in self.cells if _text(one["source"]).startswith(beginning)]
        return "".join(_text(one.get("text", "")) for one in cell["outputs"])

    @property
    def pictures(self) -> int:
        """How many PNGs its cells show."""
        outputs = [one for cell in self.cells for one in cell.get("outputs", ())]
        return sum("image/png" in one.get("data", {}) for one in outputs)


def execute(
    folder: Path, environment: Mapping[str, str] | None = None, **settings: str
) -> Executed:
    """Run it in `folder`, with `settings` for its variables of these names."""
    out = folder / NOTEBOOK.name
    pairs = [f"{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [sys.executable, __file__, str(NOTEBOOK), str(out), *pairs],
        env={
            **(environment or os.environ),
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(folder),
            "MPLCONFIGDIR": str(folder),
            "KENNEL_CACHE_DIR": "off",
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS + 60,
        check=False,
    )
    found = json.loads(out.read_text(encoding="utf-8"))
    cells = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    error = done.stderr[-4000:] if done.returncode else ""
    return Executed(folder=folder, path=out, cells=cells, error=error)


def with_settings(source: str, settings: Mapping[str, str]) -> str:
    """The cell's text with other values; each stands on a line of its own, with a comment."""
    lines = source.split("\n")
    for name, value in settings.items():
        places = [at for at, line in enumerate(lines) if line.startswith(f"{name} = ")]
        assert len(places) == 1, name
        lines[places[0]] = f"{name} = {value!r}"
    return "\n".join(lines)


def main(words: list[str]) -> int:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook, out = nbformat.read(words[0], as_version=4), Path(words[1])
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = with_settings(first.source, dict(pair.split("=", 1) for pair in words[2:]))
    where = {"metadata": {"path": str(out.parent)}}
    client = NotebookClient(notebook, timeout=LIMIT_SECONDS, kernel_name="python3", resources=where)
    try:
        client.execute()
    except CellExecutionError as error:
        sys.stderr.write(str(error))
        return 1
    finally:
        nbformat.write(notebook, out)
    return 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
