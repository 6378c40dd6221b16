"""A program that runs the function as Lambda does: events come in, answers go out, a line each.

Started with the folder of the unpacked archive and the function's time limit in seconds. Nothing
of ours is imported, so that whatever the function lacks in Lambda it lacks here as well.
"""

import contextlib
import importlib
import json
import sys
import time
import uuid


class Context:
    """As much of Lambda's context as the function uses."""

    def __init__(self, seconds: float) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Until Lambda would end it."""
        return max(0, int(1000 * (self._end - time.monotonic())))


def main() -> None:
    """What the function prints goes to stderr."""
    folder, seconds = sys.argv[1], float(sys.argv[2])
    sys.path.insert(0, folder)
    with contextlib.redirect_stdout(sys.stderr):
        handler = importlib.import_module("lambda_function").handler
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            answer = handler(json.loads(line), Context(seconds))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
