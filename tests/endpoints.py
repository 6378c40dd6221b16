"""For the tests of endpoints in AWS: bundles of fixed bytes, deployments, and updates."""

import contextlib
import hashlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_front import ACCOUNT, REGION

from contract.manifest import Manifest, Preprocess, Probe
from control.aws.tags import tags_of
from control.cli import main

if TYPE_CHECKING:
    from aws_front import Aws

IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/kennel-serve-cpu:1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/kennel-endpoint"
EXPIRY_ROLE = f"arn:aws:iam::{ACCOUNT}:role/kennel-expiry"
BUCKET = "models"


def fixed_bundle(folder: Path, content: bytes = b"weights") -> Path:
    """A bundle whose files, and so its digest, are the same everywhere. It answers nothing."""
    folder.mkdir(parents=True)
    files = {"model.safetensors": content, "model.xml": b"<graph/>", "model.bin": content * 2}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    manifest = Manifest(
        arch="squeezenet1_1",
        labels=("cat", "dog"),
        preprocess=Preprocess(resize_px=40, crop_px=32),
        probe=Probe(probabilities=(0.5, 0.5)),
        files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    )
    text = json.dumps(manifest.to_json(), indent=2, sort_keys=True)
    (folder / "bundle.json").write_text(text, encoding="ascii")
    return folder


def write_deployment(
    folder: Path, more: str = "", *, top: str = "", place: str = "", bundle: str | None = "bundle"
) -> Path:
    """dogs.toml, every name in full; its bundle lies beside it.

    Args:
        more: tables after [aws].
        top: lines before it.
        place: lines in it.
        bundle: None leaves it out.
    """
    if bundle == "bundle" and not (folder / bundle).exists():
        fixed_bundle(folder / bundle)
    path = folder / "dogs.toml"
    lines = ['name = "dogs"', f'bundle = "{bundle}"' if bundle else "", top, "[aws]"]
    lines += [f'image = "{IMAGE}"', f'role = "{ROLE}"', f'expiry_role = "{EXPIRY_ROLE}"']
    lines += [f'artifacts = "s3://{BUCKET}/deployed"', place, more]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def put_bucket(aws: "Aws") -> Any:
    """The bucket that deployments name; S3's client."""
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def put_log(aws: "Aws", *lines: str, name: str = "dogs") -> None:
    """What a machine of the endpoint wrote before it gave up."""
    client = aws.client("logs")
    group, stream = f"/aws/sagemaker/Endpoints/{name}", "main/i-0123456789abcdef0"
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    now_ms = int(time.time() * 1000)  # CloudWatch takes nothing from the future
    events = [
        {"timestamp": now_ms - len(lines) + number, "message": line}
        for number, line in enumerate(lines)
    ]
    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


class Updates:
    """UpdateEndpoint, which moto lacks: the endpoint is Updating once, and then as `ends` says."""

    def __init__(
        self, aws: "Aws", on_update: Callable[[], object] = lambda: None, **ends: Any
    ) -> None:
        self.aws, self.on_update, self.ends = aws, on_update, ends
        self.seen: list[dict[str, Any]] = []
        aws.answer("UpdateEndpoint", self)

    def __call__(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.seen.append(asked)
        self.on_update()
        name, config = asked["EndpointName"], asked["EndpointConfigName"]
        client = self.aws.client("sagemaker")
        variants = client.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        after = {
            "EndpointStatus": "InService",
            "EndpointConfigName": config,
            "ProductionVariants": [
                {
                    "VariantName": one["VariantName"],
                    "CurrentWeight": one.get("InitialVariantWeight", 1.0),
                    "DesiredWeight": one.get("InitialVariantWeight", 1.0),
                    "CurrentInstanceCount": one.get("InitialInstanceCount", 1),
                }
                for one in variants
            ],
            **self.ends,
        }
        self.aws.stages("DescribeEndpoint", {"EndpointStatus": "Updating"}, after)
        return {"EndpointArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{name}"}


@dataclass(frozen=True, kw_only=True)
class Typed:
    """What a command line left, as `subprocess.run` would say it."""

    returncode: int
    stdout: str
    stderr: str


def typed(*words: object) -> Typed:
    """Run the command line in this process: the account is the one of the fixture aws_here."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return Typed(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def deploy(path: Path, *flags: str) -> Typed:
    """`kennel deploy FILE --yes`."""
    return typed("deploy", path, "--yes", *flags)


def deploy_dogs(aws: "Aws", folder: Path) -> None:
    """An endpoint dogs, of the bundle beside its file; nothing of it counts as asked."""
    put_bucket(aws)
    done = deploy(write_deployment(folder))
    assert done.returncode == 0, done.stderr
    aws.forget()


def tags(aws: "Aws") -> dict[str, str]:
    """Of the endpoint dogs."""
    client = aws.client("sagemaker")
    arn = client.describe_endpoint(EndpointName="dogs")["EndpointArn"]
    return tags_of(client.list_tags(ResourceArn=arn)["Tags"])


def configs(aws: "Aws") -> set[str]:
    """The names of all configurations of endpoints."""
    listed = aws.client("sagemaker").list_endpoint_configs()["EndpointConfigs"]
    return {one["EndpointConfigName"] for one in listed}
