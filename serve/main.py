"""The command `serve`: check the settings, say what will run, then become gunicorn.

Becoming it (exec) keeps our process id, so signals sent to the container reach the server.
"""

import argparse
import json
import logging
import logging.config
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from contract.errors import HostError, KennelError
from contract.host import cpu_limit
from serve.emf import check_namespace
from serve.fetch import Fetcher
from serve.lanes import lane_count
from serve.log import log_config
from serve.settings import (
    VARIABLES,
    ServeSettings,
    cpus_of_one,
    read_settings,
    write_settings,
)

log = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parents[1]
FLAGS = ("bundle", "port", "host", "engine", "workers", "threads")


def main(arguments: Sequence[str] | None = None) -> int:
    """Does not return when all is well: the process is gunicorn by then."""
    given = {name: value for name, value in vars(_parse(arguments)).items() if value is not None}
    environment = {**os.environ, **write_settings(given)}
    logging.config.dictConfig(log_config(logging.INFO))
    try:
        settings = read_settings(environment)
        check(settings)
    except KennelError as error:
        log.critical("cannot serve: %s", error)
        return error.exit_code
    if settings.multi_model and settings.workers > 1:
        log.warning("a multi-model server is one process: the number of workers is not used")
    log.info(
        "serving %s on port %d", "models on demand" if settings.multi_model else settings.model_dir,
        settings.port,
        extra={
            "fields": {
                "cpus": cpu_limit(),
                "lanes": lane_count(cpus_of_one(settings)),
                "workers": 1 if settings.multi_model else settings.workers,
                "engine": settings.engine,
                "variant": settings.variant,
            }
        },
    )  # fmt: skip
    sys.stdout.flush()
    command = gunicorn_command()
    if settings.multi_model:
        # malloc_trim gives back free memory in the midst of every arena, but the top of the first
        # one only: with several, one unloaded model's worth could stay in each.
        environment.setdefault("MALLOC_ARENA_MAX", "1")
    os.execve(command[0], command, _child_environment(environment))


def gunicorn_command() -> list[str]:
    """What we become. It reads everything else from the environment."""
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "python:serve.gunicorn_conf",
        "serve.wsgi:application()",
    ]


def check(settings: ServeSettings) -> None:
    """Fail before anything starts. Raises SpecError for a setting, HostError for a taken port."""
    Fetcher(settings)
    if settings.emf_seconds:
        check_namespace(settings.emf_namespace)
    if settings.models_dir and not Path(settings.models_dir).is_dir():
        raise HostError(
            f"KENNEL_MODELS_DIR: there is no folder {settings.models_dir}; mount it, or correct it"
        )
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise HostError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; free the "
                "port or set SAGEMAKER_BIND_TO_PORT"
            ) from None


def _child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Ours, with this repository importable and output unbuffered."""
    paths = [str(REPOSITORY), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    return {
        **environment,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path for path in paths if path)),
        "PYTHONUNBUFFERED": "1",
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serve",
        description="Serve one bundle over HTTP: /ping, /invocations and a page at /.",
        epilog="example: python -m serve --bundle out/model --port 8080",
    )
    for name in FLAGS:
        setting = VARIABLES[name]
        shown = json.dumps(setting.default) if setting.default != "" else "none"
        parser.add_argument(
            f"--{name}",
            type=setting.type,
            choices=setting.choices or None,
            help=f"{setting.help} (default {shown}; variable {setting.name})",
        )
    return parser.parse_args(arguments)
