"""Importances: which of the hyperparameters that were searched made the difference."""

import logging
import math
from collections.abc import Iterable

import optuna
from optuna.trial import TrialState

from contract.study import Trial
from contract.tuning import TuningSpec
from train.sampler import WARM, distributions, from_value, parameter_of

log = logging.getLogger(__name__)

_FEWEST, _FEWEST_A_RANGE = 4, 2  # completed trials; shares of fewer are made of chance


def importances_of(study: optuna.Study, spec: TuningSpec) -> dict[str, float]:
    """Each range's share in how much the objective varies, sum 1; empty where none can be told.

    Source: Hutter et al., 2014 (fANOVA).
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = [one.value for one in done if WARM not in one.user_attrs]
    fewest = max(_FEWEST, _FEWEST_A_RANGE * len(spec.ranges))
    if len(values) < fewest or len(set(values)) < 2:
        return {}
    # Imported here: it takes a second, for scikit-learn, which sets variables of the process.
    from optuna import importance

    evaluator = importance.FanovaImportanceEvaluator(seed=0)
    try:
        found = importance.get_param_importances(study, evaluator=evaluator)
    except (RuntimeError, ValueError) as error:  # its trees found nothing to split by
        log.debug("no importances: %s", error)
        return {}
    shares = {
        name: float(found.get(parameter_of(name, one), 0.0)) for name, one in spec.ranges.items()
    }
    return shares if all(map(math.isfinite, shares.values())) else {}


def importances_in(trials: Iterable[Trial], spec: TuningSpec) -> dict[str, float]:
    """The same for trials that ran elsewhere, such as SageMaker's."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=spec.objective.goal.lower())
    wanted = distributions(spec.ranges)
    for trial in trials:
        params = {
            parameter_of(name, one): from_value(one, trial.hyperparameters[name])
            for name, one in spec.ranges.items()
            if name in trial.hyperparameters
        }
        is_whole = params.keys() == wanted.keys() and None not in params.values()
        if trial.status == "Completed" and trial.objective is not None and is_whole:
            study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=wanted, value=trial.objective
                )
            )
    return importances_of(study, spec)
