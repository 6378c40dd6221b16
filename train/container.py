"""`python -m train.container`: what the train image runs as `train`.

The toolkit owns the command, but it must not be what starts first: without a laid-out job it exits
with 0 and says nothing, and as process 1 it lets SIGTERM pass unheard until our code is reached.

The same image evaluates a rule of the Debugger, as RuleEvaluatorImage: SageMaker then lays out a
processing job instead and starts the image without arguments.
"""

import os
import sys

from contract.errors import HostError
from contract.files import write_json
from contract.opt_ml import OptMl, base_dir, is_job_present, is_processing_present
from train.main import hear_stop, run
from train.threads import limit_spinning
from train.toolkit import run_toolkit


def main() -> int:
    """Run flags or a missing job by ourselves, a job of SageMaker's through the toolkit."""
    arguments = sys.argv[1:]
    is_rule = is_processing_present(base_dir()) and not is_job_present(base_dir())
    if is_rule and not arguments:
        # A process of its own: this room may not import the other. -I: as in bin/train.
        os.execv(sys.executable, [sys.executable, "-IBu", "-m", "debugger", "processing"])
    if arguments or not is_job_present(base_dir()):
        return run(arguments)
    try:
        _prepare(OptMl(base_dir()))
    except HostError as error:
        sys.stderr.write(f"failed: {error}\n")
        return error.exit_code
    limit_spinning()
    with hear_stop():
        run_toolkit()
    return 0


def _prepare(paths: OptMl) -> None:
    """What the toolkit takes for granted. Raises HostError.

    It reads three files that people who lay out a job by hand leave out. It ends with 0 when it
    cannot write why a job failed.
    """
    usual: dict[str, object] = {
        "hyperparameters.json": {},
        "inputdataconfig.json": {name: {"TrainingInputMode": "File"} for name in _channels(paths)},
        "resourceconfig.json": {"current_host": "algo-1", "hosts": ["algo-1"]},
    }
    for name, content in usual.items():
        if not (paths.config_dir / name).exists():
            write_json(paths.config_dir / name, content)
    output = paths.failure_file.parent
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe = output / ".kennel-write-test"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise HostError(
            f"{output} is not writable ({error.strerror}): neither a result nor the reason of a "
            "failure could be kept"
        ) from error


def _channels(paths: OptMl) -> list[str]:
    try:
        return sorted(path.name for path in paths.data_dir.iterdir() if path.is_dir())
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main())
