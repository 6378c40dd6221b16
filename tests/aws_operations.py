"""Which operation of AWS an HTTP request is: for the record of what a command really called."""

import functools
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

SCOPE = re.compile(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/aws4_request")
# Signing name -> botocore's, where they differ.
MODELS = {
    "monitoring": "cloudwatch",
    "tagging": "resourcegroupstaggingapi",
    "servicequotas": "service-quotas",
}
# Operations whose right has another name. Source: service authorization reference.
ACTIONS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjects": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CopyObject": "s3:PutObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "sagemaker:ListTags": "sagemaker:ListTags",
}
# What a PUT of a bucket is about, by its query.
BUCKET_PUTS = {
    "publicAccessBlock": "PutPublicAccessBlock",
    "encryption": "PutBucketEncryption",
    "tagging": "PutBucketTagging",
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request: `parameters` are those of a JSON body, or of a query."""

    service: str  # the signing name, which is the prefix of IAM's actions
    operation: str
    parameters: dict[str, Any]
    path: str = ""  # of the request, with its query

    @property
    def action(self) -> str:
        prefix = {"monitoring": "cloudwatch"}.get(self.service, self.service)
        name = f"{prefix}:{self.operation}"
        return ACTIONS.get(name, name)


def operation_of(method: str, path: str, headers: Any, body: bytes) -> tuple[str, str]:
    """(signing name, operation). Unsigned requests have neither."""
    found = SCOPE.search(headers.get("Authorization", ""))
    if not found:
        return "", ""
    service = found[2]
    if target := headers.get("X-Amz-Target"):
        return service, target.rpartition(".")[2]
    if cbor := re.search(r"/operation/(\w+)$", urlsplit(path).path):
        return service, cbor[1]
    if "x-www-form-urlencoded" in headers.get("Content-Type", ""):
        action = parse_qs(body.decode("utf-8", "replace")).get("Action")
        if action:
            return service, action[0]
    if service == "s3":
        return service, _s3(method, path, headers)
    return service, _rest(service, method, path)


def _s3(method: str, path: str, headers: Any) -> str:
    """Enough of S3 to tell what a policy must allow."""
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    is_object = bool(parts.path.strip("/").partition("/")[2])
    if not is_object:
        if method == "GET":
            if "uploads" in query:
                return "ListMultipartUploads"
            return "ListObjectsV2" if "list-type" in query or not query else "ListObjects"
        if method == "POST" and "delete" in query:
            return "DeleteObjects"
        if method == "PUT" and (named := [word for word in query if word in BUCKET_PUTS]):
            return BUCKET_PUTS[named[0]]
        return {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}[method]
    if "uploadId" in query:
        return {
            "PUT": "UploadPart",
            "POST": "CompleteMultipartUpload",
            "DELETE": "AbortMultipartUpload",
            "GET": "ListParts",
        }[method]
    if method == "POST":
        return "CreateMultipartUpload"
    if method == "PUT" and headers.get("x-amz-copy-source"):
        return "CopyObject"
    return {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[
        method
    ]


def _rest(service: str, method: str, path: str) -> str:
    """By the addresses of botocore's own models; SageMaker has two of them under one name."""
    address, query = urlsplit(path).path, set(urlsplit(path).query.split("&"))
    names = ("sagemaker-runtime",) if service == "sagemaker" else (MODELS.get(service, service),)
    best = ""
    for name in names:
        length = -1
        for operation, http_method, pattern, fixed, wanted in _routes(name):
            is_it = http_method == method and wanted <= query and pattern.fullmatch(address)
            if is_it and fixed > length:
                best, length = operation, fixed
    return best


@functools.cache
def _routes(name: str) -> tuple[tuple[str, str, "re.Pattern[str]", int, frozenset[str]], ...]:
    import botocore.session

    model = botocore.session.get_session().get_service_model(name)
    routes = []
    for operation in model.operation_names:
        http = model.operation_model(operation).http
        uri, _, query = http["requestUri"].partition("?")
        wanted = frozenset(query.split("&")) if query else frozenset()
        pattern = re.sub(r"\\\{\w+\\\+\\\}", ".+", re.escape(uri))
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", pattern)
        # What a query tells apart, such as ?List=ALL, counts on top of the address.
        fixed = len(re.sub(r"\{[^}]+\}", "", uri)) + len(query)
        shape = re.compile(pattern.rstrip("/") + "/?")
        routes.append((operation, http["method"], shape, fixed, wanted))
    return tuple(routes)
