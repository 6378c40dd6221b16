"""Events: what Lambda hands to the function for one picture, by way of the three doors."""

import base64
from typing import Any, Literal

from contract.errors import UsageError

Door = Literal["direct", "url", "apigateway"]
DOORS: tuple[Door, ...] = ("direct", "url", "apigateway")
EVENT_BYTES = 6 * 1024 * 1024  # Source: Lambda quotas, synchronous invocation
PICTURE_BYTES = EVENT_BYTES * 3 // 4  # in base64


def event_for(door: Door, picture: bytes, target: str = "") -> dict[str, Any]:
    """The event of one picture; `target` names one of many models.

    Raises UsageError: Lambda would not take it.
    Source: API Gateway developer guide, input format of a Lambda proxy integration (1.0);
    Lambda developer guide, request payload format of function URLs (2.0).
    """
    if len(picture) > PICTURE_BYTES:
        raise UsageError(
            f"the picture has {len(picture):,} bytes; Lambda takes {PICTURE_BYTES:,} at most, "
            "which are 6 MB in base64: make it smaller, or have the function read it from S3"
        )
    text = base64.b64encode(picture).decode()
    if door == "direct":
        return {"image": text, **({"target": target} if target else {})}
    query = {"target": target} if target else None
    headers = {"accept": "application/json", "content-type": "application/octet-stream"}
    return {**_around(door, headers, query), "body": text, "isBase64Encoded": True}


def _around(door: Door, headers: dict[str, str], query: dict[str, str] | None) -> dict[str, Any]:
    agent = {"sourceIp": "127.0.0.1", "userAgent": "kennel"}
    if door == "apigateway":
        return {
            "resource": "/{proxy+}",
            "path": "/predict",
            "httpMethod": "POST",
            "headers": {name.title(): text for name, text in headers.items()},
            "queryStringParameters": query,
            "requestContext": {"requestId": "kennel", "stage": "test", "identity": agent},
        }
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": headers,
        **({"queryStringParameters": query} if query else {}),
        "requestContext": {
            "http": {"method": "POST", "path": "/", "protocol": "HTTP/1.1", **agent},
            "requestId": "kennel",
            "stage": "$default",
        },
    }
