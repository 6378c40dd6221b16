"""The Debugger's part of CreateTrainingJob: what SageMaker's own model accepts, and back again."""

import botocore.session
import pytest
from botocore.validate import ParamValidator

from contract.errors import SpecError
from contract.hook_config import Collection, HookConfig
from contract.profiler_config import DETAILED, ProfilerConfig, Window
from contract.rule_request import request_for_rule, rule_of_request
from contract.rules import RULES, Action, RuleSpec
from control.debug_request import debug_of_request, request_for_debug
from control.debug_spec import DebugSpec, default_hook

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/kennel-train:1"
OUTPUT = "s3://bucket/out"
FULL = DebugSpec(
    hook=HookConfig(
        collections=(
            Collection(name="losses"),
            Collection(name="fc", parameters={"include_regex": ".*fc", "save_interval": "5"}),
        ),
        parameters={"save_interval": "auto", "train.save_interval": "10"},
        s3_output_path=OUTPUT,
    ),
    profiler=ProfilerConfig(
        windows={DETAILED: Window(start_step=0, num_steps=50)}, s3_output_path=OUTPUT
    ),
    rules=(
        RuleSpec(
            name="Gone",
            rule="VanishingGradient",
            parameters={"threshold": "1e-07"},
            actions=(Action(name="stop"), Action(name="webhook", url="https://example.org")),
        ),
        RuleSpec(name="Mine", rule="MyRule", source="s3://bucket/code/my_rule.py"),
        RuleSpec(
            name="ProfilerReport",
            rule="ProfilerReport",
            parameters={"CPUBottleneck_cpu_threshold": "80"},
        ),
    ),
)
SOURCES = {"s3://bucket/code/my_rule.py": "s3://bucket/code/my_rule.py"}


def requested(debug):
    return request_for_debug(debug, job="dogs-1", image=IMAGE, output=OUTPUT, sources=SOURCES)


@pytest.fixture(scope="module")
def complaints():
    """What botocore says against the fields of a training job's request; empty when nothing."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model("CreateTrainingJob").input_shape

    def check(request):
        reports = (
            ParamValidator().validate(value, shape.members[name]).generate_report()
            for name, value in request.items()
        )
        return [report for report in reports if report]

    return check


@pytest.mark.parametrize(
    "debug",
    [
        FULL,
        DebugSpec(hook=default_hook()),
        DebugSpec(profiler=ProfilerConfig()),
        DebugSpec(rules=tuple(RuleSpec(name=name, rule=name) for name in RULES)),
    ],
    ids=["everything", "hook", "profiler", "every built-in rule"],
)
def test_sagemaker_accepts_the_request(debug, complaints):
    request = requested(debug)
    assert complaints(request) == []
    parts = (debug.hook, debug.profiler, debug.tensor_rules, debug.profile_rules)
    assert len(request) == sum(map(bool, parts))


def test_a_request_reads_back_as_what_was_asked(complaints):
    assert debug_of_request(requested(FULL)) == FULL


def test_every_value_of_a_rule_is_text_and_the_image_is_ours():
    first, second = requested(FULL)["DebugRuleConfigurations"]
    assert first["RuleEvaluatorImage"] == second["RuleEvaluatorImage"] == IMAGE
    assert first["RuleParameters"]["rule_to_invoke"] == "VanishingGradient"
    assert first["RuleParameters"]["threshold"] == "1e-07"
    assert second["RuleParameters"] == {
        "rule_to_invoke": "MyRule",
        "source_s3_uri": "s3://bucket/code/my_rule.py",
    }
    assert '"training_job_prefix": "dogs-1"' in first["RuleParameters"]["action_json"]


def test_what_the_sdk_sends_for_aws_own_image_is_read_too():
    """As `Rule.sagemaker(rule_configs.similar_across_runs(...))` describes itself."""
    rule = rule_of_request(
        {
            "RuleConfigurationName": "SimilarAcrossRuns",
            "RuleEvaluatorImage": "503895931360.dkr.ecr.us-east-1.amazonaws.com/rules:latest",
            "VolumeSizeInGB": 0,
            "RuleParameters": {
                "rule_to_invoke": "SimilarAcrossRuns",
                "other_trial_0": "s3://bucket/other",
                "collection_names": "losses",
            },
        }
    )
    assert rule.parameters == {"other_trials": "s3://bucket/other", "collection_names": "losses"}


@pytest.mark.parametrize(
    ("configured", "says"),
    [
        ({"RuleConfigurationName": "x", "RuleParameters": {}}, "no rule_to_invoke"),
        ({"RuleParameters": {"rule_to_invoke": "Overfit"}}, "no name"),
        (
            {
                "RuleConfigurationName": "x",
                "RuleParameters": {"rule_to_invoke": "Overfit", "action_json": "["},
            },
            "rule x: action_json is no JSON",
        ),
        (
            {
                "RuleConfigurationName": "x",
                "RuleParameters": {
                    "rule_to_invoke": "Overfit",
                    "action_json": '[{"name": "sms", "endpoint": "+1"}]',
                },
            },
            "rule x: action_json: action: expected one of stop, fail, webhook, got 'sms'",
        ),
    ],
)
def test_a_configuration_that_means_nothing_is_refused(configured, says):
    with pytest.raises(SpecError, match=says):
        rule_of_request(configured)


def test_an_interval_that_sagemaker_refuses_is_named():
    with pytest.raises(SpecError, match="SageMaker takes 100, 200, 500, 1000, 5000, 60000"):
        requested(DebugSpec(profiler=ProfilerConfig(interval_ms=300)))


def test_a_rules_own_file_has_to_be_in_s3():
    rule = RuleSpec(name="Mine", rule="MyRule", source="/home/me/my_rule.py")
    with pytest.raises(SpecError, match=r"/home/me/my_rule\.py has to be in S3"):
        request_for_rule(rule, job="dogs-1", image=IMAGE)
