"""Page: the results as Markdown, for people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.bars import OURS, Bar
from benchmarks.dogs import Dogs
from benchmarks.limit import Cost
from benchmarks.pace import Overload, Paced
from benchmarks.rounds import CLIENTS, Measured, Plan, Series, middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the table says of one server besides its series."""

    name: str
    title: str
    ready_seconds: float
    memory_mib: float
    agreeing: str  # how many of the pictures it answers as its network does on its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run."""

    machine: dict[str, str]
    plan: Plan
    picture_bytes: int  # the median of those sent
    rows: Sequence[Row]
    measured: Measured
    facts: dict[str, str]
    trials: Sequence[tuple[str, float]]  # layout of the bare loop, milliseconds a picture
    paced: Paced | None
    overload: Overload | None
    dogs: Dogs
    bars: Sequence[Bar]


def page_of(results: Results) -> str:
    """benchmarks/results/serve.md."""
    parts = (_head, _servers, _limit, _latency, _dogs, _bars, _method)
    return "\n".join("\n".join(part(results)) + "\n" for part in parts)


def _head(results: Results) -> Iterator[str]:
    machine = results.machine
    yield "# Serving, side by side"
    yield ""
    yield "Written by `make bench-serve`. resnet50 with 133 labels. All have the same weights"
    yield f"and are sent the same JPEGs, {results.picture_bytes / 1000:.0f} KB at the median, by"
    yield f"{CLIENTS} clients at a time that keep their connections."
    yield ""
    yield f"{machine['date']}, {machine['chip']}, {machine['processors']} processors,"
    yield f"{machine['memory']}, Python {machine['python']}."
    yield f"Ours: {machine['ours']}."
    yield f"Peers: {machine['peers']}; {machine['java']}."


