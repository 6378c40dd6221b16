import re

import pytest

from contract.metrics import METRICS, format_metric, metric_definitions, read_metrics


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("value", [0.0, 1.0, 0.5, 1e-9, 12345.678, -2.25])
def test_every_metric_line_is_read_back_by_its_own_regex_alone(metric, value):
    line = format_metric(metric.name, value)
    assert read_metrics(line) == {metric.name: pytest.approx(value, abs=5e-7)}
    assert read_metrics(f"2024-01-01T00:00:00 {line}").keys() == {metric.name}


def test_a_longer_name_is_not_mistaken_for_ours():
    assert read_metrics("pretrain:loss=1.0;") == {}
    assert read_metrics("train:loss=1.0") == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_never_logged(value):
    with pytest.raises(ValueError, match="train:loss is"):
        format_metric("train:loss", value)


def test_a_name_outside_the_table_is_refused():
    with pytest.raises(KeyError):
        format_metric("train:f1", 0.5)


def test_definitions_are_what_sagemaker_takes():
    definitions = metric_definitions()
    assert [entry["Name"] for entry in definitions] == [metric.name for metric in METRICS]
    for entry in definitions:
        assert re.compile(entry["Regex"]).groups == 1
        assert len(entry["Regex"]) <= 500  # the API's limit
