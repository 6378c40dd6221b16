"""ProfilePlace: where a job's profile lies on this host, and what host and processes are called.

Source: smdebug 1.0.34, whose readers know a host by algo-N and nothing else.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from contract.job import Cluster, TrainingJob

END_NAME = "training_job_end.ts"  # says to readers that nothing more follows
TRACE_NAME = "trace.json.gz"  # the whole run, for Perfetto
AGENT_NAME = "agent.json"  # what measuring cost
OPEN_SUFFIX = "_pythontimeline.json.tmp"  # of a timeline that is still written
CLOSED_SUFFIX = "_pythontimeline.json"
HOUR_FORMAT = "%Y%m%d%H"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePlace:
    """One host's part of a profile."""

    folder: Path  # output/profiler
    node: str  # algo-1

    @classmethod
    def of(cls, job: TrainingJob) -> "ProfilePlace | None":
        """None: the job does not want to be measured, or nobody says where to."""
        config = job.profiler
        if config is None or config.is_disabled:
            return None
        folder = config.local_path or job.outputs.profiler_dir
        return None if folder is None else cls(folder=folder, node=node_of(job.cluster))

    @property
    def system(self) -> Path:
        """What the host agent saw."""
        return self.folder / "system"

    @property
    def framework(self) -> Path:
        """What the processes did."""
        return self.folder / "framework"

    def process(self, rank: int) -> str:
        """The name of a process in file names: 0-algo-1."""
        return f"{rank}-{self.node}"

    def open_timelines(self) -> list[Path]:
        """Timelines of this host that are still written, or whose process died."""
        return sorted(self.framework.glob(f"*-{self.node}{OPEN_SUFFIX}"))

    def closed_timelines(self) -> list[Path]:
        """Complete timelines of this host, in the order of their ends."""
        found = self.framework.glob(f"pevents/*/*_*-{self.node}{CLOSED_SUFFIX}")
        return sorted(found, key=lambda path: path.name)

    def system_files(self) -> list[Path]:
        """A file a minute of this host, in their order."""
        found = self.system.glob(f"incremental/*/*.{self.node}.json")
        return sorted(found, key=lambda path: path.name)

    def clear(self) -> None:
        """Take away what an earlier run of this host left here. Raises OSError."""
        ours = [*self.open_timelines(), *self.closed_timelines(), *self.system_files()]
        for folder, name in ((self.system, AGENT_NAME), (self.framework, TRACE_NAME)):
            ours += [folder / name, folder / END_NAME]
        ours += self.framework.glob(f"pytorch/cprofile/*-{self.node}/*/python_stats")
        for path in ours:
            path.unlink(missing_ok=True)


def node_of(cluster: Cluster) -> str:
    """The host's own name where it is one that smdebug reads, else algo-N by its rank."""
    is_known = re.fullmatch(r"algo-\d+", cluster.current_host)
    return cluster.current_host if is_known else f"algo-{cluster.rank + 1}"
