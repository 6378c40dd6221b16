"""Asking: pictures go to an endpoint in SageMaker, and answers come as from a server here."""

import contextlib
import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from contract.errors import ImageError, RequestError, UsageError
from control.aws.account import Account, is_missing
from control.aws.call import Call
from control.aws.endpoint.payload import MOST_BYTES, Answering, kind_of
from control.aws.endpoint.request import sagemaker_call
from control.aws.endpoint.shrink import shrink
from control.aws.missing_endpoint import no_endpoint
from control.aws.waiting import poll_seconds, wait_for
from control.aws_client import AwsError, aws_errors
from control.client import message_of, prediction_of
from control.s3 import S3Uri
from control.terminal import say

CONTENT_TYPE, ACCEPT = "application/octet-stream", "application/json"
NOT_READY = "ModelNotReadyException"  # a multi-model endpoint is loading it
LOADING_SECONDS = 400.0  # SageMaker gives a model 360. Source: invoke a multi-model endpoint
BUSY_STATUS = 503  # our server's "too many at a time"
BUSY_TRIES = 6
ASYNCHRONOUS_SECONDS = 3_700.0  # an invocation's longest time, and a little
DENIED = frozenset({"AccessDenied", "AccessDeniedException"})
# Source: SageMaker runtime's own sentence in a ModelError and in a failure object.
_SAID = re.compile(r'error \((\d+)\) from [^"]*?message "(.*)"', re.DOTALL)


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """One endpoint, as a caller sees it."""

    account: Account
    name: str
    target_model: str = ""  # of a multi-model endpoint
    variant: str = ""
    echo: TextIO
    kind: Answering = field(default="real-time", init=False)
    _output: S3Uri | None = field(default=None, init=False)
    _sent: dict[str, "Pending"] = field(default_factory=dict, init=False)

    def look(self) -> None:
        """Learn how it answers. Raises UsageError: there is none, or it does not answer now."""
        call = sagemaker_call("DescribeEndpoint", EndpointName=self.name)
        try:
            found = self.account.find(call, f"endpoint {self.name}")
        except AwsError as error:
            if error.code in DENIED:
                return  # who may only ask takes it for a real-time one
            raise
        if found is None:
            raise no_endpoint(self.account, self.name)
        status = found["EndpointStatus"]
        if status in ("Creating", "Deleting", "Failed", "OutOfService"):
            raise UsageError(f"endpoint {self.name} does not answer: its status is {status}")
        self.kind = kind_of(found)
        if self.kind == "asynchronous":
            config = found["AsyncInferenceConfig"]["OutputConfig"]
            self._output = S3Uri.parse(config["S3OutputPath"])
            if self.variant:
                raise UsageError("--variant: an asynchronous endpoint takes none")

    def fitting(self, picture: str, data: bytes) -> bytes:
        """The picture's bytes, shrunk when the endpoint would refuse them as too many.

        Raises RequestError: too large, and no picture that could be shrunk.
        """
        most = MOST_BYTES[self.kind]
        if len(data) <= most:
            return data
        try:
            small = shrink(data, most)
        except ImageError as error:
            raise RequestError(413, str(error)) from None
        say(
            f"note:    {picture}: {len(data):,} bytes are over the limit of a {self.kind} "
            f"endpoint, {most:,}: sent as {small.after[0]} x {small.after[1]} instead of "
            f"{small.before[0]} x {small.before[1]}",
            to=self.echo,
        )
        return small.data

    def ask(self, picture: str, data: bytes) -> dict[str, Any]:
        """One picture's prediction. Raises RequestError with the server's own words; AwsError."""
        if self.kind == "asynchronous":
            sent = self._sent.pop(picture, None)
            return self.fetch(sent or self.send(self.fitting(picture, data)))
        body = self.fitting(picture, data)
        started, tries = time.monotonic(), 0
        while True:
            try:
                return prediction_of(self._invoke(body), f"endpoint {self.name}")
            except AwsError as error:
                if error.code == NOT_READY:
                    may_wait = time.monotonic() - started < LOADING_SECONDS
                else:
                    tries += 1
                    may_wait = status_of(error) == BUSY_STATUS and tries < BUSY_TRIES
                if not may_wait:
                    raise refusal_of(error) from None
                time.sleep(poll_seconds())

    def send_ahead(self, pictures: Sequence[tuple[str, bytes]]) -> None:
        """Put all of them into the queue of an asynchronous endpoint, so that it works on many."""
        for picture, data in pictures if self.kind == "asynchronous" else ():
            with contextlib.suppress(RequestError):  # `ask` raises it again, in its turn
                self._sent[picture] = self.send(self.fitting(picture, data))

    def send(self, body: bytes) -> "Pending":
        """Put the picture into S3 and into the queue. Raises AwsError."""
        assert self._output, "look() was asked first"
        digest = hashlib.sha256(body).hexdigest()[:16]
        uri = self._output.join(f"inputs/{digest}")
        put = {"Bucket": uri.bucket, "Key": uri.key, "Body": body, "ContentType": CONTENT_TYPE}
        self.account.send(
            Call(service="s3", operation="PutObject", parameters=put), f"{uri} cannot be written"
        )
        call = Call(
            service="sagemaker-runtime",
            operation="InvokeEndpointAsync",
            parameters={
                "EndpointName": self.name,
                "InputLocation": str(uri),
                "ContentType": CONTENT_TYPE,
                "Accept": ACCEPT,
            },
        )
        answer = self.account.send(call, f"endpoint {self.name}")
        failure = answer.get("FailureLocation")
        return Pending(
            output=S3Uri.parse(answer["OutputLocation"]),
            failure=S3Uri.parse(failure) if failure else None,
        )

    def fetch(self, pending: "Pending") -> dict[str, Any]:
        """Wait for the answer in S3. Raises RequestError, HostError, AwsError."""
        body, is_failure = wait_for(
            lambda: self._look_for(pending),
            lambda found: found[0] is not None,
            what=f"the answer of endpoint {self.name}",
            limit_seconds=ASYNCHRONOUS_SECONDS,
            look_again=f"aws s3 cp {pending.output} -",
        )
        if is_failure:
            raise failure_of((body or b"").decode("utf-8", "replace"))
        return prediction_of(body or b"", f"endpoint {self.name}")

    def invocation(self, body: bytes) -> Call:
        """InvokeEndpoint."""
        parameters: dict[str, Any] = {
            "EndpointName": self.name,
            "ContentType": CONTENT_TYPE,
            "Accept": ACCEPT,
            "Body": body,
        }
        if self.target_model:
            parameters["TargetModel"] = self.target_model
        if self.variant:
            parameters["TargetVariant"] = self.variant
        return Call(service="sagemaker-runtime", operation="InvokeEndpoint", parameters=parameters)

    def _invoke(self, body: bytes) -> bytes:
        doing = f"endpoint {self.name}"
        answer = self.account.send(self.invocation(body), doing)
        with aws_errors(doing):
            return bytes(answer["Body"].read())

    def _look_for(self, pending: "Pending") -> tuple[bytes | None, bool]:
        """(bytes or None, whether they tell of a failure)."""
        for uri, is_failure in ((pending.output, False), (pending.failure, True)):
            if uri is None:
                continue
            call = Call(
                service="s3",
                operation="GetObject",
                parameters={"Bucket": uri.bucket, "Key": uri.key},
            )
            try:
                answer = self.account.find(call, f"{uri} cannot be read")
            except AwsError as error:
                # Without the right to list, S3 says of what is not there yet that it is denied.
                if error.code in DENIED and not is_missing(error):
                    continue
                raise
            if answer is not None:
                with aws_errors(f"{uri} cannot be read"):
                    return bytes(answer["Body"].read()), is_failure
        return None, False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An answer that will come."""

    output: S3Uri
    failure: S3Uri | None


def status_of(error: AwsError) -> int:
    """The container's own status in a ModelError; 0 when there is none."""
    status = error.details.get("OriginalStatusCode")
    if isinstance(status, int):
        return status
    found = _SAID.search(str(error)) if error.code == "ModelError" else None
    return int(found[1]) if found else 0


def refusal_of(error: AwsError) -> Exception:
    """What the container refused in its own words; what AWS refused stays as it is."""
    status = status_of(error)
    if error.code != "ModelError" or not 400 <= status <= 599:
        return error
    said = error.details.get("OriginalMessage")
    found = _SAID.search(str(error))
    text = said if isinstance(said, str) and said else (found[2] if found else str(error))
    return RequestError(status, message_of(text.encode(), status))


def failure_of(text: str) -> RequestError:
    """The error of an asynchronous request, from the object that SageMaker wrote about it."""
    found = _SAID.search(text)
    status = int(found[1]) if found else 500
    said = found[2] if found else text
    return RequestError(
        status if 400 <= status <= 599 else 500,
        message_of(said.replace('\\"', '"').encode(), status),
    )
