"""Rights of people in S3: to bring data and models, and to fetch what jobs left."""

from control.aws.access.conditions import listing
from control.aws.access.grant import Condition, Grant
from control.aws.access.scope import Scope


def without_prefix(_: Scope) -> Condition:
    """A bucket as such."""
    return {"Null": {"s3:prefix": "true"}}


STORAGE = (
    Grant(
        sid="ListPlaces",
        why="what lies in the places that the files name",
        commands=(
            *("run", "run --on ec2", "tune", "deploy", "predict", "models", "data"),
            *("cleanup", "doctor"),
        ),
        actions=("s3:ListBucket",),
        resources=lambda scope: scope.bucket_arns(scope.every.both),
        condition=listing(lambda scope: scope.every.both),
    ),
    Grant(
        sid="SeeBuckets",
        why="whether a bucket is there (HeadBucket, whose right lists without a prefix, too)",
        commands=("data", "doctor"),
        actions=("s3:ListBucket",),
        resources=lambda scope: scope.bucket_arns(scope.every.both),
        condition=without_prefix,
    ),
    Grant(
        sid="ReadPlaces",
        why="results, answers and models, and what is there already",
        commands=(
            *("run", "run --on ec2", "tune", "deploy", "predict", "models", "data", "doctor"),
        ),
        actions=("s3:GetObject",),
        resources=lambda scope: scope.objects(scope.every.both),
    ),
    Grant(
        sid="WritePlaces",
        why="rules, bundles, models, pictures in a queue, data",
        commands=("run", "run --on ec2", "deploy", "predict", "models", "data"),
        actions=("s3:PutObject", "s3:AbortMultipartUpload"),
        resources=lambda scope: scope.objects(scope.every.write),
    ),
    Grant(
        sid="RemoveModelsAndData",
        why="a model behind an endpoint; with data push --delete what is here no more",
        commands=("models", "data"),
        actions=("s3:DeleteObject",),
        resources=lambda scope: scope.objects(scope.pushed),
    ),
    Grant(
        sid="ContinueUploads",
        why="large files go in parts, and go on where they were",
        commands=("data",),
        actions=("s3:ListMultipartUploadParts",),
        resources=lambda scope: scope.objects(scope.pushed),
    ),
    Grant(
        sid="MakeBuckets",
        why="data push --create: private, encrypted and tagged; uploads that were left",
        commands=("data",),
        actions=(
            *("s3:CreateBucket", "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging"),
            *("s3:PutEncryptionConfiguration", "s3:ListBucketMultipartUploads"),
        ),
        resources=lambda scope: scope.bucket_arns(scope.pushed),
    ),
)
