"""Servers of many models: one process or container over a folder, asked by target model."""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.errors import UsageError
from contract.opt_ml import DEFAULT_BASE, OptMl
from contract.targets import find_targets
from control.place import engine_for, is_container, only_for_containers
from control.serve_container import IMAGE, ContainerServerPlan
from control.server import ServerPlan

HEADER = "X-Amzn-SageMaker-Target-Model"  # as SageMaker's callers name one


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiServerPlan(ServerPlan):
    """How the server of all models below `bundle` is started."""

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command; `env` so that it can be shown and typed."""
        where = ("--host", self.host, "--port", str(self.port))
        pairs = [f"{name}={value}" for name, value in variables(self.bundle.absolute()).items()]
        return ("env", *pairs, sys.executable, "-m", "serve", *where)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiContainerServerPlan(ContainerServerPlan):
    """The same as a container. The folder is where one model would be; links out of it break."""

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command. The models cannot be written, as on an endpoint."""
        # Named, because a class with slots is made twice, and a bare super() knows the first.
        docker, run, *words = super(MultiContainerServerPlan, self).command
        told = variables(OptMl(DEFAULT_BASE).model_dir)
        return (docker, run, *(f"--env={name}={value}" for name, value in told.items()), *words)


def variables(folder: Path) -> Mapping[str, str]:
    """What makes a server one of many models, those below `folder`."""
    return {"SAGEMAKER_MULTI_MODEL": "true", "KENNEL_MODELS_DIR": str(folder)}


def plan_multi_server(arguments: argparse.Namespace, folder: Path, port: int) -> ServerPlan:
    """As --on says."""
    only_for_containers(arguments)
    if not is_container(arguments):
        return MultiServerPlan(bundle=folder, port=port, host=arguments.host)
    return MultiContainerServerPlan(
        bundle=folder,
        port=port,
        host=arguments.host,
        engine=engine_for(arguments),
        image=arguments.image or IMAGE,
        gpus=arguments.gpus or "auto",
    )


def target_names(folder: Path) -> list[str]:
    """Of the models below `folder`. Raises UsageError when there is none, or no folder."""
    try:
        names = list(find_targets(folder))
    except OSError as error:
        raise UsageError(f"{folder} cannot be listed: {error.strerror}") from None
    if not names:
        raise UsageError(
            f"{folder} holds no model: put bundles, run folders or model.tar.gz files there"
        )
    return names
