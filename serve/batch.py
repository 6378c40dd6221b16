"""Batch: what this server tells a batch transform job about itself."""

from serve.settings import ServeSettings

# CreateTransformJob: at most 100 MB a request, and at most 100 for all that are under way.
MOST_MB = 100


def execution_parameters(settings: ServeSettings, num_cpus: int) -> dict[str, object]:
    """The body of GET /execution-parameters; what the job itself sets goes before it.

    One record a request: pictures glued together are no picture. SageMaker writes that
    SINGLE_RECORD and announces itself as `true`; the SDK's local mode says `True` and takes
    the API's spelling only.
    """
    payload_mb = min(settings.max_payload_mib or MOST_MB, MOST_MB)
    # Two for each CPU: one computes while the other's picture arrives.
    concurrent = max(1, min(settings.max_in_flight, 2 * num_cpus, MOST_MB // payload_mb))
    return {
        "BatchStrategy": "SINGLE_RECORD" if settings.batch == "true" else "SingleRecord",
        "MaxConcurrentTransforms": concurrent,
        "MaxPayloadInMB": payload_mb,
    }
