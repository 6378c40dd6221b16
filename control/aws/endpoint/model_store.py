"""ModelStore: the models below the prefix of a multi-model endpoint: listed, added, removed.

A model is never replaced in its place: instances that have loaded it go on with the old one, and
others would load the new one under the same name.
Source: SageMaker developer guide, Add or remove models.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from contract.errors import UsageError
from contract.strict import nearest
from contract.targets import ARCHIVE_ENDING
from control.aws.account import Account
from control.aws.call import Call
from control.aws.endpoint.multi_spec import model_name, target_of
from control.s3 import S3Uri

THREADS = 8
DIGEST, FROM = "kennel-digest", "kennel-from"  # metadata of an object of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """One model in S3."""

    name: str  # as we call it: dogs/v1
    num_bytes: int
    changed_at: datetime
    source: str = ""  # the bundle on the machine that published it; empty: it was not us
    digest: str = ""

    @property
    def target(self) -> str:
        """As callers name it."""
        return target_of(self.name)


class ModelStore:
    """The models below one prefix."""

    def __init__(self, account: Account, prefix: S3Uri) -> None:
        self.prefix = prefix.folder()
        self._account = account

    def uri(self, name: str) -> S3Uri:
        """Where a model lies."""
        return self.prefix.join(target_of(name))

    def models(self) -> list[StoredModel]:
        """All models, by name, with what their own objects tell. Raises AwsError."""
        found = dict(self._listed())
        with ThreadPoolExecutor(THREADS, thread_name_prefix="models") as pool:
            heads = pool.map(self.find, found)
            return [one for one in heads if one]  # one may be gone meanwhile

    def names(self) -> list[str]:
        """Of all models. Raises AwsError."""
        return [name for name, _ in self._listed()]

    def find(self, name: str) -> StoredModel | None:
        """One model, or None. Raises AwsError."""
        uri = self.uri(name)
        call = Call(
            service="s3",
            operation="HeadObject",
            parameters={"Bucket": uri.bucket, "Key": uri.key},
        )
        head = self._account.find(call, f"{uri} cannot be looked up")
        if head is None:
            return None
        told = head.get("Metadata", {})
        return StoredModel(
            name=name,
            num_bytes=int(head["ContentLength"]),
            changed_at=head["LastModified"],
            source="".join(filter(str.isprintable, unquote(told.get(FROM, "")))),
            digest=told.get(DIGEST, ""),
        )

    def removal(self, name: str) -> Call:
        """Takes a model's object away."""
        uri = self.uri(name)
        return Call(
            service="s3",
            operation="DeleteObject",
            parameters={"Bucket": uri.bucket, "Key": uri.key},
        )

    def known(self, name: str) -> StoredModel:
        """One model. Raises UsageError: there is none of this name. AwsError."""
        found = self.find(name)
        if found is None:
            names = self.names()
            near = nearest(name, names)
            known = f"known: {', '.join(names[:10])}" if names else "there is none at all"
            hint = f"did you mean {near!r}?" if near else known
            raise UsageError(f"no model {name!r} below {self.prefix}; {hint}")
        return found

    def remove(self, name: str) -> None:
        """Take a model away; copies that instances have loaded go on until they need the room."""
        self._account.send(self.removal(name), f"{self.uri(name)} cannot be removed")

    def _listed(self) -> Iterable[tuple[str, int]]:
        """(name, bytes) of what can be a target; other objects below the prefix are none."""
        call = Call(
            service="s3",
            operation="ListObjectsV2",
            parameters={"Bucket": self.prefix.bucket, "Prefix": self.prefix.key},
        )
        pages = self._account.pages(call, "Contents", f"{self.prefix} cannot be listed")
        for item in pages:
            key = str(item["Key"])[len(self.prefix.key) :]
            if key.endswith(ARCHIVE_ENDING):
                try:
                    yield model_name(key), int(item["Size"])
                except UsageError:  # a name that we would not give; callers may still use it
                    continue
