"""How much the fuzzers try, and how much they have tried. conftest.py prints the latter."""

import os
from collections import Counter

from hypothesis import HealthCheck, settings

# The usual budget is small and always the same; a larger one is asked for, and then it is random.
EXAMPLES = int(os.environ.get("KENNEL_FUZZ_EXAMPLES", "0"))
tried: Counter[str] = Counter()


def budget(examples: int) -> settings:
    """The settings of one fuzzer that tries this many inputs unless the environment says more."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
