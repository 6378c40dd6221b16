"""Traces of traffic, and what is found in one that was played."""

import math
import statistics
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest
from scaled import spec

from contract.errors import UsageError
from control.aws.scaling.chart import Panel, Series, draw
from control.aws.scaling.findings import find_out, quantiles, smallest_fixed
from control.aws.scaling.page import to_scaling_page
from control.aws.scaling.simulation import Machine, Played, simulate
from control.aws.scaling.trace import SHAPES, Trace, read_trace, shaped


def found(trace, policy, machine, **more):
    played = simulate(trace, policy, machine, **more)
    return find_out(trace, policy, machine, played), played


def steps(*pieces):
    return Trace(name="test", rates=tuple(float(r) for length, r in pieces for _ in range(length)))


def written(tmp_path, text):
    path = tmp_path / "traffic.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_rate_holds_until_the_next_row_and_the_last_as_long_as_the_one_before(tmp_path):
    path = written(tmp_path, "seconds,requests_per_second\n0,2\n60,3.5\n90,0\n")
    assert read_trace(path).rates == (2.0,) * 60 + (3.5,) * 30 + (0.0,) * 30


def test_times_of_requests_are_counted_by_the_second(tmp_path):
    times = [1000.2, 1000.9, 1003.0, 1100.5, 1003.7]
    trace = read_trace(written(tmp_path, "timestamp\n" + "\n".join(map(str, times)) + "\n"))
    counts = Counter(math.floor(time) - 1000 for time in times)
    assert trace.rates == tuple(float(counts[second]) for second in range(101))


def test_dates_are_times_too(tmp_path):
    text = "2026-11-28T05:15:00+00:00\n2026-11-28T05:16:30+00:00\n2026-11-28T05:15:00.5+00:00\n"
    rates = read_trace(written(tmp_path, text)).rates
    assert (rates[0], rates[90], sum(rates), len(rates)) == (2.0, 1.0, 3.0, 91)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("time,rate\n0,1\n", "expected seconds,requests_per_second"),
        ("seconds,requests_per_second\n0,1\n", "two rows"),
        ("seconds,requests_per_second\n0,1\n10,many\n", "line 3"),
        ("seconds,requests_per_second\n0,1\n10,-1\n", "line 3"),
        ("seconds,requests_per_second\n0,1\n10,nan\n", "line 3"),
        ("seconds,requests_per_second\n10,1\n5,1\n20,1\n", "must grow"),
        ("seconds,requests_per_second\n0,1\n9999999,1\n", "31 days"),
        ("noon\n", "line 1"),
        ("inf\n", "line 1"),
        ("seconds,requests_per_second\n0,1\ninf,1\n", "line 3"),
    ],
)
def test_a_file_that_is_no_trace_is_refused_with_its_line(tmp_path, text, words):
    with pytest.raises(UsageError, match=words):
        read_trace(written(tmp_path, text))


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_its_peak_and_never_more(name):
    trace = shaped(name, 12.0)
    assert len(trace.rates) == SHAPES[name][1]
    assert min(trace.rates) > 0
    assert 11.0 < max(trace.rates) <= 12.0 + 1e-9
    assert trace.peak == pytest.approx(
        np.convolve(trace.rates, np.ones(60) / 60, mode="valid").max(), rel=1e-6
    )


def test_an_unknown_shape_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'spike'"):
        shaped("spikes", 3.0)


def test_the_smallest_fleet_is_the_one_that_a_plain_search_finds():
    machine = Machine(images_per_second=2.0, room=30)
    trace = steps((600, 1), (100, 9), (600, 3))

    def refuses(count):
        waiting = 0.0
        for rate in trace.rates:
            waiting = max(0.0, waiting + rate - 0.9 * 2.0 * count)
            if waiting > 30 * count:
                return True
        return False

    expected = next(count for count in range(1, 20) if not refuses(count))
    assert smallest_fixed(trace, machine) == expected
    fixed = spec(minimum=expected, maximum=expected)
    assert sum(simulate(trace, fixed, machine).refused) == 0
    slower = Machine(images_per_second=0.9 * 2.0, room=30)
    one_less = spec(minimum=expected - 1, maximum=expected - 1)
    assert sum(simulate(trace, one_less, slower).refused) > 0


def test_quantiles_are_those_of_every_request_by_itself():
    played = Played(seconds=4)
    played.latency.extend([0.5, 0.1, 3.0, 9.0])
    played.arrived.extend([3.0, 6.0, 1.0, 0.0])
    every = [0.1] * 6 + [0.5] * 3 + [3.0]
    usual, slow = quantiles(played, (0.5, 0.99))
    assert usual == statistics.median_low(every)
    assert slow == max(every)


