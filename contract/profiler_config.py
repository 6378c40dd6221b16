"""ProfilerConfig: what a job measures of itself, as profilerconfig.json says it.

Source: smdebug 1.0.34's profiler; SageMaker API reference, ProfilerConfig.
"""

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.errors import SpecError

INTERVALS_MS = (100, 200, 500, 1000, 5000, 60000)  # the only ones that SageMaker takes
DEFAULT_INTERVAL_MS = 500
DETAILED, DATALOADER, PYTHON = (
    "DetailedProfilingConfig",
    "DataloaderProfilingConfig",
    "PythonProfilingConfig",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When something costly is measured: by steps, or by time."""

    start_step: int | None = None
    num_steps: int | None = None
    start_unix_time: int | None = None  # seconds
    duration_seconds: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # ProfilerName, MetricsRegex, ...

    def __post_init__(self) -> None:
        by_step = self.start_step is not None or self.num_steps is not None
        by_time = self.start_unix_time is not None or self.duration_seconds is not None
        if by_step and by_time:
            raise SpecError("profiler: a window is given by steps or by time, not by both")

    def has_step(self, step: int) -> bool:
        """True when the window is given by steps and holds this one, counted from 0."""
        if self.start_step is None and self.num_steps is None:
            return False
        first = self.start_step or 0
        return first <= step < first + (1 if self.num_steps is None else self.num_steps)

    def has_time(self, unix_seconds: float) -> bool:
        """True when the window is given by time and holds this one."""
        if self.duration_seconds is None or self.start_unix_time is None:
            return False
        return self.start_unix_time <= unix_seconds < self.start_unix_time + self.duration_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilerConfig:
    """System metrics, the timeline, and windows of operator-level profiling."""

    interval_ms: int = DEFAULT_INTERVAL_MS
    is_disabled: bool = False
    windows: Mapping[str, Window] = field(default_factory=dict)  # DETAILED, ...
    local_path: Path | None = None  # None: output/profiler below the base
    rotate_seconds: float = 60.0
    rotate_bytes: int = 10 * 2**20
    s3_output_path: str = ""  # only the service uses it

    def __post_init__(self) -> None:
        if not INTERVALS_MS[0] <= self.interval_ms <= INTERVALS_MS[-1]:
            raise SpecError(
                f"profiler: interval_ms: expected {INTERVALS_MS[0]} to {INTERVALS_MS[-1]} "
                f"(SageMaker takes {', '.join(map(str, INTERVALS_MS))}), got {self.interval_ms}"
            )

    def to_json(self) -> dict[str, Any]:
        """profilerconfig.json, as SageMaker writes it."""
        windows = {name: _window_text(one) for name, one in self.windows.items()}
        return {
            "S3OutputPath": self.s3_output_path,
            "ProfilingIntervalInMilliseconds": self.interval_ms,
            "DisableProfiler": self.is_disabled,
            "ProfilingParameters": {
                **windows,
                **({"LocalPath": str(self.local_path)} if self.local_path else {}),
                "RotateFileCloseIntervalInSeconds": f"{self.rotate_seconds:g}",
                "RotateMaxFileSizeInBytes": str(self.rotate_bytes),
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ProfilerConfig":
        """Read profilerconfig.json; null counts as absent, keys in any case. Raises SpecError."""
        given = _lowered(data)
        parameters = _lowered(given.get("profilingparameters") or {})
        try:
            return cls(
                interval_ms=int(
                    given.get("profilingintervalinmilliseconds") or DEFAULT_INTERVAL_MS
                ),
                is_disabled=str(given.get("disableprofiler") or "false").lower() == "true",
                windows={
                    name: _window(parameters[name.lower()])
                    for name in (DETAILED, DATALOADER, PYTHON)
                    if parameters.get(name.lower())
                },
                local_path=Path(parameters["localpath"]) if parameters.get("localpath") else None,
                rotate_seconds=float(parameters.get("rotatefilecloseintervalinseconds") or 60),
                rotate_bytes=int(parameters.get("rotatemaxfilesizeinbytes") or 10 * 2**20),
                s3_output_path=str(given.get("s3outputpath") or ""),
            )
        except (TypeError, ValueError, SyntaxError) as error:
            raise SpecError(f"profilerconfig.json cannot be read: {error}") from error


def _lowered(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in data.items()}


def _window(text: Any) -> Window:
    """The SDK's text looks like a Python dict and is no JSON: it may end in a comma."""
    data = text if isinstance(text, dict) else ast.literal_eval(text)
    given = _lowered(data)
    duration = given.pop("durationinseconds", None)
    duration = given.pop("duration", duration)  # what the SDK writes
    start_time = given.pop("starttimeinsecsinceepoch", None)
    start, count = given.pop("startstep", None), given.pop("numsteps", None)
    return Window(
        start_step=None if start is None else int(start),
        num_steps=None if count is None else int(count),
        start_unix_time=None if start_time is None else int(start_time),
        duration_seconds=None if duration is None else float(duration),
        options=given,
    )


def _window_text(window: Window) -> str:
    named = {
        "StartStep": window.start_step,
        "NumSteps": window.num_steps,
        "StartTimeInSecSinceEpoch": window.start_unix_time,
        "DurationInSeconds": window.duration_seconds,
        **window.options,
    }
    return json.dumps({name: value for name, value in named.items() if value is not None})
