"""S3: addresses, and the four things that commands do with them: list, read, find, upload."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from contract.channel_files import is_file_name
from contract.errors import UsageError
from contract.limits import DEFAULT_LIMITS
from control.aws_client import AwsError, aws_client, aws_errors

SCHEME = "s3://"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # the oldest are not lower case
_BUCKET_RULE = "a bucket's name has letters, digits, dots, hyphens and nothing else"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
IGNORED_RANGE = "IgnoredRange"  # no word of AWS's


@dataclass(frozen=True, slots=True)
class S3Uri:
    """`s3://bucket/key`; the key is a prefix where a folder is meant."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "S3Uri":
        """Raises UsageError when no bucket is named, or one that S3 cannot have."""
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        is_address = text.startswith(SCHEME) and bucket and not _CONTROL.search(key)
        if not is_address or not _BUCKET.fullmatch(bucket):
            why = f": {_BUCKET_RULE}" if is_address else ""
            raise UsageError(f"expected s3://BUCKET/PREFIX, got {text!r}{why}")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"

    def folder(self) -> "S3Uri":
        """The same with a closing slash, so that `dogs` does not mean `dogs2/a.jpg` too."""
        closed = self.key if not self.key or self.key.endswith("/") else f"{self.key}/"
        return S3Uri(self.bucket, closed)

    def file_or_folder(self) -> "S3Uri":
        """Itself where its name is a file's; any other is a folder, `dogs.v2` too.

        For requests that AWS acts on by itself, before which nobody asks S3.
        """
        return self if is_file_name(self.key) else self.folder()

    def parent(self) -> "S3Uri":
        """The folder that an object is in."""
        before, slash, _ = self.key.rpartition("/")
        return S3Uri(self.bucket, before + slash)

    def join(self, name: str) -> "S3Uri":
        """`name` below this folder."""
        return S3Uri(self.bucket, self.folder().key + name)


Source = Path | S3Uri  # where a channel is


class S3Object(NamedTuple):
    """What a listing says of one object. Not a dataclass: there are millions of them."""

    key: str
    num_bytes: int
    etag: str  # without quotes; changes with the content


class S3Answer:
    """An object's bytes as they come."""

    def __init__(self, answer: Any) -> None:
        self._body = answer["Body"]
        kind = answer.get("ServerSideEncryption", "AES256")
        # Source: Amazon S3 API reference, Object, ETag.
        self.is_md5 = kind == "AES256" and "SSECustomerAlgorithm" not in answer

    def read(self, num_bytes: int) -> bytes:
        """At most so many; none at the end."""
        return bytes(self._body.read(num_bytes))


class S3:
    """One client, for many threads."""

    def __init__(self, connections: int = 10) -> None:
        self._client: Any = aws_client("s3", connections)

    def exists(self, uri: S3Uri) -> bool:
        """Whether there is an object of exactly this name. Raises AwsError."""
        try:
            with aws_errors(f"{uri} cannot be looked up"):
                self._client.head_object(Bucket=uri.bucket, Key=uri.key)
        except AwsError as error:
            if error.code in MISSING:
                return False
            raise
        return True

    def list(self, prefix: S3Uri, after: str = "") -> Iterator[str]:
        """The keys below `prefix`, in order, a page of 1000 at a time; those behind `after` only.

        Raises AwsError.
        """
        start = {"StartAfter": after} if after else {}
        pages = self._client.get_paginator("list_objects_v2")
        with aws_errors(f"{prefix} cannot be listed"):
            for page in pages.paginate(Bucket=prefix.bucket, Prefix=prefix.key, **start):
                for item in page.get("Contents", ()):
                    yield str(item["Key"])

    def objects(self, prefix: S3Uri) -> Iterator[S3Object]:
        """What `list` lists, with sizes and ETags. Raises AwsError."""
        pages = self._client.get_paginator("list_objects_v2")
        with aws_errors(f"{prefix} cannot be listed"):
            for page in pages.paginate(Bucket=prefix.bucket, Prefix=prefix.key):
                for item in page.get("Contents", ()):
                    yield S3Object(str(item["Key"]), int(item["Size"]), item["ETag"].strip('"'))

    @contextmanager
    def opened(
        self, uri: S3Uri, etag: str, part: tuple[int, int] | None = None
    ) -> Iterator[S3Answer]:
        """An object, or its bytes from one offset to another, while it still has this ETag.

        Raises AwsError; its code is empty when the connection broke, and IGNORED_RANGE when the
        server sends other bytes than those: not every imitation of S3 knows ranges.
        """
        wanted = {"Range": f"bytes={part[0]}-{part[1] - 1}"} if part else {}
        with aws_errors(f"{uri} cannot be downloaded"):
            answer = self._client.get_object(
                Bucket=uri.bucket, Key=uri.key, IfMatch=f'"{etag}"', **wanted
            )
            with answer["Body"]:
                sent = str(answer.get("ContentRange", ""))
                if part and not sent.startswith(f"bytes {part[0]}-{part[1] - 1}/"):
                    raise AwsError(
                        f"{uri} cannot be downloaded: bytes {part[0]}-{part[1] - 1} were asked "
                        f"for, and the server sent {sent or 'the whole object'}",
                        IGNORED_RANGE,
                    )
                yield S3Answer(answer)

    def read(self, uri: S3Uri) -> bytes:
        """An object's bytes. Raises AwsError, or ImageTooLargeError over a picture's limit."""
        with aws_errors(f"{uri} cannot be read"):
            answer = self._client.get_object(Bucket=uri.bucket, Key=uri.key)
            with answer["Body"] as body:
                DEFAULT_LIMITS.check_bytes(answer["ContentLength"])
                return bytes(body.read())

    def upload(self, path: Path, uri: S3Uri) -> None:
        """A file, in parts where it is large. Raises AwsError."""
        with aws_errors(f"{path} cannot be uploaded to {uri}"):
            self._client.upload_file(str(path), uri.bucket, uri.key)
