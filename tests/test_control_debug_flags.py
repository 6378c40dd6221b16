"""--debug, --profile and --rule on the command line, and rules of one's own there."""

import pytest

from contract.errors import UsageError
from contract.rules import Action
from control.debug_flags import DebugFlags
from control.debug_spec import CLASSIC_RULES
from control.job_spec import Overrides, read_job_spec
from control.rule_tables import own_rule_of, rule_of

CLASSIC = sorted(CLASSIC_RULES)
OWN = "class MyRule(Rule):\n    pass\n"


@pytest.fixture
def debug_of(tmp_path):
    """What a job's tables ask for, with flags on top."""
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()

    def read(text, **flags):
        path = tmp_path / "job.toml"
        path.write_text(f'[channels]\ntrain = "pictures"\n{text}')
        return read_job_spec(path, Overrides(debug=DebugFlags(**flags))).debug

    return read


def test_flags_stand_on_top_of_the_file(debug_of):
    text = (
        '[debugger]\ncollections = ["losses"]\nsave_interval = 7\n[rules.Overfit]\npatience = 9\n'
    )
    debug = debug_of(text, debug=True, profile=True, rules=(rule_of("CPUBottleneck"),))
    assert debug.hook.parameters == {"save_interval": "7"}
    assert {"losses", "weights", "gradients", "biases", "relu_input"} == {
        one.name for one in debug.hook.collections
    }
    assert sorted(rule.name for rule in debug.tensor_rules) == CLASSIC
    assert [rule.name for rule in debug.profile_rules] == ["CPUBottleneck"]
    (overfit,) = [rule for rule in debug.rules if rule.rule == "Overfit"]
    assert overfit.parameters == {"patience": "9"}
    assert debug.profiler.interval_ms == 500


def test_flags_alone_are_enough(debug_of):
    debug = debug_of("", debug=True, profile=True)
    assert sorted(rule.name for rule in debug.tensor_rules) == CLASSIC
    assert [rule.name for rule in debug.profile_rules] == ["ProfilerReport"]
    assert debug.hook.parameters == {"save_interval": "auto"}


@pytest.mark.parametrize(
    ("words", "parameters", "actions"),
    [
        ("Overfit", {}, ()),
        ("Overfit:patience=3,ratio_threshold=0.5", {"patience": "3", "ratio_threshold": "0.5"}, ()),
        ("DeadRelu:tensor_regex=.*a,.*b", {"tensor_regex": ".*a,.*b"}, ()),
        ("Overfit:actions=stop+fail", {}, (Action(name="stop"), Action(name="fail"))),
    ],
)
def test_a_rule_on_the_command_line(words, parameters, actions):
    rule = rule_of(words)
    assert (rule.name, dict(rule.parameters), rule.actions) == (
        words.partition(":")[0],
        parameters,
        actions,
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("Overfitt", "did you mean Overfit"),
        ("Overfit:patience", "expected PARAMETER=VALUE after a colon"),
        ("Overfit:patience=x", "expected a whole number"),
        ("ProfilerReport:actions=fail+stop", "judged when it is over"),
    ],
)
def test_a_wrong_rule_on_the_command_line_is_refused(words, says):
    with pytest.raises(UsageError, match=says):
        rule_of(words)


def test_an_own_rule_on_the_command_line(tmp_path):
    path = tmp_path / "my_rule.py"
    path.write_text(OWN)
    rule = own_rule_of(f"{path}:MyRule:limit=3,name=a,b")
    assert (rule.source, rule.parameters) == (str(path), {"limit": "3", "name": "a,b"})
    for words, says in (
        (str(path), "expected FILE.py:CLASS"),
        (f"{path}:Mine", "has no class 'Mine'"),
    ):
        with pytest.raises(UsageError, match=says):
            own_rule_of(words)
