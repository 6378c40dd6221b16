"""The function in AWS Lambda: a picture comes by HTTP or directly, the endpoint's answer goes out.

This file is all that is deployed: it needs the boto3 of the runtime and nothing of ours.
Errors are {"error": ..., "message": ...}; the variables that it reads stand at the beginning.
"""

import base64
import contextlib
import functools
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import sys
import time
import traceback
from typing import Any
from urllib.parse import quote, urlsplit

import boto3  # type: ignore[import-untyped]
from botocore import exceptions as aws  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

ENDPOINT = os.environ.get("ENDPOINT_NAME", "")
HOSTS = os.environ.get("ALLOWED_HOSTS", "").lower().split()  # of {"url"}: HOST or *.DOMAIN
BUCKETS = os.environ.get("ALLOWED_BUCKETS", "").split()  # of {"s3"}
ORIGINS = os.environ.get("ALLOWED_ORIGINS", "").split()  # of web pages, for CORS: https://HOST or *
READ_SECONDS = int(os.environ.get("READ_SECONDS", "65"))  # SageMaker itself gives up after 60
MAX_BYTES = int(os.environ.get("MAX_BYTES", "6291456"))  # that the endpoint takes; serverless: 4 MB

EVENT_BYTES = 6 * 1024 * 1024 * 3 // 4  # what Lambda's 6 MB hold of a picture: it is base64 there
MARGIN_SECONDS = 1.0  # of Lambda's own time limit that we leave, to be able to answer
FETCH_SECONDS = 5.0  # for a picture behind a url or in S3
PAUSES_SECONDS = (0.2, 0.8)  # before a busy endpoint is asked again
UNICAST = ipaddress.ip_network("2000::/3")  # all that is allocated of IPv6
WANTED = 'a picture, {"image": BASE64}, {"url": "https://..."} or {"s3": "s3://BUCKET/KEY"}'
KINDS = re.compile(  # how files begin, whatever anybody calls them
    rb"(?s)(?P<jpeg>\xff\xd8\xff)|(?P<png>\x89PNG\r\n\x1a\n)|(?P<gif>GIF8[79]a)|(?P<pnm>P[1-6]\s)"
    rb"|(?P<webp>RIFF.{4}WEBP)|(?P<avif>.{4}ftypavi[fs])|(?P<ico>\0\0\x01\0)|(?P<bmp>BM.{4}\0{4})"
    rb"|(?P<tiff>II\*\0|MM\0\*)|(?P<jp2>\0\0\0\x0cjP  |\xff\x4f\xff\x51)"
)
BUSY = {"ModelNotReadyException", "ServiceUnavailable", "SlowDown", "Throttling", "429", "503"}
BUSY |= {"ServiceUnavailableException", "ThrottlingException", "TooManyRequestsException"}
ABSENT = {"NoSuchKey": 404, "NoSuchBucket": 404, "AccessDenied": 403}  # S3's words
LATE = (TimeoutError, aws.ReadTimeoutError, aws.ConnectTimeoutError)
BROKEN = (OSError, http.client.HTTPException, UnicodeError, aws.BotoCoreError)
FURTHER = {405: {"Allow": "POST, OPTIONS"}, 503: {"Retry-After": "5"}}  # headers of refusals
CORS = {"Access-Control-Allow-Headers": "*, authorization", "Vary": "Origin"}


class Refusal(Exception):  # noqa: N818 - it is an answer
    """What the caller is told instead of an answer."""

    def __init__(self, status: int, message: str, name: str = "") -> None:
        super().__init__(status, message, name)
        self.status, self.message = status, message
        self.name = name or re.sub("[^A-Za-z]", "", http.client.responses.get(status, "Error"))


class Limited(ssl.SSLSocket):
    """A connection with one limit for all: a socket's own is for each read, and never ends."""

    end = 0.0

    def recv_into(self, *place: Any, **more: Any) -> int:
        """As SSLSocket's, until the end. Raises TimeoutError."""
        self.settimeout(max(0.001, self.end - time.monotonic()))
        return super().recv_into(*place, **more)


