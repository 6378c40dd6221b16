"""`python -m train.container`: what the train image runs as `train`.

The toolkit owns the command, but it must not be what starts first: without a laid-out job it exits
with 0 and says nothing, and as process 1 it lets SIGTERM pass unheard until our code is reached.
"""

import sys

from contract.opt_ml import base_dir, is_job_present
from train.main import hear_stop, run
from train.threads import limit_spinning
from train.toolkit import run_toolkit


def main() -> int:
    """Run flags or a missing job by ourselves, a job of SageMaker's through the toolkit."""
    arguments = sys.argv[1:]
    if arguments or not is_job_present(base_dir()):
        return run(arguments)
    limit_spinning()
    with hear_stop():
        run_toolkit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
