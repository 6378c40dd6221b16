"""Evidence: the documents that commands printed with -o json, kept in a folder by name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import SpecError
from contract.files import read_json

FOLDER = Path("evidence")
# Name of the file, without .json and what follows another hyphen -> the command that prints it.
COMMANDS: Mapping[str, str] = {
    "data": "kennel data check DIR",
    "push": "kennel data push DIR s3://BUCKET/PREFIX",
    "deploy": "kennel deploy DEPLOYMENT.toml",
    "deploy-multi": "kennel deploy MULTI_MODEL.toml",
    "batch": "kennel deploy BATCH.toml",
    "predict": "kennel predict PICTURE --endpoint NAME",
    "lambda-deploy": "kennel lambda deploy NAME --endpoint NAME --create-role",
    "lambda-test": "kennel lambda test NAME PICTURE",
    "scaling": "kennel scale simulate day --deployment DEPLOYMENT.toml --images-per-second 20",
    "scale-show": "kennel scale show NAME",
    "iam": "kennel iam show",
    "cost-before": "kennel list --cost",
    "cost-after": "kennel list --cost",
    "cleanup": "kennel cleanup --all",
    "explain": "kennel debug explain",
    "profile": "kennel debug profile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the folder holds. Without a folder there is simply none."""

    folder: Path
    documents: Mapping[str, Any]  # by the name of the file, without .json
    pictures: tuple[Path, ...] = ()

    def of(self, kind: str) -> Mapping[str, Any]:
        """The document of a kind; empty when there is none, or it is no object."""
        found = self.documents.get(kind, {})
        return found if isinstance(found, Mapping) else {}

    def command(self, kind: str) -> str:
        """What makes the document of a kind."""
        return f"{COMMANDS[kind]} -o json > {self.folder}/{kind}.json"


def read_evidence(folder: Path) -> Evidence:
    """The documents of a folder. Raises SpecError: one of them is no JSON."""
    paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
    read = {path.stem: read_json(path, SpecError) for path in paths}
    documents = {name: found for name, found in read.items() if not _is_shown(found)}
    pictures = sorted(folder.glob("*.png")) if folder.is_dir() else []
    return Evidence(folder=folder, documents=documents, pictures=tuple(pictures))


def _is_shown(document: Any) -> bool:
    """Whether --show printed it: requests, of which none was sent."""
    if isinstance(document, list):
        return all(isinstance(one, Mapping) and "operation" in one for one in document)
    return isinstance(document, Mapping) and "calls" in document


def is_executed(notebook: Path) -> bool:
    """Whether every cell with code in it has run. False for what is no notebook."""
    try:
        found = json.loads(notebook.read_text(encoding="utf-8"))
        cells = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
        filled = [cell for cell in cells if "".join(cell["source"]).strip()]
        return bool(filled) and all(cell.get("execution_count") for cell in filled)
    except (OSError, ValueError, KeyError, TypeError):
        return False