def _servers(results: Results) -> Iterator[str]:
    yield "## Throughput"
    yield ""
    yield (
        "| server | requests/s | Kennel is faster by | p50 ms, 8 clients | p99 ms "
        "| p50 ms, one client | CPU ms a request | memory MiB | ready s | errors | top label |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for row in results.rows:
        series = results.measured.servers[row.name]
        ratios = results.measured.ratios(OURS, row.name)
        faster = "" if row.name == OURS else f"{spread(ratios, 2)}"
        yield (
            f"| {row.title} | {spread(series.per_second, 1)} | {faster} "
            f"| {middle(series.p50_ms):.0f} | {middle(series.p99_ms):.0f} "
            f"| {middle(series.single_ms):.0f} | {middle(series.cpu_ms):.1f} "
            f"| {row.memory_mib:.0f} | {row.ready_seconds:.1f} | {series.errors} | {row.agreeing} |"
        )
    yield ""
    yield "Median of the rounds (lowest to highest). Memory is PSS of all processes of the server."
    clients = [max(series.client_share) for series in results.measured.servers.values()]
    yield f"The clients took at most {max(clients):.2f} of a processor."


def _limit(results: Results) -> Iterator[str]:
    measured = results.measured
    infer, decode = measured.infer, measured.decode
    limits = [1e3 / (one.wall_ms + other.wall_ms) for one, other in zip(infer, decode, strict=True)]
    yield "## The limit"
    yield ""
    yield (
        f"The engine is {results.facts['engine']} in {results.facts['variant']} "
        f"({results.facts['why']}). In a bare loop, with all processors busy, a picture takes:"
    )
    yield ""
    yield "| | wall ms | CPU ms |"
    yield "|---|---|---|"
    yield f"| compute, {_best(results.trials)} | {_costs(infer)} |"
    yield f"| compute, as the server does | {_costs(results.measured.same_infer)} |"
    yield f"| decode, a thread a processor | {_costs(decode)} |"
    yield ""
    yield f"So no server can answer more than {spread(limits, 1)} pictures/s with it."
    yield "Layouts tried, ms a picture: " + ", ".join(
        f"{name} {value:.1f}" for name, value in results.trials
    )


def _latency(results: Results) -> Iterator[str]:
    paced, overload = results.paced, results.overload
    if paced is None or overload is None:
        return
    yield "## Latency and overload"
    yield ""
    yield "| load | requests | p50 ms | p99 ms | p99 over a single request's median |"
    yield "|---|---|---|---|---|"
    for name, values in (
        ("one client, closed loop", paced.single_ms),
        (f"half load, {paced.per_second:.1f}/s, Poisson", paced.poisson_ms),
        (f"half load, {paced.per_second:.1f}/s, evenly", paced.even_ms),
    ):
        p50, p99 = np.percentile(values, (50, 99))
        ratio = paced.p99_over_single(values)
        yield f"| {name} | {len(values)} | {p50:.1f} | {p99:.1f} | {ratio:.2f} |"
    yield ""
    yield (
        f"At twice what it can hold ({overload.offered_per_second:.1f}/s offered) Kennel answered "
        f"{overload.accepted_per_second:.1f}/s with p50 {overload.p50_ms:.0f} ms and p99 "
        f"{overload.p99_ms:.0f} ms, {100 * overload.share_503:.0f} % with 503, and "
        f"{overload.others} otherwise."
    )


def _dogs(results: Results) -> Iterator[str]:
    dogs = results.dogs
    yield "## Answers"
    yield ""
    if dogs.why_not:
        yield f"The dogs were left out: {dogs.why_not}."
        return
    yield f"squeezenet1_1 with ImageNet's weights, {dogs.num_pictures} test pictures of dogs."
    yield ""
    yield "| seed | agrees with the network as trained | accuracy | accuracy of an f32 twin |"
    yield "|---|---|---|---|"
    rows = zip(dogs.agreement, dogs.accuracy, dogs.twin_accuracy, strict=True)
    for seed, (agreement, accuracy, twin) in enumerate(rows):
        yield f"| {seed} | {agreement:.3f} | {accuracy:.3f} | {twin:.3f} |"


def _bars(results: Results) -> Iterator[str]:
    yield "## Bars"
    yield ""
    yield "```"
    for bar in results.bars:
        yield bar.line() + (f"   (rounds {spread(bar.values, 2)})" if bar.values else "")
    yield "```"


def _method(results: Results) -> Iterator[str]:
    plan = results.plan
    yield "## Method"
    yield ""
    yield f"{plan.rounds} rounds. In each, every server runs alone for {plan.warm_seconds:g} s that"
    yield f"do not count and {plan.seconds:g} s that do; the others are stopped (SIGSTOP) then."
    yield "The clients are one process on the same processors. Ratios are those of one round; the"
    yield "value of a bar is the median of the rounds. Overhead is the CPU time of all processes of"
    yield "the server for a request, less that of decoding and of computing one picture in the bare"
    yield "loop, which then makes the same calls as the server. Open loops count latency from the"
    yield "time at which a request was due. Flask has gunicorn's time-out at 900 s: it would"
    yield "otherwise end workers that are stopped for long."


def spread(values: Sequence[float], digits: int) -> str:
    """Median, lowest and highest."""
    low, high = min(values), max(values)
    return f"{middle(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _costs(costs: Sequence[Cost]) -> str:
    return " | ".join(
        spread(values, 2) for values in ([c.wall_ms for c in costs], [c.cpu_ms for c in costs])
    )


def _best(trials: Sequence[tuple[str, float]]) -> str:
    return min(trials, key=lambda trial: trial[1])[0] if trials else "one call a processor"


def line_of(row: Row, series: Series) -> str:
    """One line of the terminal's table."""
    return (
        f"{row.title:42} {spread(series.per_second, 1):24} p50 {middle(series.p50_ms):6.0f} ms  "
        f"p99 {middle(series.p99_ms):6.0f} ms  CPU {middle(series.cpu_ms):6.1f} ms  "
        f"{row.memory_mib:6.0f} MiB  errors {series.errors}"
    )
