"""Which cards there are: one for each job, for the study, and for the endpoint."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from contract.study import Study
from control.runs import Run
from control.submission.card import Card
from control.submission.material import Material
from control.submission.tables import number
from control.terminal import duration

ENDPOINT_API = "SageMaker's DescribeEndpoint"


def cards_of(material: Material) -> dict[str, Card]:
    """Name of the file -> card."""
    cards = {f"job-{run.folder.name}.svg": _job_card(run) for run in material.runs}
    if material.study and material.trials:
        cards["tuning.svg"] = _tuning_card(material.study.run, material.trials)
    if found := material.evidence.of("deploy"):
        cards["endpoint.svg"] = endpoint_card(found)
    return cards


def _job_card(run: Run) -> Card:
    metrics = {name: number(value) for name, value in run.metrics.items() if ":acc" in name}
    is_ours = not run.aws
    return Card(
        title=f"Training job {run.aws.get('job', run.name)}",
        facts={
            "status": run.status,
            "where": "this machine" if is_ours else f"AWS, {run.aws.get('region', '')}",
            "started": run.started_at,
            "took": duration(run.seconds),
            "billed": _billed(run.aws.get("bill", {})),
            **metrics,
            "folder": str(run.folder),
        },
        source="run.json" if is_ours else "the API's description in run.json",
        link=str(run.aws.get("console", "")),
    )


def _tuning_card(run: Run, study: Study) -> Card:
    best = study.best_trial
    completed = sum(trial.status == "Completed" for trial in study.trials)
    values = best.hyperparameters.items() if best else ()
    return Card(
        title=f"Tuning job {run.aws.get('job', run.name)}",
        facts={
            "status": study.status,
            "where": f"AWS, {run.aws['region']}" if run.aws.get("region") else "this machine",
            "strategy": study.spec.strategy,
            "objective": f"{study.spec.objective.goal} {study.spec.objective.metric}",
            "trials": f"{completed} completed of {len(study.trials)}",
            "best": f"trial {best.number}, {number(best.objective)}" if best else "",
            "with": ", ".join(f"{name} {number(value)}" for name, value in values),
        },
        source="study.json" if not run.aws else "the API's description in study.json",
        link=str(run.aws.get("console", "")),
    )


def endpoint_card(found: Mapping[str, Any]) -> Card:
    """From the document of `kennel deploy`, which holds AWS's description."""
    region, name = str(found.get("region", "")), str(found.get("endpoint", ""))
    variants = [f"{one['name']} x {one['instances']}" for one in found.get("variants", ())]
    link = (
        f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}"
        f"#/endpoints/{quote(name)}"
    )
    return Card(
        title=f"Endpoint {name}",
        facts={
            "status": str(found.get("status", "")),
            "where": f"AWS, {region}",
            "ARN": str(found.get("arn", "")),
            "configuration": str(found.get("configuration", "")),
            "variants": ", ".join(variants),
            "deleted by itself": str(found.get("expires") or "never"),
        },
        source=ENDPOINT_API,
        link=link,
    )


def _billed(bill: Mapping[str, Any]) -> str:
    if not bill:
        return ""
    usd = bill.get("usd")
    return f"{bill.get('billable_seconds', '?')} s" + ("" if usd is None else f", ${usd:.4f}")
