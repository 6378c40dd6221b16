"""Transform server: the server that a transform starts for a bundle, and ends with itself."""

import argparse
import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from contract.files import sha256_of
from contract.manifest import MANIFEST_NAME
from control.child import Stoppable, our_variables, start_child
from control.containers import Containers
from control.docker_engine import require_image
from control.leash import leashed
from control.serve_container import ContainerServerPlan, plan_server
from control.server import STOP_SECONDS, ServerPlan, free_port

# A line of log for each of ten million requests would fill a disk; 30 is `warning`.
QUIET = {"SAGEMAKER_CONTAINER_LOG_LEVEL": "30"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeashedPlan(ServerPlan):
    """A server that logs only what is wrong, and that even kill -9 of us does not leave behind."""

    inner: ServerPlan

    def start(self, output: IO[str] | None = None) -> Stoppable:
        """Start it; its output goes to `output` or is inherited."""
        if not isinstance(self.inner, ContainerServerPlan):
            return start_child(
                leashed(self.inner.command),
                extra={**our_variables(), **QUIET},
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
            )
        require_image(self.inner.image)
        program, verb, *words = self.inner.command
        quiet = [f"--env={name}={value}" for name, value in QUIET.items()]
        server = Containers(grace_seconds=STOP_SECONDS)
        # On SIGTERM the client stops its container.
        server.start(self.inner.name, leashed((program, verb, *quiet, *words)), output)
        return server


def plan_leashed(arguments: argparse.Namespace, bundle: Path) -> LeashedPlan:
    """The server of a bundle on a free port, where --on says."""
    inner = plan_server(arguments, ServerPlan(bundle=bundle, port=free_port()))
    return LeashedPlan(bundle=bundle, port=inner.port, host=inner.host, inner=inner)


def fingerprint(bundle: Path) -> str:
    """What tells two bundles apart: bundle.json has every file's digest but those of code/."""
    digest = hashlib.sha256(sha256_of(bundle / MANIFEST_NAME).encode())
    for path in sorted((bundle / "code").rglob("*.py")):
        digest.update(f"{path.relative_to(bundle)}\0{sha256_of(path)}\0".encode())
    return digest.hexdigest()[:16]
