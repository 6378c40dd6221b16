"""Push calls: every request of a push, as AWS's own model names its parts."""

from collections.abc import Sequence
from typing import Any

from control.aws.call import Call, Request
from control.aws.tags import Tags
from control.data.push_plan import MANIFEST, PushPlan
from control.s3 import S3Uri

SHA256 = "kennel-sha256"  # metadata of every object: its content's, in hex
FIRST_REGION = "us-east-1"  # the only one that CreateBucket must not be told
MOST_DELETED = 1000  # of one request. Source: Amazon S3 API reference, DeleteObjects
MOST_PARTS = 10_000  # Source: Amazon S3 user guide, multipart upload limits
PART_BYTES = 8 << 20  # of a large file at least; what is not larger goes in one request
MIB = 1 << 20


def part_bytes(num_bytes: int) -> int:
    """How large the parts of a file are: depends on its size alone, so that a push continues."""
    return max(PART_BYTES, -(-num_bytes // (MOST_PARTS * MIB)) * MIB)


def bucket_calls(bucket: str, region: str, kms_key: str) -> list[Call]:
    """A bucket that is private, encrypted and tagged. All of them may be sent again."""
    place = {} if region == FIRST_REGION else {"LocationConstraint": region}
    where = {"CreateBucketConfiguration": place} if place else {}
    kind: Request = {"SSEAlgorithm": "aws:kms" if kms_key else "AES256"}
    if kms_key:
        kind["KMSMasterKeyID"] = kms_key
    rule = {"ApplyServerSideEncryptionByDefault": kind, "BucketKeyEnabled": bool(kms_key)}
    closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    tags = Tags(name=bucket, kind="bucket").as_list()
    return [
        _call("CreateBucket", Bucket=bucket, **where),
        _call(
            "PutPublicAccessBlock",
            Bucket=bucket,
            PublicAccessBlockConfiguration=dict.fromkeys(closed, True),
        ),
        _call(
            "PutBucketEncryption",
            Bucket=bucket,
            ServerSideEncryptionConfiguration={"Rules": [rule]},
        ),
        _call("PutBucketTagging", Bucket=bucket, Tagging={"TagSet": tags}),
    ]


def head_bucket_call(bucket: str) -> Call:
    """Whether it is there, and ours to ask."""
    return _call("HeadBucket", Bucket=bucket)


def list_call(uri: S3Uri) -> Call:
    """What lies below the address, before and after."""
    return _call("ListObjectsV2", Bucket=uri.bucket, Prefix=uri.key)


def head_call(uri: S3Uri) -> Call:
    """What S3 knows of one object."""
    return _call("HeadObject", Bucket=uri.bucket, Key=uri.key)


def put_call(uri: S3Uri, data: bytes, digests: tuple[str, str], kms_key: str) -> Call:
    """A whole object. S3 refuses bytes whose MD5 is not the one that is sent along.

    Args:
        digests: MD5 (Base64) and SHA-256 (hex) of the data.
    """
    md5, sha256 = digests
    return _call(
        "PutObject",
        Bucket=uri.bucket,
        Key=uri.key,
        Body=data,
        ContentMD5=md5,
        Metadata={SHA256: sha256},
        **_encryption(kms_key),
    )


def begin_call(uri: S3Uri, sha256: str, kms_key: str) -> Call:
    """Begin an object in parts."""
    return _call(
        "CreateMultipartUpload",
        Bucket=uri.bucket,
        Key=uri.key,
        Metadata={SHA256: sha256},
        **_encryption(kms_key),
    )


def part_call(uri: S3Uri, upload: str, number: int, data: bytes, md5: str) -> Call:
    """One part; numbers begin with 1."""
    return _call(
        "UploadPart",
        Bucket=uri.bucket,
        Key=uri.key,
        UploadId=upload,
        PartNumber=number,
        Body=data,
        ContentMD5=md5,
    )


def complete_call(uri: S3Uri, upload: str, etags: Sequence[str]) -> Call:
    """All parts are there: make them one object."""
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    return _call(
        "CompleteMultipartUpload",
        Bucket=uri.bucket,
        Key=uri.key,
        UploadId=upload,
        MultipartUpload={"Parts": parts},
    )


def uploads_call(uri: S3Uri) -> Call:
    """Which uploads in parts an earlier push of this very object left."""
    return _call("ListMultipartUploads", Bucket=uri.bucket, Prefix=uri.key)


def parts_call(uri: S3Uri, upload: str) -> Call:
    """Which parts of it are there."""
    return _call("ListParts", Bucket=uri.bucket, Key=uri.key, UploadId=upload)


def abort_call(uri: S3Uri, upload: str) -> Call:
    """Forget its parts: they are billed until then."""
    return _call("AbortMultipartUpload", Bucket=uri.bucket, Key=uri.key, UploadId=upload)


def delete_call(bucket: str, keys: Sequence[str]) -> Call:
    """At most MOST_DELETED objects."""
    objects = [{"Key": key} for key in keys]
    return _call("DeleteObjects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})


def example_calls(plan: PushPlan, bucket: Sequence[Call], kms_key: str) -> list[Call]:
    """One request of each kind that the push sends: for --show. Bytes are not read for it.

    Args:
        bucket: those that make the bucket, when it is to be made.
    """
    calls = [*bucket, list_call(plan.uri)]
    small = [item for item in plan.items if item.num_bytes <= PART_BYTES]
    large = [item for item in plan.items if item.num_bytes > PART_BYTES]
    unknown = ("(MD5 of the content)", "(SHA-256 of the content)")
    for item in small[:1]:
        calls.append(put_call(plan.uri.join(item.name), bytes(item.num_bytes), unknown, kms_key))
    for item in large[:1]:
        uri, size = plan.uri.join(item.name), part_bytes(item.num_bytes)
        calls += [
            uploads_call(uri),
            begin_call(uri, unknown[1], kms_key),
            part_call(uri, "(upload)", 1, bytes(size), unknown[0]),
            complete_call(uri, "(upload)", ["(of each part)"]),
        ]
    manifest = plan.manifest()
    return [*calls, put_call(plan.uri.join(MANIFEST), manifest, unknown, kms_key)]


def _encryption(kms_key: str) -> dict[str, Any]:
    if not kms_key:
        return {}
    # A bucket key: one request to KMS for many objects.
    return {
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": kms_key,
        "BucketKeyEnabled": True,
    }


def _call(operation: str, **parameters: Any) -> Call:
    return Call(service="s3", operation=operation, parameters=parameters)
