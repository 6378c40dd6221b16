"""Batch: what this server tells a batch transform job about itself."""

from serve.settings import VARIABLES, ServeSettings

# CreateTransformJob: at most 100 MB a request, and at most 100 for all that are under way.
MOST_MB = 100
USUAL_MB = 6  # SageMaker's own default


def execution_parameters(settings: ServeSettings, num_cpus: int) -> dict[str, object]:
    """The body of GET /execution-parameters; what the job itself sets goes before it.

    One record a request: pictures glued together are no picture. SageMaker writes that
    SINGLE_RECORD and announces itself as `true`; the SDK's local mode says `True` and takes
    the API's spelling only.

    The 100 MB are shared out to the requests under way: two for each CPU, one computing while the
    other's picture arrives. A payload that the job has set is the job's to keep, so then there are
    only as many requests as fit; SageMaker does not say whether it was set, so the default counts
    as not set.
    """
    limit_mb = min(settings.max_payload_mib or MOST_MB, MOST_MB)
    is_given = settings.max_payload_mib != VARIABLES["max_payload_mib"].default
    largest_mb = limit_mb if is_given else USUAL_MB
    concurrent = max(1, min(settings.max_in_flight, 2 * num_cpus, MOST_MB // largest_mb))
    return {
        "BatchStrategy": "SINGLE_RECORD" if settings.batch == "true" else "SingleRecord",
        "MaxConcurrentTransforms": concurrent,
        "MaxPayloadInMB": min(limit_mb, MOST_MB // concurrent),
    }
