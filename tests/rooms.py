"""The tables of the house: who may import whom, where heavy libraries live, sizes."""

MAY_IMPORT = {
    "contract": set(),
    "classifier": {"contract"},
    "train": {"contract", "classifier"},
    "serve": {"contract", "classifier"},
    "debugger": {"contract"},
    "control": {"contract"},
}

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
MAX_POSITIONAL = 5
MAX_README_LINES = 6

# Library -> the only places that may import it. A room stands for all its files.
FENCES = {
    "torch": ("classifier", "train", "serve/aws_defaults.py"),
    "torchvision": ("classifier", "train"),
    "openvino": (
        "classifier/openvino_engine.py",
        "classifier/graph.py",
        "classifier/explain.py",
        "classifier/explain_export.py",
    ),
    "nncf": ("classifier/quantize.py",),
    "safetensors": ("classifier", "train"),
    "flask": ("serve",),
    "gunicorn": ("serve",),
    "prometheus_client": ("serve/meters.py", "serve/siblings.py"),
    "matplotlib": ("train", "debugger"),
    "tqdm": ("train",),
    "sklearn": ("control/digits.py",),
    "boto3": ("control/aws_client.py", "control/lambda_function.py"),
    "botocore": ("control/aws_client.py", "control/lambda_function.py"),
    "optuna": (
        "train/storage.py",
        "train/sampler.py",
        "train/study.py",
        "train/stored.py",
        "train/importances.py",
        "train/lost.py",
    ),
    "sqlalchemy": ("train/storage.py",),
    "smdebug": ("train/debug_hook.py", "debugger/tensors.py"),
    "sagemaker_training": ("train/toolkit.py",),
    "psutil": ("train/host_metrics.py",),
    "pynvml": ("train/gpu_metrics.py",),
    "sagemaker": (),
}
# Files inside a torch room that must do without torch: the CPU image has none.
TORCH_FREE = (
    "classifier/__init__.py",
    "classifier/preprocess.py",
    "classifier/bundle.py",
    "classifier/openvino_engine.py",
    "classifier/explain.py",
    "classifier/choice.py",
    "classifier/batching.py",
)
# Files that may import torch only inside a function, when an engine or a user's code needs it.
TORCH_WHEN_NEEDED = ("classifier/classifier.py", "classifier/engine.py", "serve/aws_defaults.py")
# Modules that the CPU server and the command line import.
LIGHT_MODULES = ("serve.app", "control.cli", "classifier.classifier", "contract.opt_ml")
HEAVY_LIBRARIES = ("torch", "torchvision", "matplotlib", "sklearn", "boto3", "optuna", "smdebug")

# Where anything may be raised and somebody must answer: the two commands, a user's own code, what
# looks on while a job runs, and the threads that load a model and that compute, above which nobody
# could catch.
MAY_CATCH_ALL = (
    "train/attempt.py",
    "train/tensor_recorder.py",
    "debugger/guard.py",
    "train/contained.py",
    "serve/express.py",
    "serve/user_code.py",
    "serve/service.py",
    "serve/lanes.py",
    "classifier/combining.py",
    "control/lambda_function.py",
)
PRINTERS = ("control/terminal.py",)
