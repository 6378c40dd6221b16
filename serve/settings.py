"""Settings of the server: every environment variable that it reads, in one table.

The flags of `python -m serve`, the checks and the table in docs/api.md are made from it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from contract.errors import HyperparameterError, SpecError
from contract.host import cpu_limit
from contract.limits import DEFAULT_LIMITS, Limits
from contract.opt_ml import DEFAULT_BASE
from contract.setting import Setting, Value

MIB = 1024 * 1024
# SAGEMAKER_MAX_PAYLOAD_IN_MB=0 is batch transform's "unlimited"; asynchronous inference sends
# at most 1 GB, so that is where unlimited ends.
UNLIMITED_MIB = 1024
MOST_TRANSFORMS, MOST_RECORDS = 100, 4096  # of a batch transform job: at once, in one request
MAX_CHANGES = 32  # models being loaded and unloaded at a time; each holds a thread of the server


def variable(name: str, default: Value, group: str, help: str, **limits: Any) -> Any:
    """A dataclass field that is read from the environment variable `name`."""
    setting = Setting(
        name=name, type=type(default), default=default, help=help, group=group, **limits
    )
    return field(default=default, metadata={"setting": setting})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """What the operator of an endpoint may set. Reference: docs/api.md (generated)."""

    port: int = variable(
        "SAGEMAKER_BIND_TO_PORT", 8080, "Network", "port to listen on", minimum=1, maximum=65535
    )
    host: str = variable("KENNEL_HOST", "0.0.0.0", "Network", "address to listen on")
    base_dir: str = variable(
        "SAGEMAKER_BASE_DIR",
        str(DEFAULT_BASE),
        "Model",
        "the model is read from the folder `model` below it",
    )
    bundle: str = variable(
        "KENNEL_BUNDLE", "", "Model", "the model's folder itself, instead of the one above"
    )
    engine: str = variable(
        "KENNEL_ENGINE",
        "auto",
        "Model",
        "what computes; auto picks torch on CUDA and OpenVINO on a CPU",
        choices=("auto", "openvino", "torch"),
    )
    variant: str = variable(
        "KENNEL_VARIANT",
        "auto",
        "Model",
        "arithmetic of the network; auto takes the fastest that the bundle measured within "
        "tolerance of the network as trained",
        choices=("auto", "f32", "bf16", "int8", "half"),
    )
    threads: int = variable(
        "KENNEL_THREADS",
        0,
        "Model",
        "threads that decode and compute; 0 follows the container's CPU limit",
        minimum=0,
        maximum=1024,
    )
    program: str = variable(
        "SAGEMAKER_PROGRAM", "inference.py", "Model", "the user's module in the model's code/"
    )
    multi_model: bool = variable(
        "SAGEMAKER_MULTI_MODEL",
        False,
        "Model",
        "start without a model; SageMaker loads and unloads models by `/models`",
    )
    models_dir: str = variable(
        "KENNEL_MODELS_DIR",
        "",
        "Model",
        "folder of models that a multi-model server loads by itself when `/invocations` names one "
        "in X-Amzn-SageMaker-Target-Model: bundles, runs, model.tar.gz files",
    )
    workers: int = variable(
        "SAGEMAKER_MODEL_SERVER_WORKERS",
        1,
        "Capacity",
        "processes; each holds its own copy of the model. A multi-model server is always one",
        minimum=1,
        maximum=128,
    )
    max_in_flight: int = variable(
        "KENNEL_MAX_IN_FLIGHT",
        64,
        "Capacity",
        "invocations that one process works on at a time, and pictures that wait in it; what "
        "comes beyond is answered 503",
        minimum=1,
        maximum=900,
    )
    batch_size: int = variable(
        "KENNEL_BATCH_SIZE",
        0,
        "Capacity",
        "most waiting pictures that are computed in one go; 0 measures at load whether it helps",
        minimum=0,
        maximum=256,
    )
    timeout_seconds: int = variable(
        "SAGEMAKER_MODEL_SERVER_TIMEOUT",
        60,
        "Capacity",
        "seconds that an invocation may wait for bytes or for its turn",
        minimum=1,
        maximum=3600,
    )
    models_memory_mib: int = variable(
        "KENNEL_MODELS_MEMORY",
        0,
        "Capacity",
        "MiB that all models of a multi-model server may take together; 0 leaves it to the "
        "container's memory limit",
        minimum=0,
    )
    max_payload_mib: int = variable(
        "SAGEMAKER_MAX_PAYLOAD_IN_MB",
        32,
        "Limits",
        f"largest request body in MiB; 0 means {UNLIMITED_MIB}",
        minimum=0,
        maximum=UNLIMITED_MIB,
    )
    max_pictures: int = variable(
        "KENNEL_MAX_PICTURES", 64, "Limits", "most pictures in one request", minimum=1, maximum=4096
    )
    max_pixels: int = variable(
        "KENNEL_MAX_PIXELS",
        DEFAULT_LIMITS.max_pixels,
        "Limits",
        "most pixels of one picture, checked before it is decoded",
        minimum=1,
    )
    max_frames: int = variable(
        "KENNEL_MAX_FRAMES",
        DEFAULT_LIMITS.max_frames,
        "Limits",
        "most frames or pages of one picture; only the first is read",
        minimum=1,
    )
    max_json_depth: int = variable(
        "KENNEL_MAX_JSON_DEPTH", 16, "Limits", "deepest nesting of a JSON body", minimum=1
    )
    url_hosts: str = variable(
        "KENNEL_URL_HOSTS",
        "",
        "Requests",
        "hosts that a request may name in `url`: comma-separated `host`, `host:port` or "
        "`*.domain`; empty switches `url` off",
    )
    url_timeout_seconds: int = variable(
        "KENNEL_URL_TIMEOUT",
        10,
        "Requests",
        "seconds that fetching one `url` may take",
        minimum=1,
        maximum=60,
    )
    default_accept: str = variable(
        "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
        "application/json",
        "Requests",
        "the answer's form when a request has no Accept, or `*/*`",
    )
    batch: str = variable(
        "SAGEMAKER_BATCH",
        "",
        "Requests",
        "`true` in a batch transform job; decides how `/execution-parameters` is spelled",
    )
    log_level: int = variable(
        "SAGEMAKER_CONTAINER_LOG_LEVEL",
        20,
        "Log",
        "10 debug, 20 info, 30 warning, 40 error",
        minimum=0,
        maximum=50,
    )
    metrics: bool = variable(
        "KENNEL_METRICS",
        False,
        "Log",
        "answer `GET /metrics` in Prometheus' text format; `kennel serve` switches it on",
    )
    emf_seconds: int = variable(
        "KENNEL_EMF_SECONDS",
        0,
        "Log",
        "seconds between log lines in CloudWatch's embedded metric format; 0 writes none",
        minimum=0,
        maximum=3600,
    )
    emf_namespace: str = variable(
        "KENNEL_EMF_NAMESPACE", "Kennel", "Log", "CloudWatch namespace of those metrics"
    )

    @property
    def model_dir(self) -> Path:
        """Where SageMaker unpacked model.tar.gz, or the bundle that a flag named."""
        return Path(self.bundle) if self.bundle else Path(self.base_dir) / "model"

    @property
    def max_body_bytes(self) -> int:
        """The largest request body."""
        return (self.max_payload_mib or UNLIMITED_MIB) * MIB

    @property
    def picture_limits(self) -> Limits:
        """What one picture may cost; its bytes are bounded by the body's."""
        return Limits(
            max_bytes=self.max_body_bytes, max_pixels=self.max_pixels, max_frames=self.max_frames
        )


