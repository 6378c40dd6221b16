"""What a server counts about itself. prometheus_client's parser reads the pages."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import colour_bundle, colour_client, picture

from contract.errors import RequestError
from serve.app import create_app
from serve.meters import MAX_MODELS, OTHER
from serve.model import load_model
from serve.service import Service
from serve.settings import ServeSettings
from serve.siblings import Siblings
from serve.telemetry import Telemetry

ON = ServeSettings(metrics=True)


def samples(page):
    """Every sample of a page: (name, sorted labels) -> value."""
    families = text_string_to_metric_families(page.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def counted(telemetry, name, **labels):
    return samples(telemetry.prometheus()).get((name, tuple(sorted(labels.items()))))


def client_with(settings):
    """Flask's client of a loaded server, and its telemetry."""
    telemetry = Telemetry(settings)
    service = Service(lambda: load_model(settings, 2), settings.max_in_flight)
    service.load()
    return create_app(service, settings, telemetry).test_client(), telemetry


def test_metrics_are_off_unless_asked_for():
    reply = colour_client().get("/metrics")
    assert reply.status_code == 404
    assert "KENNEL_METRICS" in reply.get_json()["message"]
    assert Telemetry(ServeSettings()).prometheus() is None


def test_the_page_counts_what_was_sent_by_several_clients_at_once():
    client, _ = client_with(ServeSettings(bundle=str(colour_bundle()), metrics=True))
    app = client.application

    def send(index):
        body = b"no picture" if index % 5 == 0 else picture()
        return app.test_client().post("/invocations", data=body).status_code

    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(send, range(60)))
    client.get("/ping")  # neither this nor the page itself is an invocation
    reply = client.get("/metrics")
    assert reply.content_type == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(reply.data)
    assert found["kennel_requests_total", (("status", "200"),)] == sent.count(200) == 48
    assert found["kennel_requests_total", (("status", "400"),)] == sent.count(400) == 12
    assert found["kennel_request_seconds_count", ()] == 60
    assert found["kennel_pictures_total", ()] == 48
    assert found["kennel_in_flight", ()] == 0


def test_the_page_says_what_computes_and_what_the_process_takes():
    client, _ = client_with(ServeSettings(bundle=str(colour_bundle()), metrics=True))
    found = samples(client.get("/metrics").data)
    (labels,) = [dict(labels) for name, labels in found if name == "kennel_info"]
    assert (labels["engine"], labels["device"]) == ("openvino", "cpu")
    assert found["process_resident_memory_bytes", ()] > 10_000_000
    assert found["process_cpu_seconds_total", ()] > 0


def test_batches_from_many_threads_are_all_in_the_histograms():
    telemetry = Telemetry(ON)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(200):
            pool.submit(telemetry.batch, 4, 0.040, 0.2)
    assert counted(telemetry, "kennel_batch_size_sum") == 800
    assert counted(telemetry, "kennel_decode_seconds_count") == 800
    assert counted(telemetry, "kennel_decode_seconds_sum") == pytest.approx(8)
    assert counted(telemetry, "kennel_decode_seconds_bucket", le="0.01") == 800
    assert counted(telemetry, "kennel_inference_seconds_sum") == pytest.approx(40)
    assert counted(telemetry, "kennel_inference_seconds_bucket", le="0.1") == 0


def test_an_empty_batch_is_none():
    telemetry = Telemetry(ON)
    telemetry.batch(0, 0.0, 0.0)
    assert counted(telemetry, "kennel_batch_size_count") == 0


def test_gauges_are_the_sum_of_those_who_are_watched_and_end_with_them():
    telemetry = Telemetry(ON)
    end = telemetry.watch("queue_depth", lambda: 3)
    telemetry.watch("queue_depth", lambda: 4)
    assert counted(telemetry, "kennel_queue_depth") == 7
    end()
    end()
    assert counted(telemetry, "kennel_queue_depth") == 4


class Looking:
    """A model that notes how many invocations are in flight while it answers."""

    def __init__(self, telemetry):
        self.telemetry, self.seen = telemetry, []

    def describe(self):
        return {}

    def answer(self, _invocation):
        self.seen.append(self.telemetry.gauges()["in_flight"])
        raise RequestError(422, "seen enough")


@pytest.mark.parametrize("query", ["", "?x=1"])
def test_an_invocation_is_in_flight_until_it_is_answered(query):
    telemetry = Telemetry(ON)
    model = Looking(telemetry)
    service = Service(lambda: model, 1)
    service.load()
    client = create_app(service, ON, telemetry).test_client()
    for _ in range(2):
        assert client.post(f"/invocations{query}", data=b"x").status_code == 422
    assert model.seen == [1, 1]
    assert counted(telemetry, "kennel_in_flight") == 0
    assert counted(telemetry, "kennel_requests_total", status="422") == 2


def test_no_client_and_no_user_code_makes_the_page_grow():
    telemetry = Telemetry(ServeSettings(metrics=True, multi_model=True))
    for index in range(3 * MAX_MODELS):
        telemetry.request(200, 0.1, 1, f"model-{index}")
        telemetry.request(404, 0.1, 0, f"nothing-{index}")
        telemetry.request(600 + index, 0.1, 0, "model-0")
    labels = [dict(item) for _, item in samples(telemetry.prometheus())]
    assert len({item["model"] for item in labels if "model" in item}) == MAX_MODELS + 1
    assert {item["status"] for item in labels if "status" in item} == {"200", "404", "other"}
    others = counted(telemetry, "kennel_requests_total", status="200", model=OTHER)
    assert others == 2 * MAX_MODELS


def test_an_unloaded_model_leaves_the_page_and_makes_room():
    telemetry = Telemetry(ServeSettings(metrics=True, multi_model=True))
    for index in range(2 * MAX_MODELS):
        telemetry.request(200, 0.1, 1, f"model-{index}")
        telemetry.forget(f"model-{index}")
    assert b"model-" not in telemetry.prometheus()
    telemetry.request(200, 0.1, 1, "latest")
    assert counted(telemetry, "kennel_requests_total", status="200", model="latest") == 1


def test_a_full_queue_is_counted():
    telemetry = Telemetry(ON)
    telemetry.refused()
    assert counted(telemetry, "kennel_refused_total") == 1


def test_one_process_shows_the_numbers_of_all_that_live(tmp_path):
    telemetry = Telemetry(ON)
    telemetry.request(200, 0.1, 1)
    dead, own = tmp_path / "999999999.prom", Siblings(tmp_path)
    dead.write_bytes(telemetry.prometheus())
    own.publish(telemetry.prometheus())
    reader, writer = os.pipe()
    child = os.fork()  # a sibling has our parent, so a child must not count as one
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    (tmp_path / f"{child}.prom").write_bytes(telemetry.prometheus())
    found = samples(own.merge(telemetry.prometheus()))
    os.close(writer)
    os.waitpid(child, 0)
    labels = (("process", str(os.getpid())), ("status", "200"))
    assert [key for key in found if key[0] == "kennel_requests_total"] == [
        ("kennel_requests_total", labels)
    ]
    assert not dead.exists()
    own.leave()
    assert not tmp_path.exists()


def test_names_are_words_that_prometheus_takes():
    names = {name for name, _ in samples(Telemetry(ON).prometheus())}
    assert all(re.fullmatch(r"(kennel|process)_[a-z_]+", name) for name in names)
