"""What a job leaves: metric lines, files in output/data, and the bundle."""

import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from classifier.export import Extra, Variants, export_bundle
from contract.files import write_json
from contract.hyperparameters import Hyperparameters
from contract.job import TrainingJob
from contract.manifest import REPORT_NAME, Manifest, Probe, VariantName
from contract.metrics import METRIC_BY_NAME, format_metric
from train.data import JobData
from train.learner import Judged, Learner
from train.learning import best_metrics
from train.loop import Fit
from train.report import write_report
from train.run_report import Evaluation, RunReport
from train.start import Start

log = logging.getLogger(__name__)

CONFIG_NAME = "config.json"


def log_metrics(metrics: dict[str, float]) -> None:
    """One line a metric, in the table's order, so test:accuracy comes last of a job."""
    order = list(METRIC_BY_NAME)
    for name in sorted(metrics, key=order.index):
        log.info("%s", format_metric(name, metrics[name]))


def write_config(job: TrainingJob, values: Hyperparameters) -> None:
    """The resolved hyperparameters, so that a run can be repeated exactly."""
    write_json(
        job.outputs.data_dir / CONFIG_NAME,
        {
            "job": job.name,
            "hyperparameters": values.to_strings(),
            "given": sorted(job.hyperparameters.given),
            "channels": {name: str(channel.path) for name, channel in job.channels.items()},
            "versions": versions(),
        },
    )


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("kennel", "torch", "torchvision", "numpy", "pillow", "openvino")
    found = {"python": sys.version.split()[0]}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # our own, in an image or a raw checkout
            found[name] = "unknown"
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A job at its end, ready to be written down."""

    job: TrainingJob
    start: Start
    data: JobData
    fit: Fit
    judged: tuple[Judged, ...]
    learner: Learner
    variants: Variants
    device_why: str
    seconds: float

    @property
    def trained(self) -> VariantName:
        """The variant that the scores in `judged` belong to."""
        return "int8" if self.learner.int8 else "f32"

    def metrics(self) -> dict[str, float]:
        """The best epoch's metrics and the test scores."""
        return best_metrics(self.fit, self.judged)


def write_outputs(finished: Finished) -> None:
    """Report files, drawn while the graphs are written, and the bundle with a copy of the report.

    Raises HostError: a disk is full, or not writable.
    """
    metrics = finished.metrics()
    with ThreadPoolExecutor(1, thread_name_prefix="report") as pool:
        drawing = pool.submit(_write_report, finished, metrics)
        report = finished.job.outputs.data_dir / REPORT_NAME
        started = time.perf_counter()
        bundle = export_bundle(
            finished.learner.network,
            finished.job.outputs.model_dir,
            _manifest(finished, metrics),
            (Extra(name=REPORT_NAME, path=report, await_it=drawing.result),),
            finished.variants,
        )
    tell_variants(bundle.manifest)
    size = sum((bundle.folder / name).stat().st_size for name in bundle.manifest.files)
    log.info(
        "bundle %s, %.1f MB (%.1f s)", bundle.folder, size / 1e6, time.perf_counter() - started
    )


def _write_report(finished: Finished, metrics: dict[str, float]) -> None:
    folder, started = finished.job.outputs.data_dir, time.perf_counter()
    write_report(folder, _report(finished, metrics))
    log.info("report %s (%.1f s)", folder / REPORT_NAME, time.perf_counter() - started)


def _manifest(finished: Finished, metrics: dict[str, float]) -> Manifest:
    values = finished.start.values
    return Manifest(
        arch=values.arch,
        labels=finished.data.labels.names,
        preprocess=finished.start.preprocess,
        probe=Probe(probabilities=(0.0,) * len(finished.data.labels)),
        files={},
        top_k=min(values.top_k, len(finished.data.labels)),
        metrics=metrics,
        provenance=_provenance(finished),
        trained=finished.trained,
    )


def tell_variants(manifest: Manifest) -> None:
    """One line for each way of serving the network: speed, agreement, accuracy."""
    for item in manifest.variants:
        refusal = manifest.refusal(item)
        log.info(
            "serve  %-4s %5.0f pictures/s, agrees on %.1f %% of %d pictures, accuracy %.3f%s%s",
            item.name,
            item.images_per_second,
            100 * item.agreement,
            item.num_pictures,
            item.accuracy,
            " (as trained)" if item.name == manifest.trained else "",
            f"; not used: {refusal}" if refusal else "",
        )


def _provenance(finished: Finished) -> dict[str, Any]:
    return {
        "job": finished.job.name,
        "origin": finished.start.origin,
        "hyperparameters": finished.start.values.to_strings(),
        "pictures": {judged.split: len(judged.pictures) for judged in finished.judged},
        "best_epoch": finished.fit.best_epoch,
        "device": finished.device_why,
        "versions": versions(),
    }


def _report(finished: Finished, metrics: dict[str, float]) -> RunReport:
    values, fit = finished.start.values, finished.fit
    frozen = {"none": "trunk frozen, features computed once", "last-stage": "last stage learns"}
    facts = {
        "network": f"{values.arch}, {frozen.get(values.unfreeze, 'all layers learn')}",
        "start": finished.start.origin,
        "device": finished.device_why,
        "best epoch": f"{fit.best_epoch} of {len(fit.rows)}",
        "training time": f"{finished.seconds:.1f} s",
        "seed": str(values.seed),
    }
    return RunReport(
        title=finished.job.name,
        labels=finished.data.labels,
        rows=fit.rows,
        best_epoch=fit.best_epoch,
        evaluations=tuple(_evaluation(judged) for judged in finished.judged),
        facts=facts,
        settings=values.to_strings(),
        unreadable=tuple(finished.learner.unreadable),
        metrics=metrics,
    )


def _evaluation(judged: Judged) -> Evaluation:
    return Evaluation(
        split=judged.split,
        pictures=judged.pictures,
        targets=np.array([picture.class_index for picture in judged.pictures], dtype=np.int64),
        probabilities=judged.scores.probabilities.numpy(),
    )
