"""Options of an endpoint, a small table each: [serverless], [asynchronous], [capture]."""

from dataclasses import dataclass

from contract.errors import SpecError
from control.aws.endpoint.fields import Fields

SERVERLESS_NAMES = ("memory_mb", "max_concurrency", "provisioned_concurrency")
ASYNCHRONOUS_NAMES = ("output", "failure", "max_concurrent", "success_topic", "error_topic")
CAPTURE_NAMES = ("s3", "percent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serverless:
    """No machines: memory for each request. Source: API reference, ProductionVariant."""

    memory_mb: int = 3072  # 1024 to 6144 in steps of 1024; processors grow with it
    max_concurrency: int = 5
    provisioned_concurrency: int = 0  # kept warm, and billed while the endpoint lives


@dataclass(frozen=True, slots=True, kw_only=True)
class Asynchronous:
    """Requests wait in a queue, answers go to S3. Source: API reference, AsyncInferenceConfig."""

    output: str  # s3://BUCKET/PREFIX
    failure: str = ""  # s3://BUCKET/PREFIX; "" is output + failures/
    max_concurrent: int = 0  # requests at a time on one instance; 0 leaves it to SageMaker
    success_topic: str = ""  # of SNS
    error_topic: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Requests and answers are kept in S3. Source: API reference, DataCaptureConfig."""

    s3: str
    percent: int = 100


def serverless_in(fields: Fields) -> Serverless:
    """The table [serverless]. Raises SpecError."""
    fields.known(SERVERLESS_NAMES)
    memory_mb = fields.whole("memory_mb", 1024, 6144, 3072)
    if memory_mb % 1024:
        raise fields.wrong("memory_mb", "1024, 2048, 3072, 4096, 5120 or 6144", memory_mb)
    most = fields.whole("max_concurrency", 1, 200, 5)
    provisioned = fields.whole("provisioned_concurrency", 0, 200, 0)
    if provisioned > most:
        raise fields.wrong(
            "provisioned_concurrency", f"at most max_concurrency, {most}", provisioned
        )
    return Serverless(
        memory_mb=memory_mb, max_concurrency=most, provisioned_concurrency=provisioned
    )


def asynchronous_in(fields: Fields) -> Asynchronous:
    """The table [asynchronous]. Raises SpecError."""
    fields.known(ASYNCHRONOUS_NAMES)
    output = fields.s3("output")
    if not output:
        raise SpecError(
            f'{fields.path}: {fields.name}.output: expected where answers go, e.g. "s3://BUCKET/dogs"'
        )
    return Asynchronous(
        output=output,
        failure=fields.s3("failure", f"{output.rstrip('/')}/failures"),
        max_concurrent=fields.whole("max_concurrent", 0, 1000, 0),
        success_topic=fields.arn("success_topic", "sns"),
        error_topic=fields.arn("error_topic", "sns"),
    )


def capture_in(fields: Fields) -> Capture:
    """The table [capture]. Raises SpecError."""
    fields.known(CAPTURE_NAMES)
    if not fields.text("s3"):
        raise SpecError(f'{fields.path}: {fields.name}.s3: expected e.g. "s3://BUCKET/captured"')
    return Capture(s3=fields.s3("s3"), percent=fields.whole("percent", 1, 100, 100))
