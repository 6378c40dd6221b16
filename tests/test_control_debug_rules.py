"""[rules] of a job description: what they turn on, their parameters, actions and own files."""

import json

import pytest
from debug_tables import OWN, collections, reader_below
from smdebug_config import as_smdebug_reads

from contract.hook_config import READY_REGEXES
from contract.profiler_config import ProfilerConfig
from contract.rules import Action


@pytest.fixture
def debug_of(tmp_path):
    return reader_below(tmp_path)


def test_rules_bring_the_collections_that_they_need(debug_of):
    debug = debug_of(
        '[debugger]\ncollections = ["losses"]\n[rules.VanishingGradient]\n'
        '[rules.DeadRelu]\ntensor_regex = ".*act_output"\n'
    )
    assert collections(debug) == {
        "losses": {},
        "gradients": {},
        "relu_output": {"include_regex": ".*act_output"},
    }
    assert debug.notes == (
        "rule VanishingGradient needs gradients: saved, too",
        "rule DeadRelu needs relu_output: saved, too",
    )


def test_rules_turn_on_what_they_look_at(debug_of):
    debug = debug_of("[rules.PoorWeightInitialization]\n[rules.CPUBottleneck]\n")
    assert debug.profiler == ProfilerConfig()
    assert collections(debug)["relu_input"] == {
        "include_regex": READY_REGEXES["relu_input"],
        "reductions": "variance",
        "save_interval": "5",
        "end_step": "10",
    }, "activations are large: no more than the rule looks at"
    assert "losses, weights, gradients, biases are saved" in debug.notes[0]
    assert any("CPUBottleneck needs the profiler" in note for note in debug.notes)


def test_rules_with_names_of_other_frameworks_look_for_ours(debug_of):
    debug = debug_of("[rules.ClassImbalance]\nsamples = 10\n[rules.Confusion]\n")
    found = collections(debug)
    assert found["labels"] == {"include_regex": READY_REGEXES["labels"]}
    assert found["predictions"] == {"include_regex": READY_REGEXES["predictions"]}
    imbalance, confusion = debug.rules
    assert imbalance.parameters == {
        "samples": "10",
        "labels_regex": READY_REGEXES["labels"],
        "predictions_regex": READY_REGEXES["predictions"],
        "argmax": "true",
    }
    assert confusion.parameters == {}, "it finds them by their collections"


def test_rules_that_are_told_names_keep_them(debug_of):
    debug = debug_of('[rules.ClassImbalance]\nlabels_regex = "mine"\n')
    assert debug.rules[0].parameters == {"labels_regex": "mine"}
    assert "labels" not in collections(debug)


def test_the_first_losses_are_saved_for_the_rule_that_looks_at_them(debug_of, tmp_path):
    debug = debug_of(
        "[debugger]\nsave_interval = 25\n[rules.PoorWeightInitialization]\nsteps = 4\n"
    )
    path = tmp_path / "debughookconfig.json"
    path.write_text(json.dumps(debug.hook.to_json()))
    found = as_smdebug_reads(path)
    assert found["losses"]["steps"]["TRAIN"] == [0, 1, 2, 3, 25, 50]
    assert found["gradients"]["steps"]["TRAIN"] == [0, 25, 50]
    assert found["relu_input"]["steps"]["TRAIN"] == [0]


def test_a_rule_has_parameters_and_actions_beside_them(debug_of):
    (rule,) = debug_of(
        "[rules.Gone]\nrule = 'VanishingGradient'\nthreshold = 1e-7\n"
        'actions = ["stop", {webhook = "https://example.org/x"}]\n'
    ).rules
    assert (rule.name, rule.rule, rule.values()) == (
        "Gone",
        "VanishingGradient",
        {"threshold": 1e-7},
    )
    assert rule.actions == (
        Action(name="stop"),
        Action(name="webhook", url="https://example.org/x"),
    )


def test_a_rule_of_ones_own_is_found_beside_the_file_and_not_run(debug_of, tmp_path):
    (tmp_path / "my_rule.py").write_text(OWN + "raise SystemExit('it was run')\n")
    (rule,) = debug_of(
        '[rules.MyRule]\nsource = "my_rule.py"\nlimit = 3\nnames = ["a", "b"]\n'
    ).rules
    assert rule.source == str(tmp_path / "my_rule.py")
    assert rule.parameters == {"limit": "3", "names": "a,b"}
