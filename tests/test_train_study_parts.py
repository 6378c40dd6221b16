"""What the page of a study is made of: sentences, tiles, tables, and places in figures."""

import math

import pytest
from finished_studies import RANGES, spec, study, trial

from contract.study import Study
from contract.theme import LIGHT
from contract.trial_line import describe_values
from train import study_files
from train.study_axes import ObjectiveScale, RangeAxis
from train.study_curves import draw_trial_curves
from train.study_history import best_so_far
from train.study_lines import describe_range, tell_end
from train.study_page import build_study_page
from train.study_slices import touch
from train.study_story import build_tiles, tell_study, to_duration
from train.study_table import best_settings, trials_table


def test_the_first_sentence_names_value_trial_and_hyperparameters():
    told = tell_study(study(2.1, 1.9, 2.0))
    assert (
        told[0] == "Trial 2 is the best of 3: test:loss 1.9000, with lr 0.0012 and batch-size 32."
    )
    assert told[1] == (
        "That is 0.2000 lower than the first trial (2.1000) and 0.1000 lower than the median trial"
        " (2.0000)."
    )


@pytest.mark.parametrize(
    ("objectives", "sentence"),
    [
        ([2.1, 2.0, 1.9], "too few trials"),
        ([*[2.1] * 4, 1.5, *[2.0] * 8], "The last 8 trials found nothing better."),
        ([*[2.1] * 4, 1.5, *[2.0] * 10], "10 trials found nothing better: more would hardly help."),
        ([1.5, *[2.0] * 8], "The last 8 trials found nothing better within these ranges."),
        ([2.1, 1.5, *[2.0] * 5], "too few trials"),
        ([2.1, *[2.0] * 8, 1.5], "came late in the search"),
        ([2.0] * 8, "came to the same value"),
        ([1.5, *[2.0] * 8], "at the lower end of the range 0.001 to 0.1"),
        ([None, 2.0], "1 trial failed; trial 1: no reason is known."),
        ([None, None], "No trial has come to a test:loss yet."),
        ([], "No trial has begun."),
    ],
)
def test_the_page_says_what_to_make_of_the_search(objectives, sentence):
    assert sentence in " ".join(tell_study(study(*objectives)))


def test_the_most_important_hyperparameter_is_named_unless_nothing_differs():
    importances = {"batch-size": 0.2, "lr": 0.8}
    told = tell_study(study(2.1, 1.9, 2.0, importances=importances))
    assert any("lr mattered most: 80 %" in line and "batch-size, 20 %" in line for line in told)
    same = study(2.0, 2.0, importances=importances)
    assert "mattered" not in " ".join(tell_study(same))
    assert "<h2>Importance</h2>" not in build_study_page(same)


def test_a_price_adds_the_cost_of_all_trials_together():
    tiles = build_tiles(study(2.0, 1.9, 1.8), 3600.0)  # 3 + 4 + 5 seconds
    assert [tile.value for tile in tiles if tile.name == "Cost"] == ["$12.00"]
    cheap = build_tiles(study(2.0, 1.9, 1.8), 3.0)
    assert [tile.value for tile in cheap if tile.name == "Cost"] == ["$0.0100"]
    assert not [tile for tile in build_tiles(study(2.0), None) if tile.name == "Cost"]
    table = trials_table(study(2.0, 1.9, 1.8), 3600.0)
    assert all(f">{cost}.0000<" in table for cost in (3, 4, 5))
    assert "cost" not in trials_table(study(2.0))


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (61, "61 s"), (130, "2.2 min"),
                           (86400, "24.0 h")]
)  # fmt: skip
def test_durations_are_read_at_a_glance(seconds, words):
    assert to_duration(seconds) == words


def test_places_follow_the_scaling_of_the_range():
    momentum = {"min": 0.5, "max": 0.995, "scaling": "ReverseLogarithmic"}
    ranges = spec(ranges={**RANGES, "momentum": momentum}).ranges
    places = {name: RangeAxis.of(name, one) for name, one in ranges.items()}
    middle = trial(1, 1.0, hyperparameters={"lr": 0.01, "batch-size": 0, "momentum": 0.95})
    assert places["lr"].place(middle) == pytest.approx(0.5)
    assert places["batch-size"].place(middle) == 0
    assert places["momentum"].place(middle) == pytest.approx(math.log(0.5 / 0.05) / math.log(100))
    assert places["batch-size"].ticks[0] == (0.0, "auto")
    assert [text for _, text in places["lr"].ticks] == ["0.001", "0.003", "0.01", "0.03", "0.1"]


def test_batch_size_auto_is_a_word_in_tables_lines_and_settings():
    given = spec(static={"arch": "resnet18"})
    chosen = trial(1, 1.0)
    whole = Study(spec=given, trials=(chosen,), best=1)
    assert ",0.001,auto," in study_files.trials_table(whole)
    assert describe_range("batch-size", given.ranges["batch-size"]) == "auto, 32, 64, 128"
    assert describe_values(chosen.hyperparameters) == "lr 0.001, batch-size auto"
    assert "batch-size = &quot;auto&quot;" in best_settings(whole, chosen)


@pytest.mark.parametrize(
    ("bounds", "is_crowded"), [((0.001, 0.1), False), ((0.0003, 0.3), True), ((0.5, 0.9), False)]
)
def test_labels_of_a_slice_do_not_run_together(bounds, is_crowded):
    low, high = bounds
    ranges = spec(ranges={"lr": {"min": low, "max": high, "scaling": "Logarithmic"}}).ranges
    assert touch(RangeAxis.of("lr", ranges["lr"]).ticks) == is_crowded


def test_a_trial_of_one_epoch_is_seen_among_longer_ones():
    def drawn(value):
        short = trial(3, 1.9, curves=({"epoch": 1, "validation:loss": value},))
        whole = study(trials=(trial(1, 1.5), trial(2, 1.6), short), best=1)
        return draw_trial_curves(whole, "validation:loss", LIGHT)

    assert drawn(2.6) == drawn(2.6)
    assert drawn(2.6) != drawn(2.4)


def test_one_diverged_trial_does_not_flatten_the_others():
    scale = ObjectiveScale.of(study(2.0, 2.1, 1.9, 2.05, 1.95, 9000.0))
    assert scale.low < 1.9
    assert 2.1 < scale.high < 3
    assert scale.goodness(9000.0) == 0 < scale.goodness(2.1) < scale.goodness(1.9)


def test_best_so_far_passes_over_failed_and_stopped_trials():
    trials = (trial(0, None), trial(1, 2.0), trial(2, 1.0, status="Stopped"), trial(3, 1.5))
    assert best_so_far(study(trials=trials, best=3)) == ([1, 3], [2.0, 1.5])


def test_a_session_without_a_trial_says_so(caplog):
    with caplog.at_level("INFO"):
        tell_end(study(trials=(), best=None, reason="told to stop"), has_bundle=False)
    assert "study  no trial has ended in 60.0 s; told to stop" in caplog.messages
