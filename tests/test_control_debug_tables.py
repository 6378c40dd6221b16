"""[debugger] and [profiler] of a job description: read closed, completed, laid out."""

import json

import pytest
from debug_tables import collections, reader_below
from smdebug_config import as_smdebug_reads

from contract.errors import SpecError
from contract.hook_config import READY_REGEXES, HookConfig
from contract.opt_ml import OptMl, read_job, write_job
from contract.profiler_config import DETAILED, ProfilerConfig, Window
from control.cli import main
from control.tuning_file import read_tuning


@pytest.fixture
def debug_of(tmp_path):
    return reader_below(tmp_path)


def test_without_the_tables_nothing_is_saved_measured_or_watched(debug_of):
    debug = debug_of("")
    assert (debug.hook, debug.profiler, debug.rules, debug.notes) == (None, None, (), ())


def test_an_empty_debugger_table_saves_the_usual_and_picks_its_interval(debug_of):
    debug = debug_of("[debugger]\n")
    assert sorted(collections(debug)) == ["biases", "gradients", "losses", "weights"]
    assert debug.hook.parameters == {"save_interval": "auto"}
    assert debug.rules == ()


def test_what_is_laid_out_is_what_sagemaker_writes(debug_of, tmp_path):
    """The shape of the API's DebugHookConfig: text only, absent where nothing is said."""
    debug = debug_of(
        "[debugger]\nsave_interval = 10\ntrain_save_interval = 5\n"
        'collections = ["losses", {name = "fc", include_regex = [".*fc", "head.*"]}]\n'
        "[profiler]\nfirst_steps = 50\n"
    )
    write_job(tmp_path / "ml", {}, {}, hook=debug.hook, profiler=debug.profiler)
    config = OptMl(tmp_path / "ml").config_dir
    assert json.loads((config / "debughookconfig.json").read_text()) == {
        "S3OutputPath": "",
        "HookParameters": {"save_interval": "10", "train.save_interval": "5"},
        "CollectionConfigurations": [
            {"CollectionName": "losses"},
            {"CollectionName": "fc", "CollectionParameters": {"include_regex": ".*fc,head.*"}},
        ],
    }
    profiler = json.loads((config / "profilerconfig.json").read_text())
    assert profiler["ProfilingIntervalInMilliseconds"] == 500
    assert profiler["ProfilingParameters"]["DetailedProfilingConfig"] == (
        '{"StartStep": 0, "NumSteps": 50}'
    )
    job = read_job(tmp_path / "ml", {})
    assert (job.hook, job.profiler) == (debug.hook, debug.profiler)


def test_smdebug_reads_the_file_as_it_is_meant(debug_of, tmp_path):
    debug = debug_of(
        "[debugger]\nsave_interval = 10\neval_save_interval = 20\n"
        'collections = ["losses", "relu_output",\n'
        ' {name = "fc", include_regex = ".*fc", save_interval = 25, '
        'reductions = ["mean", "abs_max", "l2_norm"]},\n'
        ' {name = "some", include_regex = "x", save_steps = [3, 7]},\n'
        ' {name = "late", include_regex = "y", start_step = 20, end_step = 50}]\n'
    )
    path = tmp_path / "debughookconfig.json"
    path.write_text(json.dumps(debug.hook.to_json()))
    found = as_smdebug_reads(path)
    tens = list(range(0, 60, 10))
    assert found["losses"]["steps"] == {"TRAIN": tens, "EVAL": [0, 20, 40]}
    assert found["relu_output"]["regex"] == [READY_REGEXES["relu_output"]]
    assert found["fc"]["steps"]["TRAIN"] == [0, 25, 50]
    assert found["fc"]["reductions"] == ["mean", "abs_max", "l2_norm"]
    assert found["some"]["steps"] == {"TRAIN": [3, 7], "EVAL": [3, 7]}, "these, and no others"
    assert found["late"]["steps"]["TRAIN"] == [20, 30, 40]


def test_tables_of_collections_come_besides_the_usual_ones(debug_of):
    debug = debug_of('[debugger.collections.fc]\ninclude_regex = ".*fc"\nsave_interval = 5\n')
    found = collections(debug)
    assert found["fc"] == {"include_regex": ".*fc", "save_interval": "5"}
    assert sorted(found) == ["biases", "fc", "gradients", "losses", "weights"]


