"""The benchmark itself: what it sends, how it counts, what it prints."""

import io
import itertools
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from benchmarks.bars import Bar, bars_of
from benchmarks.dogs import Dogs
from benchmarks.limit import Cost
from benchmarks.load import Outcome, closed_loop, open_loop, poisson_arrivals
from benchmarks.pace import Overload, Paced
from benchmarks.page import Results, Row, page_of
from benchmarks.pictures import make_picture
from benchmarks.rounds import Measured, Plan, Series
from benchmarks.servers import http_request

REQUEST = http_request("POST", "/", b"picture", "image/jpeg")
PAUSE_SECONDS = 0.02


class OneAtATime(BaseHTTPRequestHandler):
    """Each answer takes the pause and waits for the one before it; every third is a 503."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    numbers = itertools.count(1)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            time.sleep(PAUSE_SECONDS)
            status = 503 if next(self.numbers) % 3 == 0 else 200
        self.send_response(status)
        self.send_header("Content-Length", "2")
        if status == 503:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args):
        """Nothing."""


@pytest.fixture
def port():
    server = ThreadingHTTPServer(("127.0.0.1", 0), OneAtATime)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("label", [0, 40, 132])
def test_a_generated_picture_weighs_what_a_photograph_does(label):
    data = make_picture(1, label, 133)
    assert 28_000 < len(data) < 42_000
    assert Image.open(io.BytesIO(data)).size == (500, 375)


def test_a_closed_loop_counts_good_answers_and_errors_apart(port):
    outcome = closed_loop(port, [REQUEST], 3, 0.5, warm_seconds=0.1)
    assert outcome.statuses[200] == len(outcome.latencies) > 0
    assert outcome.errors == outcome.statuses[503] > 0
    assert min(outcome.latencies) >= PAUSE_SECONDS


def test_an_open_loop_charges_a_request_for_the_time_that_it_was_due(port):
    outcome = open_loop(port, [REQUEST], [0.0] * 9)
    assert sum(outcome.statuses.values()) == 9
    assert max(outcome.latencies) >= 8 * PAUSE_SECONDS  # all were due at once


def test_poisson_arrivals_come_at_the_rate_that_was_asked_for():
    times = poisson_arrivals(100, 50, seed=1)
    assert times == sorted(times)
    assert 4600 < len(times) < 5400


def test_a_bar_says_whether_it_is_reached():
    assert Bar(name="fast", value=5.25, target=5).line() == "bar fast 5.250 >= 5 ok"
    assert Bar(name="slow", value=2.1, target=2, at_most=True).line() == "bar slow 2.100 <= 2 short"
    assert not Bar(name="nothing", value=float("nan"), target=1).is_reached


def test_bars_are_medians_of_ratios_within_a_round():
    bars = {bar.name: bar.value for bar in bars_of(measured(), None, Dogs(why_not="no data"))}
    assert bars["serve-over-flask"] == pytest.approx(3.0)  # 20/10, 45/15, 80/20
    assert bars["serve-of-limit"] == pytest.approx(45 * (18 + 2) / 1000)
    assert bars["serve-overhead-ms"] == pytest.approx(42.5 - 38 - 4)


def test_the_page_names_every_server_and_every_bar():
    series = measured()
    paced = Paced(per_second=20, single_ms=[20.0], poisson_ms=[20.0], even_ms=[20.0, 30.0])
    dogs = Dogs(agreement=[1.0], accuracy=[0.4], twin_accuracy=[0.39], num_pictures=158)
    page = page_of(
        Results(
            machine=dict.fromkeys(
                ("date", "chip", "processors", "memory", "python", "ours", "peers", "java"), "x"
            ),
            plan=Plan(),
            picture_bytes=35_000,
            rows=[row("kennel"), row("flask")],
            measured=series,
            facts={"engine": "openvino", "variant": "int8", "why": "fastest"},
            trials=[("2 at once of 1", 18.0)],
            paced=paced,
            overload=Overload(
                offered_per_second=90, accepted_per_second=44, p50_ms=1, p99_ms=2,
                share_503=0.5, others=0,
            ),
            dogs=dogs,
            bars=bars_of(series, paced, dogs),
        )
    )  # fmt: skip
    for expected in ("title of flask", "bar serve-over-flask 3.000 >= 2.8 ok", "dogs-agreement"):
        assert expected in page


def row(name):
    return Row(
        name=name,
        title=f"title of {name}",
        ready_seconds=1.0,
        memory_mib=100.0,
        agreeing="16 of 16",
    )


def measured():
    """Three rounds of two servers."""
    ours, flask = Series(), Series()
    for mine, theirs in ((20, 10), (45, 15), (80, 20)):
        ours.add(outcome(mine, 42.5), outcome(5, 1))
        flask.add(outcome(theirs, 90.0), outcome(5, 1))
    return Measured(
        servers={"kennel": ours, "flask": flask},
        infer=[Cost(wall_ms=18, cpu_ms=36)] * 3,
        same_infer=[Cost(wall_ms=19, cpu_ms=38)] * 3,
        decode=[Cost(wall_ms=2, cpu_ms=4)] * 3,
    )


def outcome(per_second, cpu_ms):
    """One second of so many good answers."""
    found = Outcome(seconds=1.0, server_cpu_seconds=per_second * cpu_ms / 1e3)
    for _ in range(per_second):
        found.add(200, 0.02)
    return found
