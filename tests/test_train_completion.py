"""When a study is over, and which of its trials is best."""

from dataclasses import replace

import pytest
from studies import spec_of

from contract.study import Trial
from train.completion import best_of, best_unfinished, why_complete, why_hopeless


def trials_of(*objectives):
    """Completed trials in their order; None for a failed one."""
    return [
        Trial(
            number=number,
            status="Failed" if objective is None else "Completed",
            hyperparameters={},
            objective=objective,
            reason="it broke" if objective is None else None,
        )
        for number, objective in enumerate(objectives, start=1)
    ]


@pytest.mark.parametrize(
    ("criterion", "objectives", "is_met"),
    [
        ({"target_objective": 0.5}, [0.7, 0.6], False),
        ({"target_objective": 0.5}, [0.7, 0.5], True),
        ({"not_improving": 3}, [1.0, 0.5, 0.6, 0.7], False),
        ({"not_improving": 3}, [1.0, 0.5, 0.6, 0.499, 0.7], True),  # 0.499 gains less than 1 %
        ({"on_convergence": True}, [1.0] * 10, False),
        ({"on_convergence": True}, [1.0] * 11, True),
    ],
)
def test_a_completion_criterion_ends_the_study(criterion, objectives, is_met):
    assert (why_complete(spec_of(**criterion), trials_of(*objectives)) is not None) == is_met


def test_five_failures_and_nothing_else_are_enough():
    spec = spec_of()
    assert why_hopeless(spec, trials_of(*[None] * 4)) is None
    assert "trial 1: it broke" in why_hopeless(spec, trials_of(*[None] * 5))
    assert why_hopeless(spec, trials_of(*[None] * 5, 1.0)) is None


def test_failures_of_earlier_sessions_are_forgiven():
    spec, before = spec_of(max_jobs=20), frozenset(range(1, 6))
    assert why_hopeless(spec, trials_of(*[None] * 9), before) is None
    assert "trial 6: it broke" in why_hopeless(spec, trials_of(*[None] * 10), before)


def test_the_best_of_the_unfinished_is_by_validation_where_test_comes_last():
    spec = spec_of(objective="test:accuracy")
    trials = trials_of(0.9, None, None, None)
    scores = [0.9, 0.5, 0.7]
    unfinished = [
        replace(one, metrics={"validation:accuracy": score})
        for one, score in zip(trials[:3], scores, strict=True)
    ]
    assert best_unfinished(spec, [*unfinished, trials[3]]).number == 3
    assert best_unfinished(spec, trials) is None


def test_the_best_is_by_the_goal_and_the_first_of_equals():
    trials = trials_of(0.5, None, 0.9, 0.9)
    assert best_of(spec_of(), trials).number == 1
    assert best_of(spec_of(objective="validation:accuracy"), trials).number == 3
