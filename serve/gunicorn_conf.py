"""gunicorn's settings, each with its reason. gunicorn executes this file; nothing else reads it."""

import os
import shutil
import tempfile
from typing import Any

from contract.host import cpu_limit
from serve.log import log_config
from serve.remembered import scratch_folder
from serve.settings import MAX_CHANGES, read_settings

_settings = read_settings()


def _heartbeat_dir() -> str:
    """Where workers touch a file to show life: memory if there is some, so that no disk stalls it.

    The file stays empty, so the smallest /dev/shm will do.
    """
    shared = "/dev/shm"
    return shared if os.access(shared, os.W_OK | os.X_OK) else tempfile.gettempdir()


bind = f"{_settings.host}:{_settings.port}"
worker_class = "serve.worker.KennelWorker"
# One process: one copy of the model, and /ping means the process that answers /invocations.
# Decoding and computing release the interpreter's lock, so threads use all CPUs. Models that come
# and go must be the same for every request, so then one process is all there can be.
workers = 1 if _settings.multi_model else _settings.workers
# The spare ones answer /ping and refuse the overflow while all others wait for the model.
threads = _settings.max_in_flight + 4 + 2 * cpu_limit()
if _settings.multi_model:
    threads += MAX_CHANGES
worker_connections = threads + 1000
# The model is loaded in the worker: CUDA does not survive a fork.
preload_app = False
# Seconds without a heartbeat. It comes from the main thread, so slow requests do not matter;
# a native call that holds the interpreter's lock while a large model loads might.
timeout = 300
# SageMaker kills 30 s after SIGTERM.
graceful_timeout = 25
# Longer than the idle time-out of usual load balancers and of SageMaker's own client.
keepalive = 75
worker_tmp_dir = _heartbeat_dir()
# Requests are logged by the application, without /ping; there is no access log, no control
# socket and no other file to write, so the root may be read-only.
accesslog = None
logger_class = "serve.gunicorn_log.QuietLogger"
logconfig_dict = log_config(_settings.log_level)
control_socket_disable = True
proc_name = "kennel-serve"


def on_exit(server: Any) -> None:
    """The server ends: what its processes remembered and unpacked goes."""
    del server
    if _settings.multi_model and (folder := scratch_folder(os.getpid())):
        shutil.rmtree(folder, ignore_errors=True)
