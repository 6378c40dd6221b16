"""Shapes: what AWS takes for a role, a key, a tag: checked before anything is made or billed.

boto3 checks no pattern and no upper limit, so a slip would only be found when half of the work is
done. Source: the patterns and lengths in AWS's own service models (a test compares).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a value must look."""

    pattern: re.Pattern[str]
    longest: int
    expected: str  # for a person

    def fits(self, text: str) -> bool:
        """Whether AWS would take it."""
        return len(text) <= self.longest and bool(self.pattern.fullmatch(text))


def _shape(pattern: str, longest: int, expected: str) -> Shape:
    return Shape(pattern=re.compile(pattern, re.ASCII), longest=longest, expected=expected)


TYPE = _shape(r"ml\.[a-z0-9-]+\.[a-z0-9-]+", 64, "a type such as ml.m5.large")
ROLE = _shape(
    r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+|[\w+=,.@/-]+", 512, "a role's name, or its ARN"
)
# Without a slash it is a repository here, and the registry's name comes before it.
_REPOSITORY = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(:\w[\w.-]{0,127})?"
IMAGE = _shape(rf"[^\s/]+/\S+|(?=.{{1,190}}$){_REPOSITORY}", 255, "a repository's name, or a URI")
KMS_KEY = _shape(r"[a-zA-Z0-9:/_-]+", 2048, "a key's ID, its ARN or alias/NAME")
SUBNET = _shape(r"subnet-[a-z0-9-]+", 32, "subnets such as subnet-0123456789abcdef0")
SECURITY_GROUP = _shape(r"sg-[a-z0-9-]+", 32, "groups such as sg-0123456789abcdef0")
MOST_SUBNETS, MOST_GROUPS = 16, 5
ALARM = _shape(r"[ -~]*[!-~][ -~]*", 255, "an alarm's name")
AMI = _shape(r"[a-zA-Z0-9]+(-[a-zA-Z0-9]+)*", 63, "the name of one of SageMaker's machine images")
MEDIA_TYPE = _shape(r"[!-~]([ -~]*[!-~])?", 256, "a media type such as image/jpeg")
# A bucket that can be made. Source: Amazon S3 user guide, General purpose bucket naming rules.
NEW_BUCKET = _shape(
    r"(?!xn--|sthree-|amzn-s3-demo-)(?!.*\.\.)(?!.*(-s3alias|--ol-s3|\.mrap|--x-s3|--table-s3)$)"
    r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]+[a-z0-9]",
    63,
    "3 to 63 lower-case letters, digits, hyphens and dots, as S3 wants a bucket's name",
)
# Of a model's: S3 has made none with capitals or underscores since 2018, and only in us-east-1.
BUCKET = _shape(r"[a-z0-9][a-z0-9.-]*", 63, NEW_BUCKET.expected)
# What we put behind it has to fit, too: the longest that every operation takes is 512.
S3_PLACE = _shape(r"s3://[A-Za-z0-9][\w.-]*(/[^\x00-\x1f\x7f]*)?", 480, "s3://BUCKET/PREFIX")

MOST_TAGS = 40  # of the file: AWS allows 50, and ours come on top
LONGEST_TAG, LONGEST_VALUE = 128, 256
_TAG_SIGNS = frozenset(" _.:/=+-@")
THEIRS = ("aws:", "kennel:")


def wrong_list(texts: Sequence[str], shape: Shape, most: int) -> str:
    """What was expected of a list; empty when AWS takes it."""
    if len(texts) > most:
        return f"at most {most}"
    return "" if all(map(shape.fits, texts)) else shape.expected


def wrong_tag(tags: Mapping[str, str]) -> tuple[str, str]:
    """The first tag that AWS would refuse, and what was expected; ("", "") when all are fine."""
    if len(tags) > MOST_TAGS:
        return list(tags)[-1], f"at most {MOST_TAGS} tags"
    for name, value in tags.items():
        if not name or name.startswith(THEIRS):
            return name, "text, under a name without aws: or kennel:"
        if len(name) > LONGEST_TAG or len(value) > LONGEST_VALUE:
            return name, f"at most {LONGEST_TAG} and {LONGEST_VALUE} characters"
        if not all(one.isalnum() or one in _TAG_SIGNS for one in name + value):
            return name, "letters, digits, spaces and _ . : / = + - @"
    return "", ""
