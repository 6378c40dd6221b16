"""What gunicorn calls in each worker process: settings, service, application."""

import gc
import os

from flask import Flask

from serve.app import create_app
from serve.model import load_model, new_lanes
from serve.multi import multi_application
from serve.service import Service
from serve.settings import cpus_of_one, read_settings
from serve.telemetry import Telemetry

# gunicorn's own code for "the application cannot be loaded": the whole server then stops with
# it, instead of starting worker after worker.
APP_LOAD_ERROR = 4
# For the model, while a killed process is replaced; SageMaker's callers wait 60 s in all.
LOADING_WAIT_SECONDS = 20.0


def application() -> Flask:
    """The application, its model loading in the background. A model that fails ends the server.

    One process of several waits for its model before it accepts anything: else a /ping that
    another process answered would promise what this one cannot keep.
    """
    settings = read_settings()
    num_cpus = cpus_of_one(settings)
    telemetry = Telemetry(settings)
    if settings.multi_model:
        return multi_application(settings, num_cpus, telemetry)
    lanes = new_lanes(settings, num_cpus, telemetry)
    service = Service(
        lambda: load_model(settings, num_cpus, lanes),
        settings.max_in_flight,
        min(LOADING_WAIT_SECONDS, settings.timeout_seconds),
    )
    app = create_app(service, settings, telemetry)
    # What was imported stays: no collection need look at it again.
    gc.collect()
    gc.freeze()
    loader = service.start(on_failure=lambda: os._exit(APP_LOAD_ERROR))
    if settings.workers > 1:
        loader.join()
    return app
