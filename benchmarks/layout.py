"""Layout: what benchmarks.model writes, and where; shared with programs that do without torch."""

import os

NUM_PICTURES = 16  # that clients send in turn
MODEL, PICTURES = "model", "pictures"  # the bundle, and the JPEGs to send
PEER_WEIGHTS, PEER_SCRIPT = "resnet50.pth", "resnet50.pt"
LABELS_NAME, INDEX_NAME, EXPECTED_NAME = "labels.json", "index_to_name.json", "expected.json"


def cpu_only() -> dict[str, str]:
    """Our environment without any GPU: all that is compared computes on the processor."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
