"""Package: the files of a submission, laid into a folder. Nothing is made up: what did not run is
not there, and the checklist says so.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from contract.files import cannot_write, write_text
from contract.opt_ml import OptMl
from control.aws.ec2.run_ec2 import EC2_INSTANCE
from control.runs import LOG_NAME, Run
from control.submission import findings
from control.submission.card import draw_card
from control.submission.cards import cards_of
from control.submission.evidence import is_executed
from control.submission.material import Material
from control.submission.samples import samples
from control.submission.tables import (
    Table,
    classes_table,
    number,
    predictions_table,
    ranges_table,
    table_of,
    trials_table,
)
from control.submission.toml_text import job_toml, tuning_toml

READY = "notebook/ready_to_run.ipynb"
DONE = "notebook/train_and_deploy.ipynb"
LEFT_PICTURES = ("curves.png", "confusion.png", "worst.png")  # by training


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A folder that is being filled."""

    folder: Path
    material: Material
    made_at: datetime

    def files(self) -> list[str]:
        """What is there, by names with slashes."""
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.folder).as_posix() for path in paths)

    def fill(self) -> None:
        """Everything but README and checklist. Raises HostError, SpecError."""
        self._notebook()
        self._evidence()
        self._study()
        for name, card in cards_of(self.material).items():
            self._text(f"cards/{name}", draw_card(card, self.made_at))
        self._jobs()
        if run := self.material.run:
            self._training(run)
            self._debugging(run)
        self._samples()

    def _notebook(self) -> None:
        if path := self.material.notebook:
            self._copy(path, DONE if is_executed(path) else READY)

    def _evidence(self) -> None:
        evidence = self.material.evidence
        for path in evidence.pictures:
            self._copy(path, f"images/{path.name}")
        for name in evidence.documents:
            self._copy(evidence.folder / f"{name}.json", f"evidence/{name}.json")
        if check := evidence.of("data"):
            self._table("classes", classes_table(check))
        if found := evidence.of("predict"):
            self._table("predictions", predictions_table(found))
        deployed = evidence.of("lambda-deploy")
        kept = {
            name: deployed[name]
            for name in ("provisioned_concurrency", "reserved_concurrency")
            if deployed.get(name) is not None and deployed[name] != 0
        }
        if kept:
            self._table("concurrency", table_of(("kind", "instances"), list(kept.items())))

    def _study(self) -> None:
        found, study = self.material.study, self.material.trials
        if found is None or study is None:
            return
        self._text("scripts/tuning.toml", tuning_toml(study, found.run))
        self._copy(found.run.report, "reports/study.html")
        if len(study.spec.to_json()["ranges"]) > 1:
            self._table("ranges", ranges_table(study))
        if sum(trial.objective is not None for trial in study.trials) > 1:
            self._table("trials", trials_table(study))
        if best := study.best_trial:
            self._text("tables/best.json", json.dumps(dict(best.hyperparameters), indent=2) + "\n")

    def _jobs(self) -> None:
        header = ("job", "where", "machines", "seconds", "usd")
        rows = {run.folder.name: _job_row(run) for run in self.material.runs}
        several = [row for row in rows.values() if row[2] > 1]
        in_ec2 = [rows[run.folder.name] for run in self.material.runs if _is_ec2(run)]
        for name, kept in {
            "jobs": list(rows.values()),
            "jobs-several": several,
            "jobs-ec2": in_ec2,
        }.items():
            if kept:
                self._table(name, table_of(header, kept))

    def _training(self, run: Run) -> None:
        data = OptMl(run.folder).output_data_dir
        self._text("scripts/job.toml", job_toml(run))
        self._copy(data / "metrics.csv", "tables/metrics.csv")
        self._copy(run.folder / LOG_NAME, "logs/train.log")
        self._copy(run.report, "reports/training.html")
        for name in LEFT_PICTURES:
            self._copy(data / name, f"images/{name}")

    def _debugging(self, run: Run) -> None:
        evidence = self.material.evidence
        if path := findings.rules_file(run):
            self._copy(path, "reports/rules.json")
        elif run.rules:
            self._json("reports/rules.json", [dict(one) for one in run.rules])
        if text := findings.findings_text(run):
            self._text("reports/findings.txt", text + "\n")
        drawn = self.folder / "images" / findings.PICTURE
        drawn.parent.mkdir(parents=True, exist_ok=True)
        if (plot := findings.variable_plot(run, evidence, drawn)) and plot != drawn:
            self._copy(plot, f"images/{findings.PICTURE}")
        if page := findings.profile_page(run, evidence):
            self._copy(page, "reports/profiler-report.html")
        asked = self.folder / "asked"
        sentences = findings.profile_sentences(run, evidence, asked)
        shutil.rmtree(asked, ignore_errors=True)
        if sentences:
            self._text("reports/profiler.txt", "\n".join(sentences) + "\n")

    def _samples(self) -> None:
        deployed, run = self.material.evidence.of("deploy"), self.material.run
        told = samples(
            str(deployed.get("endpoint", "")),
            str(deployed.get("region", "")),
            str(run.folder) if run else "",
        )
        for name, text in told.items():
            self._text(f"scripts/{name}", text)

    def _table(self, name: str, table: Table) -> None:
        self._text(f"tables/{name}.csv", table.csv)

    def _json(self, name: str, value: Any) -> None:
        self._text(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def _text(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)

    def _copy(self, source: Path, name: str) -> None:
        """A file that is not there is left out."""
        if not source.is_file():
            return
        target = self.folder / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            raise cannot_write(target, error) from error


def _job_row(run: Run) -> tuple[str, str, int, str, str]:
    bill: Mapping[str, Any] = run.aws.get("bill", {})
    where = str(bill.get("instance_type") or "AWS") if run.aws else "this machine"
    usd = bill.get("usd")
    cost = "-" if usd is None else f"{usd:.4f}"
    return (run.folder.name, where, _num_machines(run), number(round(run.seconds, 1)), cost)


def _num_machines(run: Run) -> int:
    hosts = run.folder / "hosts"  # of a job of several containers here
    here = sum(path.is_dir() for path in hosts.iterdir()) if hosts.is_dir() else 1
    return int(run.aws.get("bill", {}).get("instance_count") or here)


def _is_ec2(run: Run) -> bool:
    return bool(run.aws.get("kind") == EC2_INSTANCE)
