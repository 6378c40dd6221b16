"""What a user of the SageMaker Python SDK v3 writes in local mode. Run by .venv-sdk3's Python."""

from pathlib import Path
from typing import Any

import boto3
from sagemaker.core.local.local_session import LocalSession
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.model_trainer import Mode
from wishes import fulfil

ROLE = "arn:aws:iam::111122223333:role/kennel"  # a full ARN is not looked up


def fit(
    root: str, image: str, hosts: int, channels: dict[str, str], command: str = "", **more: Any
) -> dict[str, str]:
    """Train; `more` goes to ModelTrainer. Answers the artifact, or the error that train raised."""
    trainer = ModelTrainer(
        training_image=image,
        training_mode=Mode.LOCAL_CONTAINER,
        role=ROLE,
        compute=Compute(instance_type="local_cpu", instance_count=hosts),
        source_code=SourceCode(command=command) if command else None,
        local_container_root=root,
        **more,
    )
    inputs = [InputData(channel_name=name, data_source=path) for name, path in channels.items()]
    try:
        trainer.train(input_data_config=inputs)
    except RuntimeError as error:
        return {"error": str(error)}
    return {"artifact": f"file://{root}/compressed_artifacts/model.tar.gz"}


def predict(
    root: str, image: str, artifact: str, port: int, requests: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Start an endpoint, send (file, content type)s, delete it. Bodies as text, HTTP statuses."""
    session = LocalSession(boto3.Session(region_name="us-east-1"))
    session.config = {"local": {"local_code": True, "container_root": root, "serving_port": port}}
    client, runtime = session.sagemaker_client, session.sagemaker_runtime_client
    container = {"Image": image, "ModelDataUrl": artifact, "Environment": {}}
    client.create_model(ModelName="kennel", PrimaryContainer=container)
    variant = {
        "VariantName": "all",
        "ModelName": "kennel",
        "InstanceType": "local",
        "InitialInstanceCount": 1,
    }
    client.create_endpoint_config("kennel", [variant])
    client.create_endpoint("kennel", "kennel")
    answers = []
    try:
        for path, content_type in requests:
            reply = runtime.invoke_endpoint(
                Body=Path(path).read_bytes(), EndpointName="kennel", ContentType=content_type
            )["Body"]
            answers.append({"body": reply.read().decode(), "status": reply.status})
    finally:
        client.delete_endpoint("kennel")
    return answers


if __name__ == "__main__":
    fulfil({"fit": fit, "predict": predict})