VARIABLES: dict[str, Setting] = {
    item.name: item.metadata["setting"] for item in fields(ServeSettings)
}


def read_settings(environment: Mapping[str, str] = os.environ) -> ServeSettings:
    """The settings that `environment` asks for; an empty value counts as unset.

    Raises SpecError for a wrong value: names the variable, what is allowed and what came.
    """
    values: dict[str, Any] = {}
    for name, setting in VARIABLES.items():
        text = environment.get(setting.name, "").strip()
        if not text:
            continue
        try:
            values[name] = setting.parse(text)
        except HyperparameterError as error:
            raise SpecError(
                f"environment variable {setting.name}: expected {error.expected}, "
                f"got {error.got!r}; correct or unset it"
            ) from None
    if values.get("batch"):
        # A transform job sends as much at a time as it was told to; nobody waits for one answer.
        values = {"max_in_flight": MOST_TRANSFORMS, "max_pictures": MOST_RECORDS, **values}
    return ServeSettings(**values)


def cpus_of_one(settings: ServeSettings) -> int:
    """Processors for one process of the server: its share of the container's, or as set."""
    workers = 1 if settings.multi_model else settings.workers
    return settings.threads or max(1, cpu_limit() // workers)


def write_settings(values: Mapping[str, object]) -> dict[str, str]:
    """The environment variables that make `read_settings` return these field values."""
    return {VARIABLES[name].name: str(value) for name, value in values.items()}


def settings_table() -> str:
    """The Markdown table of docs/api.md."""
    rows = ["| variable | default | allowed | meaning |", "|---|---|---|---|"]
    for setting in VARIABLES.values():
        default = f"`{setting.default}`" if setting.default != "" else "(empty)"
        allowed = setting.expected().replace("|", "or")
        rows.append(f"| `{setting.name}` | {default} | {allowed} | {setting.help} |")
    return "\n".join(rows) + "\n"
