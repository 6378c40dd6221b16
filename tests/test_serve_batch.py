import pytest
from serving import client_for, colour_bundle

from serve.batch import execution_parameters
from serve.settings import ServeSettings, read_settings


@pytest.mark.parametrize(
    ("settings", "num_cpus", "expected"),
    [
        ({}, 1, (2, 32)),
        ({}, 2, (4, 25)),
        ({}, 8, (16, 6)),
        ({}, 64, (16, 6)),
        ({"max_payload_mib": 6}, 2, (4, 6)),
        ({"max_payload_mib": 6}, 64, (16, 6)),
        ({"max_payload_mib": 6, "max_in_flight": 1}, 64, (1, 6)),
        ({"max_payload_mib": 0}, 8, (1, 100)),
        ({"max_payload_mib": 1024}, 8, (1, 100)),
    ],
)
def test_what_a_job_is_told_is_what_the_server_and_sagemaker_take(settings, num_cpus, expected):
    told = execution_parameters(ServeSettings(**settings), num_cpus)
    assert (told["MaxConcurrentTransforms"], told["MaxPayloadInMB"]) == expected
    assert expected[0] * expected[1] <= 100


@pytest.mark.parametrize(
    ("batch", "spelling"),
    [("true", "SINGLE_RECORD"), ("True", "SingleRecord"), ("", "SingleRecord")],
)
def test_the_strategy_is_spelled_as_the_asking_platform_reads_it(batch, spelling):
    settings = read_settings({"SAGEMAKER_BATCH": batch})
    assert execution_parameters(settings, 2)["BatchStrategy"] == spelling


def test_the_route_answers_in_json():
    reply = client_for(colour_bundle(), max_payload_mib=20).get("/execution-parameters")
    assert reply.status_code == 200
    assert set(reply.json) == {"BatchStrategy", "MaxConcurrentTransforms", "MaxPayloadInMB"}
    assert reply.json["MaxPayloadInMB"] == 20
