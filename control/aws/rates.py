"""Rates: what costs by use, by the gigabyte or by the second rather than by the machine and hour.

US dollars in us-east-1, dated as prices.py is. Source: the pricing pages of SageMaker, Lambda, S3,
ECR, CloudWatch and EC2, by figures that others took from them and that agree.
"""

HOURS_A_MONTH = 730  # as AWS's own calculator counts
GB = 1024**3

# Amazon SageMaker, serverless: nothing while nobody asks, then by the second of an answer.
SERVERLESS_GB_SECOND = 0.00002
SERVERLESS_GB_MOVED = 0.016  # in and out, each
# Provisioned concurrency of a serverless endpoint: no figure was found.

# AWS Lambda on x86.
LAMBDA_GB_SECOND = 0.0000166667
LAMBDA_REQUEST = 0.0000002
LAMBDA_PROVISIONED_GB_SECOND = 0.0000041667  # while it waits, asked or not

# Kept, by the GB and month.
S3_GB_MONTH = 0.023  # standard, the first 50 TB
S3_PUT_REQUEST = 0.000005  # also of a listing, and of each part
ECR_GB_MONTH = 0.10
LOGS_GB_MONTH = 0.03
LOGS_GB_WRITTEN = 0.50
EBS_GB_MONTH = 0.08  # gp3
ALARM_MONTH = 0.10  # of a metric at standard resolution


def lambda_provisioned_per_hour(memory_mb: int, count: int) -> float:
    """`count` instances of a function that are kept ready."""
    return LAMBDA_PROVISIONED_GB_SECOND * memory_mb / 1024 * count * 3600


def serverless_per_hour(memory_mb: int) -> float:
    """One serverless worker that answers without a pause."""
    return SERVERLESS_GB_SECOND * memory_mb / 1024 * 3600


def kept_per_month(num_bytes: int, gb_month: float) -> float:
    """Storage, e.g. `kept_per_month(size, S3_GB_MONTH)`."""
    return num_bytes / GB * gb_month
