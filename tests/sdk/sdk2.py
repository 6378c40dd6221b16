"""What a user of the SageMaker Python SDK v2 writes in Local Mode. Run by .venv-sdk2's Python."""

from pathlib import Path
from typing import Any

import boto3
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.local import LocalSession
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import IdentitySerializer
from wishes import fulfil

ROLE = "arn:aws:iam::111122223333:role/kennel"  # a full ARN is not looked up


def fit(root: str, image: str, hosts: int, channels: dict[str, str], **more: Any) -> dict[str, str]:
    """Train; `more` goes to Estimator. Answers the artifact, or the error that fit raised."""
    estimator = Estimator(
        image_uri=image,
        role=ROLE,
        instance_count=hosts,
        instance_type="local",
        output_path=f"file://{root}/out",
        sagemaker_session=session_in(root),
        **more,
    )
    try:
        estimator.fit({name: f"file://{path}" for name, path in channels.items()})
    except RuntimeError as error:
        return {"error": str(error)}
    return {"artifact": estimator.model_data}


def predict(
    root: str, image: str, artifact: str, port: int, requests: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Deploy, send (file, content type)s, delete. What Predictor answers, and the HTTP status."""
    session = session_in(root, port)
    model = Model(image, artifact, ROLE, predictor_cls=Predictor, sagemaker_session=session)
    predictor = model.deploy(
        1,
        "local",
        wait=False,  # True only adds 30 seconds of sleep
        serializer=IdentitySerializer("image/jpeg"),
        deserializer=JSONDeserializer(),
    )
    answers = []
    try:
        for path, content_type in requests:
            data = Path(path).read_bytes()
            body = predictor.predict(data, initial_args={"ContentType": content_type})
            # predict() does not look at the status, so neither a 415 nor a 500 would be noticed.
            reply = session.sagemaker_runtime_client.invoke_endpoint(
                Body=data, EndpointName=predictor.endpoint_name, ContentType=content_type
            )
            answers.append({"body": body, "status": reply["Body"].status})
    finally:
        predictor.delete_endpoint()
    return answers


def transform(
    root: str, image: str, artifact: str, port: int, *, folder: str, strategy: str | None
) -> str:
    """A batch transform of the JPEGs in a folder; answers where the results are."""
    model = Model(image, artifact, ROLE, sagemaker_session=session_in(root, port))
    transformer = model.transformer(
        1,
        "local",
        strategy=strategy,
        accept="application/json",
        output_path=f"file://{root}/transformed",
    )
    # wait=True would ask CloudWatch for the log; the local call returns at the end anyway.
    transformer.transform(f"file://{folder}", content_type="image/jpeg", wait=False)
    return str(transformer.output_path)


def session_in(root: str, port: int = 0) -> LocalSession:
    """Everything stays below `root`; an endpoint is published on `port`."""
    session = LocalSession(boto3.Session(region_name="us-east-1"))
    session.config = {"local": {"local_code": True, "container_root": root, "serving_port": port}}
    return session


if __name__ == "__main__":
    fulfil({"fit": fit, "predict": predict, "transform": transform})
