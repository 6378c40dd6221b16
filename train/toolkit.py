"""sagemaker-training: its `train`, and users' own scripts. The only file that imports it."""

import os
import shlex
import sys

from contract.errors import JobError
from contract.files import read_json
from contract.opt_ml import OptMl
from contract.strict import unquote


def user_script(paths: OptMl) -> str | None:
    """The user's entry point, from SAGEMAKER_PROGRAM or the hyperparameter, or None."""
    if os.environ.get("SAGEMAKER_PROGRAM"):
        return os.environ["SAGEMAKER_PROGRAM"]
    path = paths.config_dir / "hyperparameters.json"
    given = read_json(path, JobError) if path.exists() else {}
    return unquote(str(given["sagemaker_program"])) if given.get("sagemaker_program") else None


def run_user_script() -> None:
    """Run it as AWS's framework containers do: download, install requirements, run.

    Failures raise the toolkit's ExecuteUserScriptError, which its `train` reports.
    """
    # Imported here: importing the toolkit's environment creates folders below /opt/ml.
    from sagemaker_training import entry_point, environment

    env = environment.Environment()
    entry_point.run(
        uri=env.module_dir,
        user_entry_point=env.user_entry_point,
        # With capture_error the toolkit joins these and hands them to a shell.
        args=[shlex.quote(argument) for argument in env.to_cmd_args()],
        env_vars=env.to_env_vars(),
        capture_error=True,  # the script's own last words become the failure reason
    )


def run_toolkit() -> None:
    """The toolkit's `train` command, which calls SAGEMAKER_TRAINING_MODULE. Does not return."""
    from sagemaker_training.cli.train import main

    sys.argv[:] = ["train"]
    main()
