"""Importances: which of the hyperparameters that were searched made the difference."""

import logging
import math

import optuna
from optuna.trial import TrialState

from contract.tuning import TuningSpec
from train.sampler import WARM, parameter_of

log = logging.getLogger(__name__)

_FEWEST = 4  # completed trials


def importances_of(study: optuna.Study, spec: TuningSpec) -> dict[str, float]:
    """Each range's share in how much the objective varies, sum 1; empty where none can be told.

    Source: Hutter et al., 2014 (fANOVA).
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = [one.value for one in done if WARM not in one.user_attrs]
    if len(values) < _FEWEST or len(set(values)) < 2:
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
