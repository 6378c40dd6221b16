"""The page of a profile: its sections, its numbers, and what it says of what is missing."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from pages import (
    EVIL,
    REPORT,
    SICK,
    Page,
    assert_self_contained,
    bare_profile,
    scene_view,
    section,
    view_of,
    words_of,
)
from profiles import TRAIN, Scene

from debugger.profile.data import CPU, GPU, GPU_MEMORY, NodeMetrics, Series
from debugger.profile.evaluate import evaluate_profile
from debugger.profile.read import read_profile
from debugger.report.envelope import build_envelope
from debugger.report.fired import fired_spans
from debugger.report.profile_page import build_profile_page, write_profile_page
from debugger.report.words import to_bytes, to_duration, to_percent

SECTIONS = (
    "job", "time", "usage", "steps", "outliers", "gpus", "loading", "bottlenecks", "memory",
    "hosts", "rules", "cost", "files",
)  # fmt: skip


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    return scene_view(SICK, tmp_path_factory.mktemp("sick"))


@pytest.fixture(scope="module")
def text(view):
    return build_profile_page(view, "Pets")


def series(values, step=0.5):
    values = np.asarray(values, dtype=float)
    return Series(times=1e9 + step * np.arange(len(values)), values=values)


def test_pages_are_well_formed_and_need_nothing_from_outside(text):
    assert_self_contained(text)


def test_names_in_a_profile_cannot_inject_markup():
    node = NodeMetrics(series={
        CPU: {EVIL: series(np.linspace(0, 100, 50))},
        GPU: {EVIL: series(np.linspace(0, 100, 50)), "gpu1": series(np.ones(50))},
        GPU_MEMORY: {EVIL: series(np.ones(50))},
    })  # fmt: skip
    profile = replace(bare_profile({EVIL: node, "algo-2": node}, 25, EVIL), notes=(EVIL,))
    page = Page(build_profile_page(view_of(profile), EVIL))
    assert page.handlers == []
    assert page.crossed == []
    assert page.tags.count("script") == 1
    assert page.words.count("alert(1)") > 10


def test_a_full_profile_has_every_section_with_figures_and_numbers(text):
    found = re.findall(r'<section id="([^"]+)"><h2>', text)
    assert tuple(found) == SECTIONS
    for anchor in ("time", "usage", "steps", "gpus", "loading", "bottlenecks", "memory", "hosts"):
        (body,) = re.findall(rf'<section id="{anchor}">.*?</section>', text, re.DOTALL)
        assert "<svg" in body
        assert "<table" in body or anchor == "bottlenecks"
    figures = re.findall(r"<svg([^>]*)>", text)
    assert all(re.search(r'role="img" aria-label="[^"]{15,}"', one) for one in figures)


def test_the_page_opens_with_what_to_change_and_what_it_would_gain(text):
    story = text.index('class="story"')
    assert story < text.index("<section")
    opening = words_of(text[story - 5 : text.index('<div class="tiles"')])
    assert "What to change: set num-workers from 1 to" in opening
    assert "would save about" in opening


def test_shares_sum_to_100(text):
    (body,) = re.findall(r'<section id="time">.*?</section>', text, re.DOTALL)
    shares = re.findall(r'<td class="n">(?:&lt; )?([0-9.]+) %</td></tr>', body)
    assert len(shares) >= 6
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.05 * len(shares) + 0.1)


def test_the_steps_told_are_those_of_the_timeline(text, view):
    spans = [span for span in SICK._spans(0) if span.phase == TRAIN]
    seconds = np.array([span.seconds for span in spans])
    table = section(text, "steps")
    told = [f"{len(seconds):,}", *map(to_duration, [seconds.mean(), seconds.min()])]
    told += [to_duration(float(np.quantile(seconds, q))) for q in (0.5, 0.95, 0.99)]
    assert "".join(["algo-1-26training", *told]) in table.replace(" ms", " ms")


def test_fired_rules_are_marked_where_the_timeline_has_them(view):
    late = [span for span in SICK._spans(1) if span.phase == TRAIN and span.seconds > 1]
    spans = fired_spans(view, view.result("StepOutlier"), "algo-2")
    assert len(late) == SICK.outliers
    start = view.profile.started_at
    for span in late:
        middle = span.start + span.seconds / 2 - start
        assert any(first <= middle <= first + length for first, length in spans)
    assert sum(length for _, length in spans) < 0.5 * view.profile.seconds


def test_the_growth_of_memory_is_that_of_the_scene(text):
    told = [float(one) for one in re.findall(r"[+-]\d+\.\d\d", section(text, "memory"))]
    assert len(told) == SICK.hosts * SICK.gpus
    assert told == pytest.approx([SICK.memory_growth] * len(told), abs=0.2)


def test_every_rule_is_told_with_its_status_and_parameters(text, view):
    rules = section(text, "rules")
    for result in view.results:
        if not result.rule.startswith(("Overall", "ProfilerReport")):
            assert result.rule in rules
    for rule in ("Dataloader", "LoadBalancing", "GPUMemoryIncrease"):
        assert re.search(rf"{rule}\s*fired", rules)
    assert "threshold_p95 70, threshold_p5 10, window 500, patience 1000" in rules


def test_without_a_gpu_the_page_says_so_instead_of_showing_zeros(tmp_path):
    scene = Scene(hosts=1, gpus=0, seconds=90, steps_of_epoch=40, workers=2)
    page = build_profile_page(scene_view(scene, tmp_path), "CPU")
    assert "no GPU" in words_of(page)
    assert "No GPU was measured" in section(page, "gpus")
    assert "No GPU's memory was measured" in section(page, "memory")
    assert re.search(r"GPUMemoryIncrease\s*no such metric", section(page, "rules"))
    assert "hosts" not in Page(page).ids


def test_without_steps_the_page_says_how_to_get_them():
    node = NodeMetrics(series={CPU: {"cpu0": series(np.linspace(0, 90, 200))}})
    page = build_profile_page(view_of(bare_profile({"algo-1": node}, 100)), "t")
    for anchor in ("job", "time"):
        assert "No step was recorded" in section(page, anchor)
        assert "--profile" in section(page, anchor)
    assert "No step was recorded." in section(page, "outliers")
    assert "algo-1 has no GPU" in section(page, "usage")


def test_an_empty_profile_has_a_page(tmp_path):
    (tmp_path / "system").mkdir()
    profile = read_profile([tmp_path])
    page = build_profile_page(view_of(profile), "t")
    assert Page(page).crossed == []
    assert "No system metrics were recorded" in section(page, "usage")
    assert "killed, or it still runs" in section(page, "job")


def test_a_single_rule_has_a_page(tmp_path):
    view = scene_view(replace(SICK, hosts=1, seconds=60), tmp_path / "job")
    only = tuple(one for one in view.results if one.rule == "LowGPUUtilization")
    write_profile_page(view.profile, only, tmp_path / "page.html", title="One")
    page = (tmp_path / "page.html").read_text()
    assert Page(page).crossed == []
    assert "1 rule of 1 fired" in section(page, "rules")


def test_the_rules_of_aws_have_a_page_in_their_own_numbers(tmp_path):
    view = scene_view(replace(SICK, hosts=1, cores=2), tmp_path)
    results = evaluate_profile(view.profile, REPORT, compat=True)
    page = build_profile_page(replace(view, results=results), "AWS")
    assert Page(page).crossed == []
    assert re.search(r"StepOutlier\s*fired", section(page, "rules"))


def test_the_cost_of_profiling_is_told_by_the_agent(tmp_path):
    folder = Scene(hosts=1, seconds=60, steps_of_epoch=30).write(tmp_path)
    agent = {"node": "algo-1", "cpu_seconds": 0.25, "cpu_share": 0.0042, "ticks": 120,
             "ticks_missed": 2, "notes": ["NVML: not found"]}  # fmt: skip
    (folder / "system/agent.json").write_text(json.dumps(agent))
    page = build_profile_page(view_of(read_profile([folder])), "t")
    told = section(page, "cost")
    assert "250 ms of processor time, 0.42 % of one core" in told
    assert "120 samples of the system (2 came too late" in told
    assert "NVML: not found" in told
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert f"wrote {to_bytes(total)} in" in told


def test_a_large_and_long_job_makes_no_large_page():
    random = np.random.default_rng(0)

    def many(kind, count):
        return {f"{kind}{i}": series(random.uniform(0, 100, 5000), 5.0) for i in range(count)}

    hosts = {
        f"algo-{host}": NodeMetrics(series={
            CPU: many("cpu", 64), GPU: many("gpu", 8), GPU_MEMORY: many("gpu", 8),
        })
        for host in range(1, 4)
    }  # fmt: skip
    page = build_profile_page(view_of(bare_profile(hosts, 25_000)), "t")
    assert len(page.encode()) < 1_500_000


def test_a_long_series_keeps_every_peak_and_its_mean():
    random = np.random.default_rng(0)
    times, values = np.arange(10_000.0), random.normal(size=10_000)
    values[1234], values[4321] = 50, -50
    line = build_envelope(times, values, 100)
    assert len(line.times) == 100
    for i in range(100):
        inside = values[(times >= i * 99.99) & (times < (i + 1) * 99.99)]
        if i == 99:
            inside = values[times >= i * 99.99]
        assert (line.low[i], line.high[i]) == (inside.min(), inside.max())
        assert line.mean[i] == pytest.approx(inside.mean())
    short = build_envelope(times[:50], values[:50], 100)
    assert np.array_equal(short.mean, values[:50])


def test_numbers_are_written_as_people_write_them():
    assert [to_duration(s) for s in (0.00035, 0.018, 2.44, 200, 7200)] == [
        "0.35 ms", "18 ms", "2.4 s", "3.3 min", "2.0 h",
    ]  # fmt: skip
    assert [to_bytes(n) for n in (0, 1023, 2048, 1.5 * 2**30)] == [
        "0 B", "1023 B", "2.0 KiB", "1.5 GiB",
    ]  # fmt: skip
    assert to_percent(0.001) == "&lt; 0.1 %"
    assert to_percent(0) == "0.0 %"
