"""Write NAME.lock beside every NAME.in: exact versions with hashes, from pip's own resolver.

Usage: python docker/requirements/lock.py [NAME ...]   (make lock)

The hashes are those of the files that pip chose here: Linux x86-64, Python 3.11, which is what
the images and CI are. Elsewhere `make setup` installs from NAME.in.

A line `# without NAME: why` in NAME.in leaves a package out that another one asks for.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
RESOLVE_SECONDS = 1800
WITHOUT = re.compile(r"^# without (\S+):", re.MULTILINE)
HEADER = "# Made by `make lock` from {name}.in for Linux x86-64, Python 3.11. Do not edit.\n"


def lock(name: str) -> None:
    """Resolve NAME.in in an empty environment and write NAME.lock."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--report", str(report), "-r", str(HERE / f"{name}.in")]
        subprocess.run(command, check=True, timeout=RESOLVE_SECONDS)
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    without = set(WITHOUT.findall((HERE / f"{name}.in").read_text(encoding="utf-8")))
    lines = sorted(_line(item) for item in chosen if _name_of(item["metadata"]) not in without)
    text = HEADER.format(name=name) + "".join(lines)
    (HERE / f"{name}.lock").write_text(text, encoding="ascii")
    print(f"{name}.lock: {len(lines)} packages")


def _line(item: dict) -> str:
    metadata = item["metadata"]
    digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{_name_of(metadata)}=={metadata['version']} \\\n    --hash=sha256:{digest}\n"


def _name_of(metadata: dict) -> str:
    return metadata["name"].lower().replace("_", "-")


if __name__ == "__main__":
    for each in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.in")):
        lock(each)
