"""The command `python -m debugger`: what it prints, where it writes, how it ends."""

import json

import numpy as np
import pytest
from debugging import LARGE, SMALL, job, run

from debugger.main import main

WIDE = np.array([[1, -1], [2, -2]], np.float32)
PRINTS = """
from smdebug.rules.rule import Rule

class Prints(Rule):
    def __init__(self, base_trial, text="nothing"):
        super().__init__(base_trial)
        self.text = text

    def invoke_at_step(self, step):
        print(self.text)
        self.logger.info(f"logged {step}")
        return False
"""


def test_results_are_one_json_object_a_line_and_an_issue_is_exit_code_1(tmp_path):
    (tmp_path / "prints.py").write_text(PRINTS)
    source = job(tmp_path / "job", LARGE, SMALL)
    done = run(
        "rules", source, "--rule", "VanishingGradient:threshold=1e-6",
        "--own", f"{tmp_path / 'prints.py'}:Prints:text=a,b", "--rule", "VanishingGradient",
    )  # fmt: skip
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["result"]["name"] for one in events] == [
        "VanishingGradient", "VanishingGradient-2", "Prints",
    ]  # fmt: skip
    assert [one["result"]["status"] for one in events] == [
        "IssuesFound", "IssuesFound", "NoIssuesFound",
    ]  # fmt: skip
    assert events[0]["result"]["parameters"] == {"threshold": 1e-6}
    assert done.returncode == 1
    assert done.stderr.splitlines().count("a,b") == 3
    assert "logged 2" in done.stderr  # every time: smdebug's own log falls silent after three
    assert sorted(one.name for one in (source / "rule-output").iterdir()) == [
        "Prints", "VanishingGradient", "VanishingGradient-2", "rules.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "code"),
    [("ExplodingTensor", 0), ("VanishingGradient", 1), ("WeightUpdateRatio", 3)],
)
def test_exit_codes_tell_fine_from_found_from_not_judged(tmp_path, rule, code, capsys):
    source = job(tmp_path, SMALL)
    words = ["rules", str(source), "--rule", rule, "--rule", "ExplodingTensor"]
    assert main(words) == code
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ruels", "x"], "unknown command 'ruels'; did you mean rules?"),
        ([], "see `python -m debugger --help`"),
        (["rules"], "SOURCE"),
        (["rules", "SOURCE", "--folow"], "'--folow'; did you mean --follow?"),
        (["rules", "SOURCE", "--rule", "Vanishing"], "did you mean VanishingGradient?"),
        (["rules", "SOURCE", "--rule", "Overfit:patienc=1"], "did you mean patience?"),
        (["rules", "SOURCE", "--rule", "Overfit:patience=x"], "expected a whole number"),
        (["rules", "SOURCE", "--rule", "Overfit:patience"], "expected PARAMETER=VALUE"),
        (["rules", "SOURCE", "--rule", "AllZero"], "collection_names or tensor_regex"),
        (["rules", "SOURCE", "--rule", "TreeDepth"], "is for XGBoost's trees"),
        (["rules", "SOURCE", "--own", "my_rule"], "expected FILE.py:CLASS"),
        (["rules", "SOURCE", "--own", "gone.py:Rule"], "gone.py"),
        (["rules", "SOURCE", "--config", "gone.json"], "gone.json does not exist"),
        (["rules", "gone"], "expected a job's folder"),
        (["rules", "EMPTY"], "neither saved tensors nor a profile"),
        (["tensors", "SOURCE", "--regex", "("], "is no regular expression"),
        (["rules", "SOURCE", "--rule", "DeadRelu:tensor_regex=("], "is no regular expression"),
        (["tensors", "EMPTY"], "no debugging data was saved"),
        (["plot", "SOURCE", "los", "--out", "x.png"], "did you mean loss?"),
        (["plot", "SOURCE", "gradient/fc:median", "--out", "x.png"], "no reduction 'median'"),
        (["plot", "SOURCE", "loss", "--out", "x.pdf"], "ends in .png or .svg"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_with_exit_code_2(tmp_path, words, says, capsys):
    (tmp_path / "empty").mkdir()
    places = {"SOURCE": str(job(tmp_path / "job", LARGE)), "EMPTY": str(tmp_path / "empty")}
    assert main([places.get(word, word) for word in words]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith("debugger: ")
    assert says in err


def test_help_goes_to_stdout_and_is_no_error(capsys):
    assert main(["rules", "--help"]) == 0
    out, err = capsys.readouterr()
    assert ("--follow" in out, err) == (True, "")


def test_a_mistake_of_ours_has_an_exit_code_that_no_result_has(tmp_path, capsys):
    source, config = job(tmp_path / "job", LARGE), tmp_path / "rules.json"
    config.write_text("[" * 100_000)  # more than Python's parser takes, and we have no word for it
    assert main(["rules", str(source), "--config", str(config)]) == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("debugger: ")


def test_a_config_file_holds_rules_as_kennel_writes_them(tmp_path, capsys):
    source, config = job(tmp_path / "job", SMALL), tmp_path / "rules.json"
    rule = {"name": "mine", "rule": "VanishingGradient", "parameters": {"threshold": "1"},
            "source": "", "actions": ["stop"]}  # fmt: skip
    config.write_text(json.dumps({"rules": [rule]}))
    assert main(["rules", str(source), "--config", str(config), "--out", str(tmp_path / "o")]) == 1
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in events] == ["result", "action"]
    assert (tmp_path / "o/mine/report.json").is_file()
    config.write_text('{"rules": {}}')
    assert main(["rules", str(source), "--config", str(config)]) == 2


def test_without_a_word_about_rules_the_five_classic_ones_are_asked(tmp_path, capsys):
    assert main(["rules", str(job(tmp_path, WIDE, WIDE))]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {one["result"]["name"] for one in events} == {
        "VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization",
        "LossNotDecreasing",
    }  # fmt: skip
