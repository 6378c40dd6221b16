"""What gunicorn calls in each worker process: settings, service, application."""

import os

from flask import Flask

from contract.host import cpu_limit
from serve.app import create_app
from serve.memory import MIB, MemoryBudget
from serve.model import load_model
from serve.models import Models
from serve.multi import create_multi_app
from serve.service import Service
from serve.settings import read_settings

# gunicorn's own code for "the application cannot be loaded": the whole server then stops with
# it, instead of starting worker after worker.
APP_LOAD_ERROR = 4


def application() -> Flask:
    """The application, its model loading in the background. A model that fails ends the server.

    One process of several waits for its model before it accepts anything: else a /ping that
    another process answered would promise what this one cannot keep.
    """
    settings = read_settings()
    num_cpus = settings.threads or cpu_limit()
    if settings.multi_model:
        budget = MemoryBudget(settings.models_memory_mib * MIB)
        return create_multi_app(Models(settings, num_cpus, budget), settings)
    service = Service(lambda: load_model(settings, num_cpus), settings.max_in_flight)
    app = create_app(service, settings)
    loader = service.start(on_failure=lambda: os._exit(APP_LOAD_ERROR))
    if settings.workers > 1:
        loader.join()
    return app
