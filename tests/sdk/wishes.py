"""For the drivers beside it: wishes come as lines of JSON, answers go back the same way."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Verb = Callable[..., Any]


def fulfil(verbs: dict[str, Verb]) -> None:
    """Answer every line of stdin on the file descriptor named in argv, until stdin ends.

    What a verb does not catch ends the process with its traceback.
    """
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            wish = json.loads(line)
            answer = verbs[wish.pop("verb")](**wish)
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
