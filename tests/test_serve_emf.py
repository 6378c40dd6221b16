"""What a server tells CloudWatch about itself, in lines of its log."""

import json
import logging
import threading

import pytest

from contract.errors import SpecError
from serve.emf import KEPT_VALUES, MAX_VALUES, Window
from serve.log import JsonFormatter
from serve.settings import ServeSettings
from serve.telemetry import Telemetry

# The rules of the specification, as far as they are about one document.
EMF_SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 10**12},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 255},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "maxItems": 30},
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1},
                                        "Unit": {"enum": ["Milliseconds", "Count"]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def test_an_emf_document_is_as_the_specification_says(caplog):
    jsonschema = pytest.importorskip("jsonschema_rs")
    telemetry = Telemetry(ServeSettings(emf_seconds=60, emf_namespace="Dogs/Prod"))
    for index in range(250):
        telemetry.request(200 if index % 10 else 503, index / 1000, 1)
    telemetry.batch(2, 0.02, 0.05)
    telemetry.write_emf()
    line = JsonFormatter().format(caplog.records[-1])
    document = json.loads(line)
    jsonschema.validate(EMF_SCHEMA, document)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Dogs/Prod"
    for metric in directive["Metrics"]:  # every target is on the root, a number or at most 100
        target = document[metric["Name"]]
        numbers = target if isinstance(target, list) else [target]
        assert 1 <= len(numbers) <= MAX_VALUES
        assert all(isinstance(number, int | float) for number in numbers)
    assert (document["Requests"], document["ServerErrors"], document["Pictures"]) == (250, 25, 250)
    assert (document["DecodeTime"], document["InferenceTime"]) == ([10.0], [50.0])
    assert (min(document["TotalTime"]), max(document["TotalTime"])) == (0, 249)


def test_each_emf_document_has_the_numbers_since_the_last():
    window = Window("Kennel")
    window.request(200, 0.1, 1)
    assert window.take({}, {})["Requests"] == 1
    after = window.take({"queue_depth": 5}, {"engine": "openvino"})
    assert (after["Requests"], after["QueueDepth"], after["engine"]) == (0, 5, "openvino")
    assert "TotalTime" not in after


def test_any_number_of_values_keeps_its_percentiles_in_bounded_memory():
    window = Window("Kennel")
    for index in range(20 * KEPT_VALUES):
        window.request(200, index / 1000, 1)
    document = window.take({}, {})
    assert document["Requests"] == 20 * KEPT_VALUES
    assert len(document["TotalTime"]) == MAX_VALUES
    middle = sorted(document["TotalTime"])[MAX_VALUES // 2]
    assert middle == pytest.approx(10 * KEPT_VALUES, rel=0.2)


@pytest.mark.parametrize("namespace", ["", "AWS/Mine", "a\nb", "x" * 256])
def test_a_namespace_that_cloudwatch_refuses_is_refused_at_once(namespace):
    with pytest.raises(SpecError, match="KENNEL_EMF_NAMESPACE"):
        Telemetry(ServeSettings(emf_seconds=1, emf_namespace=namespace))


def test_lines_come_by_themselves_and_the_last_numbers_at_the_end(caplog):
    caplog.set_level(logging.WARNING)  # the operator's own level does not silence them
    caplog.handler.setLevel(logging.NOTSET)
    telemetry = Telemetry(ServeSettings(emf_seconds=1))
    telemetry.request(200, 0.1, 1)
    telemetry.start(lambda: {"engine": "openvino"})
    waited = threading.Event()
    for _ in range(100):
        if caplog.records or waited.wait(0.1):
            break
    assert caplog.records[0].fields["Requests"] == 1
    telemetry.request(200, 0.1, 1)
    telemetry.close()
    telemetry.close()
    assert sum(record.fields["Requests"] for record in caplog.records) == 2
