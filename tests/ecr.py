"""A stand-in for Amazon ECR under its own host name: moto answers the API, a registry the pushes.

Outside its folder it changes two things, and takes them back: a line of /etc/hosts, and the
certificate that the engine trusts for this one host. Both need root.
"""

import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import bcrypt
from containers import run
from serving import free_port

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
HOSTS = Path("/etc/hosts")
HOSTS_LINE = f"127.0.0.1 {HOST} # kennel tests\n"
TRUST = Path("/etc/docker/certs.d") / HOST
WAIT_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Ecr:
    """Running; `environment` is that of somebody who has an AWS account."""

    environment: dict[str, str]
    folder: Path

    def aws(self, *words: str) -> str:
        """What the AWS CLI answers."""
        return run("aws", *words, env=self.environment).stdout.strip()

    def registry(self, path: str) -> str:
        """GET from the registry's own API, logged in."""
        login = f"AWS:{self.aws('ecr', 'get-login-password')}"
        request = urllib.request.Request(f"https://{HOST}/v2/{path}")
        request.add_header("Authorization", f"Basic {b64encode(login.encode()).decode()}")
        request.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
        trust = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS, context=trust) as reply:
            text: str = reply.read().decode()
            return text


@contextmanager
def ecr(folder: Path) -> Iterator[Ecr]:
    """Start both; stop them and take everything back in the end."""
    port = free_port()
    environment = _environment(folder, port)
    processes: list[subprocess.Popen[bytes]] = []
    with (folder / "log").open("wb") as log:
        try:
            moto = ["moto_server", "-H", "127.0.0.1", "-p", str(port)]
            processes.append(subprocess.Popen(moto, stdout=log, stderr=log))
            _wait_for(f"http://127.0.0.1:{port}/", 200, folder)
            _make_certificate(folder)
            stand_in = Ecr(environment=environment, folder=folder)
            password = stand_in.aws("ecr", "get-login-password")
            registry = ["docker-registry", "serve", _configure_registry(folder, password)]
            processes.append(subprocess.Popen(registry, stdout=log, stderr=log))
            _wait_for("http://127.0.0.1:443/v2/", 400, folder)  # plain HTTP to a TLS port
            yield stand_in
        finally:
            for process in processes:
                process.terminate()
                process.wait(WAIT_SECONDS)
            rmtree(TRUST, ignore_errors=True)
            HOSTS.write_text(HOSTS.read_text().replace(HOSTS_LINE, ""))  # maybe a bind mount


def _environment(folder: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DOCKER_CONFIG": str(folder / "docker"),  # the login stays out of the caller's own
    }


def _make_certificate(folder: Path) -> None:
    """For ECR's host name, trusted by the engine for that host alone."""
    name = ("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}")
    files = ("-keyout", folder / "key.pem", "-out", folder / "cert.pem")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name, *files)
    TRUST.mkdir(parents=True, exist_ok=True)
    (TRUST / "ca.crt").write_bytes((folder / "cert.pem").read_bytes())
    with HOSTS.open("a") as file:
        file.write(HOSTS_LINE)


def _configure_registry(folder: Path, password: str) -> str:
    """The registry's file: TLS, and the login that moto hands out."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=5)).decode()
    (folder / "htpasswd").write_text(f"AWS:{hashed}\n")
    configuration = folder / "registry.yml"
    configuration.write_text(
        f"""version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http:
  addr: 127.0.0.1:443
  tls: {{certificate: {folder}/cert.pem, key: {folder}/key.pem}}
auth: {{htpasswd: {{realm: ecr, path: {folder}/htpasswd}}}}
"""
    )
    return str(configuration)


def _wait_for(url: str, status: int, folder: Path) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                got = reply.status
        except urllib.error.HTTPError as error:
            with error:
                got = error.code
        except OSError:
            got = 0
        if got == status:
            return
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer {status}:\n{(folder / 'log').read_text()}")