def handler(event: Any, context: Any) -> dict[str, Any]:
    """What Lambda calls. The answer has the form of API Gateway and of Function URLs."""
    started = time.monotonic()
    end = started + context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    line: dict[str, Any] = {"request_id": str(context.aws_request_id)}
    headers = {"X-Request-Id": line["request_id"], "Content-Type": "application/json"}
    try:
        method, sent, query, content = read_event(event)
        if {sent.get("origin"), "*"} & set(ORIGINS) and "origin" in sent:
            headers |= {**CORS, "Access-Control-Allow-Origin": sent["origin"]}
        if method not in ("POST", "OPTIONS"):
            raise Refusal(405, f"{method[:20]}: expected POST with {WANTED}")
        status, body = 204, b""
        if method == "POST":
            asked = read_request(sent, query, content, line, end)
            status, (headers["Content-Type"], body) = 200, ask(asked, end)
    except Exception as error:  # whatever it is, the caller gets an answer
        refusal = refusal_of(error, is_endpoint="kind" in line)
        status, told = refusal.status, {"error": refusal.name, "message": refusal.message}
        line.update(told, detail=traceback.format_exc() if refusal is not error else "")
        headers |= FURTHER.get(status, {})
        body = json.dumps(told, ensure_ascii=False).encode("utf-8", "backslashreplace")
    line.update(status=status, bytes_out=len(body), ms=round(1e3 * (time.monotonic() - started), 1))
    sys.stdout.write(json.dumps(line) + "\n")
    answer = {"statusCode": status, "headers": headers}
    try:
        return {**answer, "body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {**answer, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def read_event(event: Any) -> tuple[str, dict[str, str], dict[str, Any], bytes | dict[str, Any]]:
    """Method, headers, query and body; instead of the body, a direct invocation's own object."""
    if not isinstance(event, dict):
        raise Refusal(400, f"expected {WANTED}, got {type(event).__name__}")
    around = event.get("requestContext")
    inner = around.get("http") if isinstance(around, dict) else None  # API Gateway's version 2
    method = inner.get("method") if isinstance(inner, dict) else event.get("httpMethod")
    headers, query = event.get("headers") or {}, event.get("queryStringParameters") or {}
    body = event.get("body", "" if method else event)
    types = (type(headers) is dict, type(query) is dict, isinstance(body, str | dict | None))
    if not all(types):
        raise Refusal(400, "the headers, query or body of the event are of the wrong type")
    headers = {name.lower(): str(text) for name, text in headers.items()}
    data = body if isinstance(body, dict) else (body or "").encode("utf-8", "replace")
    if event.get("isBase64Encoded") and isinstance(data, bytes):
        data = from_base64(data)
    return str(method or "POST"), headers, query, data


def read_request(
    headers: dict[str, str], query: dict[str, Any], content: Any, line: dict[str, Any], end: float
) -> dict[str, Any]:
    """The parameters of InvokeEndpoint; `line` is what is logged. Raises Refusal."""
    if isinstance(content, bytes):
        content = read_body(content, headers.get("content-type", ""))
    given = [(name, content[name]) for name in ("image", "url", "s3") if name in content]
    if len(given) != 1 or not isinstance(given[0][1], str | bytes):
        raise Refusal(400, f"expected {WANTED}, got an object of {sorted(map(str, content))[:9]}")
    ((line["source"], value),) = given
    data, most = value, min(MAX_BYTES, EVENT_BYTES)
    if line["source"] != "image":
        soon, most = min(end, time.monotonic() + FETCH_SECONDS), MAX_BYTES
        data = from_s3(value) if "s3" in content else from_url(value, soon)
    elif isinstance(value, str):
        data = from_base64(value.encode("utf-8", "replace"))
    line["bytes_in"] = len(data)
    if len(data) > most:
        raise Refusal(413, f"the picture has over {most:,} bytes, the limit: send it smaller")
    if not (found := KINDS.match(data)):
        raise Refusal(415, f"{len(data):,} bytes that are no picture we know; expected {WANTED}")
    asked: dict[str, Any] = {"EndpointName": ENDPOINT, "ContentType": f"image/{found.lastgroup}"}
    asked |= {"Body": data, "Accept": headers.get("accept", "application/json")}
    if (target := content.get("target", query.get("target"))) is not None:
        asked["TargetModel"] = line["target"] = str(target)
    for name in ("Accept", "TargetModel"):
        if not re.fullmatch(r"[!-~][ -~]{0,1023}", asked.get(name, "-")):
            raise Refusal(400, f"{name}: expected 1 to 1,024 printable characters of ASCII")
    line["kind"] = asked["ContentType"]
    return asked


def read_body(data: bytes, kind: str) -> dict[str, Any]:
    """A JSON object, or {"image": bytes} of a picture, of a form's file or of base64."""
    if kind.lower().startswith("multipart/form-data"):
        data = first_file(data, kind)
    if not data:
        raise Refusal(400, f"nothing was sent; expected {WANTED}")
    if data.startswith(b"\xef\xbf\xbd"):
        raise Refusal(400, "the gateway took a picture for text: add */* to its binary media types")
    if data.lstrip().startswith(b"{"):
        try:
            return dict(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"the body is not JSON: {str(error)[:200]}") from None
    with contextlib.suppress(Refusal):
        data = data if KINDS.match(data) else from_base64(data)
    return {"image": data}


def from_base64(data: bytes) -> bytes:
    """Also of a data: URL, which browsers make of a file. Raises Refusal."""
    text = data.partition(b",")[2] if data.startswith(b"data:") else data
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except ValueError as error:
        raise Refusal(400, f"this is not base64: {error}") from None


def first_file(data: bytes, content_type: str) -> bytes:
    """The first file of a form, as browsers send it: RFC 7578, RFC 2046. Raises Refusal."""
    found = re.search(r'boundary="?([^";,]{1,70})', content_type, re.IGNORECASE)
    mark = f"\r\n--{found[1].strip() if found else ''}".encode()
    for part in (b"\r\n" + data).split(mark)[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        if found and content and re.search(rb"filename\*?=", head, re.IGNORECASE):
            return content
    raise Refusal(400, "the form has no file, or no boundary: expected curl -F file=@photo.jpg")


def from_s3(uri: str) -> bytes:
    """An object of a listed bucket, up to a byte over the limit. Raises Refusal."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not key:
        raise Refusal(400, f"s3: expected s3://BUCKET/KEY, got {uri[:100]!r}")
    if bucket not in BUCKETS:
        raise Refusal(403, f"s3: bucket {bucket[:63]!r} is not one that this function may read")
    found = client("s3", FETCH_SECONDS).get_object(Bucket=bucket, Key=key)
    with contextlib.closing(found["Body"]) as stream:
        return bytes(stream.read(MAX_BYTES + 1))


def from_url(text: str, end: float) -> bytes:
    """A picture of a listed host, up to a byte over the limit. Raises Refusal."""
    try:
        url, port, host = urlsplit(text), urlsplit(text).port, urlsplit(text).hostname or ""
        path = quote((url.path or "/") + "?" * bool(url.query) + url.query, "/%:?@!$&'()*+,;=~")
    except ValueError as error:
        raise Refusal(400, f"url: {error}") from None
    if url.scheme != "https" or not host or port not in (None, 443) or "@" in url.netloc:
        raise Refusal(400, "url: expected https://HOST/..., without a user or another port")
    if not any(host == x or (x[:2] == "*." and host.endswith(x[1:])) for x in HOSTS):
        raise Refusal(403, f"url: host {host[:100]!r} is not one that this function may ask")
    found = [str(item[4][0]) for item in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]
    if not all(map(is_public, found)):
        raise Refusal(403, f"url: host {host[:100]!r} has an address that is not public")
    tls: Any = ssl.create_default_context()
    tls.sslsocket_class = Limited
    # Connected by the address that was looked at: a second look-up cannot answer otherwise.
    bare = socket.create_connection((found[0], 443), max(0.001, end - time.monotonic()))
    with bare, tls.wrap_socket(bare, server_hostname=host) as sock:
        sock.end, connection = end, http.client.HTTPSConnection(host, context=tls)
        connection.sock = sock
        connection.request("GET", path, headers={"Accept": "image/*", "User-Agent": "kennel"})
        answer = connection.getresponse()
        if answer.status != 200:  # redirects are not followed
            status = 404 if answer.status in (404, 410) else 502
            raise Refusal(status, f"url: {host} answers {answer.status}")
        return answer.read(MAX_BYTES + 1)


def is_public(address: str) -> bool:
    """Whether anybody on the internet can reach it: nothing of this machine, network or cloud."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        return ip in UNICAST and ip.is_global and not (ip.sixtofour or ip.teredo)
    return ip.is_global and not ip.is_multicast


@functools.lru_cache(maxsize=8)
def client(service: str, read_seconds: float) -> Any:
    """Made once for each limit, so once in a function whose variables fit its time limit."""
    limits = {"connect_timeout": 3, "read_timeout": read_seconds}
    return boto3.client(service, config=Config(**limits, retries={"total_max_attempts": 1}))


def ask(asked: dict[str, Any], end: float, pauses: tuple[float, ...] = PAUSES_SECONDS) -> Any:
    """The endpoint's Content-Type and answer."""
    seconds = min(READ_SECONDS, int(end - time.monotonic()))
    if seconds < 1 or not ENDPOINT:
        raise TimeoutError if ENDPOINT else Refusal(500, "the variable ENDPOINT_NAME is not set")
    try:
        answer = client("sagemaker-runtime", seconds).invoke_endpoint(**asked)
        return answer["ContentType"], answer["Body"].read()
    except aws.ClientError as error:
        if not pauses or refusal_of(error, is_endpoint=True).status != 503:
            raise
    time.sleep(pauses[0])
    return ask(asked, end, pauses[1:])


def refusal_of(error: Exception, *, is_endpoint: bool) -> Refusal:
    """What any error means for the caller. `is_endpoint`: it came when the endpoint was asked."""
    where = "the endpoint" if is_endpoint else "the picture's host or bucket"
    if isinstance(error, Refusal):
        return error
    if isinstance(error, LATE):
        return Refusal(504, f"{where} took too long")
    if isinstance(error, BROKEN):
        return Refusal(502, f"{where} cannot be reached")
    if not isinstance(error, aws.ClientError):
        return Refusal(500, "the function failed; its log says why")
    code, words = (str(error.response["Error"].get(key)) for key in ("Code", "Message"))
    if code in BUSY:
        return Refusal(503, f"{where} is busy or not ready: try again")
    if code == "ModelError":
        return model_refusal(error.response)
    if "model data" in words:  # Failed to download model data(bucket: ..., key: ...)
        return Refusal(404, "target: the endpoint has no such model")
    return Refusal(ABSENT.get(code, 502), f"{where} refuses: {code}")


def model_refusal(answer: Any) -> Refusal:
    """The container's status and words; those of a 5xx are told only when they are our server's."""
    status, said = int(answer.get("OriginalStatusCode") or 0), str(answer.get("OriginalMessage"))
    is_late = status == 504 or "timed out" in str(answer["Error"].get("Message"))
    is_theirs = 400 <= status < 500
    try:
        name, message = str(json.loads(said)["error"]), str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        name, message = "ModelError", said[:300] if is_theirs else "the model gave no answer"
    status = 503 if status in (429, 503, 507) else status if is_theirs else 502
    return Refusal(504 if is_late else status, message, name)


if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:  # while it starts, which is ahead if provisioned
    client("sagemaker-runtime", READ_SECONDS)
