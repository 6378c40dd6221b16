"""Parents: trials of earlier studies that a warm start learns from."""

import logging
from dataclasses import replace
from pathlib import Path

from contract.errors import SpecError
from contract.hyperparameters import parse_hyperparameters
from contract.setting import Value
from contract.study import PARENTS_NAME, STUDY_NAME, Study, Trial, read_study
from contract.tuning import TuningSpec
from train.sampler import from_value

log = logging.getLogger(__name__)


def read_parents(spec: TuningSpec, checkpoint_dir: Path | None) -> dict[str, Trial]:
    """Completed trials of the parents whose values lie in our ranges, by `STUDY:NUMBER`.

    They are named by the parent's study and not by its folder, which another host has elsewhere;
    a second parent of the same name counts up, `STUDY-2:NUMBER`.

    A hyperparameter that a parent did not search has the value that all its trials had. Both types
    of warm start read alike: SageMaker's differ in what may have changed between the jobs.

    Raises SpecError: a parent is not there, is damaged, or had another objective.
    """
    if spec.warm_start is None:
        return {}
    found: dict[str, Trial] = {}
    names: list[str] = []
    for parent in spec.warm_start.parents:
        study = read_study(_find(parent, checkpoint_dir))
        if study.spec.objective != spec.objective:
            raise SpecError(
                f"warm_start: {parent} was tuned for {study.spec.objective.metric} "
                f"({study.spec.objective.goal}), this study for {spec.objective.metric} "
                f"({spec.objective.goal}): take a parent with the same objective"
            )
        done = [one for one in study.trials if one.status == "Completed"]
        fitting = [one for trial in done if (one := _fit(spec, study, trial)) is not None]
        names.append(study.spec.name)
        times = names.count(study.spec.name)
        name = study.spec.name if times == 1 else f"{study.spec.name}-{times}"
        found |= {f"{name}:{one.number}": one for one in fitting}
        left_out = len(done) - len(fitting)
        log.info(
            "warm   %d trials of %s%s",
            len(fitting),
            parent,
            f"; {left_out} have values outside of our ranges" if left_out else "",
        )
    return found


def _find(parent: str, checkpoint_dir: Path | None) -> Path:
    """A study.json, a folder that has one, or what was laid beside our checkpoints."""
    path = Path(parent)
    places = [path, path / STUDY_NAME, path / "output" / "data" / STUDY_NAME]
    if checkpoint_dir is not None:
        places.append(checkpoint_dir / PARENTS_NAME / f"{path.name}.json")
    for place in places:
        if place.is_file():
            return place
    raise SpecError(
        f"warm_start.parents: {parent}: expected a study's folder or {STUDY_NAME}, there is "
        f"nothing at {', '.join(str(place) for place in places[1:])}"
    )


def _fit(spec: TuningSpec, study: Study, trial: Trial) -> Trial | None:
    """The trial with a value for each of our ranges; None where one lies outside."""
    if trial.objective is None:
        return None
    parsed = parse_hyperparameters(study.spec.static).values
    fixed: dict[str, Value] = {
        name: getattr(parsed, name.replace("-", "_")) for name in spec.ranges
    }
    values = {**fixed, **{name: trial.hyperparameters[name] for name in study.spec.ranges}}
    if any(from_value(one, values[name]) is None for name, one in spec.ranges.items()):
        return None
    return replace(trial, hyperparameters=values)
