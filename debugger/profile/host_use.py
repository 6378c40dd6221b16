"""Hosts side by side: what each used, and how long it worked for itself."""

import numpy as np

from debugger.profile import summary
from debugger.profile.data import GPU, GPU_MEMORY, IO, MEMORY, NETWORK, Series
from debugger.profile.facts import Facts
from debugger.profile.host_work import read_host_work
from debugger.profile.samples import highest_of, lengths_of
from debugger.profile.summary import HostUse


def read_hosts(facts: Facts) -> tuple[HostUse, ...]:
    """All hosts with metrics or a timeline, in their order."""
    work = next((one for one in read_host_work(facts) if one.kind == "training steps"), None)
    least = work.seconds[work.fastest] if work else 0.0
    own = work.seconds if work and least else {}
    slower = {host: 100.0 * (one / least - 1) for host, one in own.items()}
    return tuple(_host(facts, host, own.get(host), slower.get(host)) for host in facts.hosts)


def _host(facts: Facts, host: str, own: float | None, slower: float | None) -> HostUse:
    cpu, gpu = facts.cpu.get(host), facts.gpu.get(host)
    processes = facts.processes(host)
    seconds = np.concatenate([one.seconds for one in processes]) if processes else np.empty(0)
    waits = sum(one.total(summary.WAIT) for one in processes)
    has_waits = any(summary.WAIT in one.parts for one in processes)
    return HostUse(
        host=host,
        cores=facts.num_cores(host),
        gpus=len(facts.series(host, GPU)),
        cpu_mean=_mean(cpu),
        cpu_p95=_p95(cpu),
        io_wait_mean=_mean(facts.io_wait.get(host)),
        memory_max=_max(highest_of(facts.series(host, MEMORY))),
        gpu_mean=_mean(gpu),
        gpu_p95=_p95(gpu),
        gpu_memory_max=_max(highest_of(facts.series(host, GPU_MEMORY))),
        received_bytes=_sum(facts, host, NETWORK[0]),
        sent_bytes=_sum(facts, host, NETWORK[1]),
        read_bytes=_sum(facts, host, IO[1]),
        written_bytes=_sum(facts, host, IO[2]),
        step_mean=float(seconds.mean()) if len(seconds) else None,
        own_mean=own,
        wait_percent=100.0 * waits / float(seconds.sum()) if has_waits else None,
        cpu=cpu,
        gpu=gpu,
        slower_percent=slower,
    )


def _mean(series: Series | None) -> float | None:
    return float(series.values.mean()) if series is not None and len(series.values) else None


def _p95(series: Series | None) -> float | None:
    if series is None or not len(series.values):
        return None
    return float(np.quantile(series.values, 0.95))


def _max(series: Series | None) -> float | None:
    return float(series.values.max()) if series is not None and len(series.values) else None


def _sum(facts: Facts, host: str, metric: str) -> float | None:
    """Rates times the seconds that each sample speaks for."""
    found = list(facts.series(host, metric).values())
    if not found:
        return None
    return float(sum((one.values * lengths_of(one.times)).sum() for one in found))