@pytest.mark.parametrize(
    ("given", "auto"),
    [
        ("start_step = 3", True),
        ("train_save_interval = 3", True),
        ("train_save_interval = 3\neval_save_interval = 1", False),
        ("save_steps = [1]", False),
    ],
)
def test_the_interval_is_picked_for_whatever_is_not_told_its_steps(debug_of, given, auto):
    debug = debug_of(f"[debugger]\n{given}\n")
    assert (debug.hook.parameters.get("save_interval") == "auto") is auto


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[debuger]\n", "'debuger'; did you mean 'debugger'"),
        ("[debugger]\nsave_intervall = 3\n", "'save_intervall'; did you mean 'save_interval'"),
        ("[debugger]\nsave_interval = 0\n", 'whole number >= 1 or "auto", got 0'),
        ('[debugger]\neval_save_interval = "Auto"\n', "whole number >= 1 or"),
        ('[debugger]\ncollections = ["gradient"]\n', "did you mean 'gradients'"),
        ('[debugger]\ncollections = ["losses", "losses"]\n', "'losses' is there twice"),
        ('[debugger]\ncollections = "losses"\n', "expected a list such as"),
        ('[debugger]\nreductions = ["median"]\n', "unknown reduction 'median'"),
        ('[debugger]\nreductions = ["abs_men"]\n', "did you mean 'abs_mean'"),
        ('[debugger]\ninclude_regex = "("\n', "no regular expression"),
        ('[debugger]\ninclude_regex = "a{1,2}"\n', "holds a comma"),
        ('[debugger]\nsave_all = "yes"\n', "expected true or false, got 'yes'"),
        ("[debugger.collections.fc]\n", "needs an include_regex"),
        ("[debugger.collections.fc]\nregex = 1\n", r"debugger\.collections\.fc: unknown name"),
        ("[profiler]\ninterval_ms = 50\n", "expected 100 to 60000"),
        ("[profiler]\ninterval = 500\n", "did you mean 'interval_ms'"),
        ("[profiler]\nfirst_steps = 5\nsteps = [1, 2]\n", "first_steps and steps"),
        ("[profiler]\nsteps = 5\n", r"expected \[start, count\], got 5"),
        ("[rules.VanishingGradients]\n", "did you mean VanishingGradient"),
        ("[rules.TreeDepth]\n", "for XGBoost's trees"),
        ("[rules.Mine]\n", 'one of your own needs source = "FILE.py" with the class Mine'),
        ("[rules.Overfit]\npatiense = 3\n", "no parameter 'patiense'; did you mean patience"),
        ('[rules.Overfit]\npatience = "many"\n', "patience: expected a whole number"),
        ('[rules.Overfit]\nactions = ["explode"]\n', r"rules\.Overfit\.actions: action: expected"),
        (
            '[rules.mine]\nrule = "BatchSize"\nactions = ["stop"]\n',
            r"rules\.mine: rule BatchSize cannot \"stop\" a job",
        ),
        ('[rules.MyRule]\nsource = "nowhere.py"\n', "nowhere.py cannot be read"),
        ('[rules.MyRul]\nsource = "my_rule.py"\n', "did you mean 'MyRule'"),
        ('[rules."a/b"]\nrule = "Overfit"\n', "'a/b': expected at most 64 letters"),
        ('[rules.AllZero]\ncollection_names = "fc"\n', "rule AllZero: collection 'fc'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(debug_of, text, says):
    with pytest.raises(SpecError, match=says):
        debug_of(text)


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("first_steps = 50", Window(start_step=0, num_steps=50)),
        ("steps = [5, 10]", Window(start_step=5, num_steps=10)),
        ("seconds = [1700000000, 2.5]", Window(start_unix_time=1700000000, duration_seconds=2.5)),
    ],
)
def test_operators_are_profiled_by_steps_or_by_time(debug_of, text, window):
    debug = debug_of(f"[profiler]\ninterval_ms = 5000\n{text}\n")
    assert debug.profiler.windows == {DETAILED: window}
    assert debug.profiler.interval_ms == 5000
    assert [rule.name for rule in debug.rules] == ["ProfilerReport"], "as the SDK adds it"


def test_a_job_without_tables_writes_no_debug_files(tmp_path):
    write_job(tmp_path, {}, {})
    names = {path.name for path in OptMl(tmp_path).config_dir.iterdir()}
    assert not {"debughookconfig.json", "profilerconfig.json"} & names
    assert HookConfig().is_default


def test_a_study_goes_without_the_tables_of_its_job_and_refuses_its_own(debug_of, tmp_path, capsys):
    debug_of("[debugger]\n[rules.Overfit]\n")
    study = tmp_path / "study.toml"
    text = 'job = "job.toml"\n[tuning]\nobjective = "validation:loss"\nmax_jobs = 2\n'
    study.write_text(text + "[ranges]\nlr = [0.1, 0.2]\n")
    tuning = read_tuning(study)
    assert tuning.job_debug.is_on
    assert not tuning.study_job().debug.is_on
    assert main(["tune", str(study), "--show"]) == 0
    assert "the trials of a study go without them" in capsys.readouterr().err
    study.write_text(text + "[ranges]\nlr = [0.1, 0.2]\n[debugger]\n")
    with pytest.raises(SpecError, match=r"\[debugger\]: a study has neither Debugger nor profiler"):
        read_tuning(study)


def test_show_says_what_would_be_saved_measured_and_watched(debug_of, tmp_path, capsys):
    debug_of("[profiler]\nfirst_steps = 50\n")
    words = ["run", str(tmp_path / "job.toml"), "--show"]
    rule = "VanishingGradient:threshold=1e-6,actions=stop"
    assert main([*words, "--debug", "--rule", rule]) == 0
    out = capsys.readouterr().out
    assert "tensors          weights, gradients, biases; save_interval auto\n" in out
    assert "profiler         every 500 ms; operators of 50 steps from step 0 on\n" in out
    assert "rule             VanishingGradient threshold=1e-6; when it fires: stop\n" in out
    assert "-m debugger rules runs/NNNN-job --config" in out
    assert main([*words, "-o", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["hook"] is None
    assert ProfilerConfig.from_json(plan["profiler"]).windows[DETAILED].num_steps == 50
    assert [rule["rule"] for rule in plan["rules"]] == ["ProfilerReport"]
    assert main([*words, "--find-lr"]) == 0
    assert "--find-lr goes without [debugger]" in capsys.readouterr().out