def test_the_cost_is_that_of_every_second_of_every_instance():
    trace, policy = steps((HOUR := 3600, 1), (HOUR, 6), (HOUR, 1)), spec(target=120.0)
    machine = Machine(images_per_second=3.0, usd_per_hour=0.115)
    findings, played = found(trace, policy, machine)
    assert findings.usd == pytest.approx(0.115 * np.sum(played.desired) / 3600)
    assert findings.fixed_max_usd == pytest.approx(0.115 * 5 * 3)
    assert findings.usd < findings.fixed_max_usd


def test_a_target_by_the_second_is_taken_for_what_it_is():
    """10 looks like ten a second, and is one in six seconds."""
    findings, _ = found(steps((1200, 2)), spec(target=10.0), Machine(images_per_second=20.0))
    assert "MINUTE, one request in 6 s" in findings.advice[0]
    assert "half of what one can do, 600" in findings.advice[0]


def test_a_target_above_what_an_instance_can_do_is_named():
    findings, _ = found(steps((1200, 2)), spec(target=1200.0), Machine(images_per_second=10.0))
    assert "200 % of what an instance can do" in findings.advice[0]


def test_advice_that_nobody_is_refused_is_true():
    trace = shaped("spike", 20.0)
    machine = Machine(images_per_second=8.0, usd_per_hour=2.0)
    findings, _ = found(trace, policy := spec(target=240.0, maximum=6), machine)
    assert findings.refused > 100
    (line,) = [line for line in findings.advice if line.startswith("with min = ")]
    least = int(line.split()[3])
    better, _ = found(trace, spec(target=240.0, maximum=6, minimum=least), machine)
    worse, _ = found(trace, spec(target=240.0, maximum=6, minimum=least - 1), machine)
    assert better.lost < 0.5 <= worse.lost
    assert line.endswith(f"${better.usd:,.2f} instead of ${findings.usd:,.2f}")
    assert policy.minimum < least <= 6


def test_too_few_at_most_is_named_with_what_the_peak_needs():
    findings, _ = found(
        steps((1800, 1), (1800, 30)), spec(maximum=2), Machine(images_per_second=5.0)
    )
    assert any("max = 2 is too few" in line and "7 instances" in line for line in findings.advice)


def test_the_page_is_complete_alone_and_its_panels_share_one_time_axis():
    trace = Trace(name="<b>traffic</b> & more", rates=shaped("spike", 20.0).rates)
    policy, machine = spec(target=240.0), Machine(images_per_second=8.0, usd_per_hour=0.1)
    findings, played = found(trace, policy, machine)
    page = to_scaling_page(trace, policy, machine, played, findings)
    assert "<b>traffic" not in page
    assert "&lt;b&gt;traffic&lt;/b&gt; &amp; more" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    svg = page[page.index("<svg") : page.index("</svg>") + 6]
    tree = ET.fromstring(svg)
    assert len([one for one in tree.iter("text") if one.get("class") == "head"]) == 6
    grids = [one for one in tree.iter("line") if one.get("class") == "grid"]
    upright = Counter(one.get("x1") for one in grids if one.get("x1") == one.get("x2"))
    assert set(upright.values()) == {6}
    for line in findings.advice:
        assert line[1:20] in page


def test_a_target_that_max_does_not_allow_is_named():
    findings, _ = found(
        steps((1800, 1), (5400, 12)), spec(target=120.0, maximum=4), Machine(images_per_second=4.0)
    )
    assert findings.seconds_at_max > 4000
    assert any("more than max = 4: at the peak, for 6" in line for line in findings.advice)


@pytest.mark.parametrize("top", [0.003, 0.1, 0.7, 1.0, 3.0, 7.0, 9.99, 10.0, 480.0, 1e6])
def test_ticks_are_few_round_and_reach_over_every_value(top):
    values = [0.0, top / 3, top]
    panel = Panel(title="", series=(Series(label="", values=values, ink="accent"),))
    markup = draw([panel], 3600, "test")
    tree = ET.fromstring(markup[markup.index("<svg") : markup.index("</svg>") + 6])
    texts = [one for one in tree.iter("text") if one.get("text-anchor") == "end"]
    ticks = [float(one.text.replace(",", "")) for one in texts if one.get("x") == "48"]
    assert 3 <= len(ticks) <= 6
    assert ticks[0] == 0
    assert top <= ticks[-1] <= 2 * top
    assert np.allclose(np.diff(ticks), ticks[1])
