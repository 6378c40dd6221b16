"""S3Log: a text in S3 that grows, read line by line as it does."""

from typing import Any

from control.aws.account import Account, is_missing
from control.aws_client import AwsError, aws_errors
from control.s3 import S3Uri

NOTHING_NEW = frozenset({"InvalidRange", "416"})


class S3Log:
    """Each line once.

    Args:
        position: bytes that an earlier session has read, as `position` said then.
    """

    def __init__(self, account: Account, uri: S3Uri, position: int = 0) -> None:
        self._account, self._uri = account, uri
        self.position = position  # after the last whole line

    def read(self, *, is_last: bool = False) -> list[str]:
        """The lines that are new; with `is_last` also one without an end. Raises AwsError."""
        data = self._bytes()
        end = len(data) if is_last else data.rfind(b"\n") + 1
        self.position += end
        return data[:end].decode("utf-8", "replace").splitlines()

    def _bytes(self) -> bytes:
        client: Any = self._account.client("s3")
        try:
            with aws_errors(f"{self._uri} cannot be read"):
                answer = client.get_object(
                    Bucket=self._uri.bucket, Key=self._uri.key, Range=f"bytes={self.position}-"
                )
                with answer["Body"] as body:
                    return bytes(body.read())
        except AwsError as error:
            if error.code in NOTHING_NEW or is_missing(error):
                return b""
            raise
