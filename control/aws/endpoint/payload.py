"""Payload: how large a request to an endpoint of each kind may be."""

from collections.abc import Mapping
from typing import Any, Literal

Answering = Literal["real-time", "serverless", "asynchronous"]
# Bytes. Sources: real-time: SageMaker runtime API reference, InvokeEndpoint, Body (newer pages of
# AWS's speak of 25 MB; what the API's own model promises holds everywhere); serverless: developer
# guide, invoke a serverless endpoint; asynchronous: developer guide, asynchronous inference.
MOST_BYTES: Mapping[Answering, int] = {
    "real-time": 6_291_456,
    "serverless": 4 * 1024 * 1024,
    "asynchronous": 1024**3,
}


def kind_of(described: Mapping[str, Any]) -> Answering:
    """How an endpoint answers, by AWS's answer to DescribeEndpoint."""
    if described.get("AsyncInferenceConfig"):
        return "asynchronous"
    variants = described.get("ProductionVariants", ())
    if any(one.get("CurrentServerlessConfig") for one in variants):
        return "serverless"
    return "real-time"
