"""A bundle served by a container: `docker run IMAGE serve`, published for this machine alone."""

import argparse
import os
from dataclasses import dataclass, field
from typing import IO

from contract.opt_ml import DEFAULT_BASE, OptMl
from control.child import Stoppable
from control.containers import Containers
from control.docker_engine import (
    Engine,
    Gpus,
    bind,
    caller_options,
    gpu_options,
    require_image,
)
from control.place import engine_for, is_container, only_for_containers
from control.server import STOP_SECONDS, ServerPlan

IMAGE = "kennel-serve-cpu"
LABEL = "kennel.serve"
PORT_INSIDE = 8080  # SageMaker's
ANY_HOST = "0.0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerServerPlan(ServerPlan):
    """How the server of one bundle is started as a container."""

    engine: Engine
    image: str = IMAGE
    gpus: Gpus = "auto"
    name: str = field(default_factory=lambda: f"kennel-serve-{os.urandom(3).hex()}")

    @property
    def command(self) -> tuple[str, ...]:
        """The whole command. The model cannot be written, as on an endpoint."""
        return (
            *("docker", "run", "--pull=never", f"--name={self.name}", f"--label={LABEL}"),
            "--env=KENNEL_METRICS=true",
            f"--publish={self.host or ANY_HOST}:{self.port}:{PORT_INSIDE}",
            *caller_options(self.engine),
            *gpu_options(self.engine, self.gpus),
            bind(self.bundle, str(OptMl(DEFAULT_BASE).model_dir)),
            *(self.image, "serve"),
        )

    def start(self, output: IO[str] | None = None) -> Stoppable:
        """Start it; its output goes to `output` or is inherited."""
        require_image(self.image)
        server = Containers(grace_seconds=STOP_SECONDS)
        server.start(self.name, self.command, output)
        return server


def plan_server(arguments: argparse.Namespace, plan: ServerPlan) -> ServerPlan:
    """`plan` itself, or the same in a container when --on says so."""
    only_for_containers(arguments)
    if not is_container(arguments):
        return plan
    return ContainerServerPlan(
        bundle=plan.bundle,
        port=plan.port,
        host=plan.host,
        engine=engine_for(arguments),
        image=arguments.image or IMAGE,
        gpus=arguments.gpus or "auto",
    )
