"""HookConfig: which tensors a job saves, as debughookconfig.json says it.

Source: smdebug 1.0.34's source; SageMaker API reference, DebugHookConfig.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import SpecError

# smdebug's own; others need an `include_regex`.
BUILT_IN_COLLECTIONS = ("losses", "weights", "biases", "gradients", "all", "metrics")
# Ours, with the names that AWS's rules look for.
READY_REGEXES = {
    "relu_output": ".*relu_output|.*ReLU_output",
    "relu_input": ".*relu_input|.*ReLU_input",
    "labels": "CrossEntropyLoss_input_1",
    "predictions": "CrossEntropyLoss_input_0",  # logits
    "input_image": "trunk_input_0",  # normalised; absent where the head learns alone
    "metrics": "^scalar/",
    "sm_metrics": "^scalar/",
}
END_NAME = "training_job_end.ts"  # among the tensors: no more follow
FAILED_NAME = "FAILED"  # among them: why saving ended before training did, in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A named set of tensors; values are text, as SageMaker sends them."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookConfig:
    """What is saved and when. Unknown parameters are kept: smdebug reads the file itself."""

    collections: tuple[Collection, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)  # HookParameters
    local_path: Path | None = None  # None: output/tensors below the base
    s3_output_path: str = ""  # only the service uses it

    @property
    def is_default(self) -> bool:
        """What SageMaker's SDK sends when nobody asked for anything: losses every 500 steps."""
        return not self.collections and not self.parameters

    def to_json(self) -> dict[str, Any]:
        """debughookconfig.json, as SageMaker writes it."""
        return {
            "S3OutputPath": self.s3_output_path,
            **({"LocalPath": str(self.local_path)} if self.local_path else {}),
            **({"HookParameters": dict(self.parameters)} if self.parameters else {}),
            "CollectionConfigurations": [
                {
                    "CollectionName": one.name,
                    **({"CollectionParameters": dict(one.parameters)} if one.parameters else {}),
                }
                for one in self.collections
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "HookConfig":
        """Read debughookconfig.json; null counts as absent. Raises SpecError."""
        collections = []
        for given in data.get("CollectionConfigurations") or ():
            if not isinstance(given, dict) or not given.get("CollectionName"):
                raise SpecError(f"debughookconfig.json: a collection has no name: {given!r}")
            parameters = _texts(given.get("CollectionParameters") or {})
            collections.append(Collection(name=given["CollectionName"], parameters=parameters))
        local = data.get("LocalPath")
        return cls(
            collections=tuple(collections),
            parameters=_texts(data.get("HookParameters") or {}),
            local_path=Path(local) if local else None,
            s3_output_path=data.get("S3OutputPath") or "",
        )


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    """Hand-written files hold numbers and booleans; SageMaker sends text."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in data.items()
    }
